"""The method's network in NumPy and float64, one picture (C, H, W) at a time: what MindSpore is compared with."""

import numpy as np


class Weights(dict):
    """Parameters by name; remembers which were read, and in which part of the network it stands."""

    def __init__(self, values, prefix="", read=None):
        super().__init__(values)
        self.prefix, self.read = prefix, set() if read is None else read

    @classmethod
    def random_for(cls, cell, rng):
        """Give a cell random weights that keep signals near their size, and biases; the same in float64."""
        import mindspore as ms

        values = {}
        for parameter in cell.trainable_params():
            shape = parameter.shape
            size = np.prod(shape[1:]) if len(shape) == 4 else 4
            value = (rng.standard_normal(shape) / np.sqrt(size)).astype(np.float32)
            parameter.set_data(ms.Tensor(value))
            values[parameter.name] = value.astype(np.float64)
        return cls(values)

    def part(self, name):
        return Weights(self, f"{self.prefix}{name}.", self.read)

    def unused(self):
        return set(self) - self.read

    def conv(self, name, x, groups=1):
        """The convolution of a name: zero padding, bias."""
        names = [f"{self.prefix}{name}.{kind}" for kind in ("weight", "bias")]
        self.read.update(names)
        weight, bias = (self[full] for full in names)
        out, per_group, kernel, _ = weight.shape
        assert per_group * groups == x.shape[0], f"{names[0]} is {weight.shape} for {x.shape} in {groups} groups"
        pad = kernel // 2
        _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        y = np.zeros((out, height, width))
        for group in range(groups):
            outputs = slice(group * out // groups, (group + 1) * out // groups)
            inputs = padded[group * per_group : (group + 1) * per_group]
            for dy in range(kernel):
                for dx in range(kernel):
                    window = inputs[:, dy : dy + height, dx : dx + width]
                    y[outputs] += np.einsum("oi,ihw->ohw", weight[outputs, :, dy, dx], window)
        return y + bias[:, None, None]


def relu(x):
    return np.maximum(x, 0)


def shuffled(x, groups):
    """Place p takes the channel p // groups of group p % groups."""
    size = x.shape[0] // groups
    return np.stack([x[(place % groups) * size + place // groups] for place in range(x.shape[0])])


def pixel_shuffled(x, factor):
    """Channel c·f² + i·f + j goes to channel c, row f·y + i, column f·x + j."""
    channels, height, width = x.shape[0] // factor**2, *x.shape[1:]
    y = np.zeros((channels, height * factor, width * factor))
    for i in range(factor):
        for j in range(factor):
            y[:, i::factor, j::factor] = x[i * factor + j :: factor**2]
    return y


def halved(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def reference_block(name, x, weights):
    letter, n, g, out = name[0], *(int(part) for part in name[2:].split("_"))
    ends = weights.part("ends")
    e = x if x.shape[0] == g else ends.conv("entry", x)
    if out == x.shape[0]:
        residual = x
    elif out == g:
        residual = e
    else:
        residual = ends.conv("residual", x)
    if letter == "G":
        running = e
        for c in range(n):
            new = relu(weights.conv(f"convs.{c}", shuffled(running, c + 1), groups=[1, 2, 2, 4][min(c, 3)]))
            running = np.concatenate([running, new])
        return weights.conv("last", running) + residual
    current = cat = e if letter == "S" else halved(e)
    for i in range(n):
        new = current
        for _ in range(1 if letter == "S" else 3):
            new = relu(weights.conv(f"convs.{i}", new))
        cat = np.concatenate([cat, new])
        if letter == "S" or i < n - 1:
            current = weights.conv(f"shrinks.{i}", cat)
    if letter == "C":
        current = weights.conv("last", pixel_shuffled(cat, 2))
    return current + residual


def reference_network(arch, scale, x, weights):
    """ESRN without a global skip. Odd sizes are padded by their edge; the output is cropped."""
    _, height, width = x.shape
    x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    shallow = weights.conv("sfe1", x)
    current = weights.conv("sfe2", shallow)
    outputs = []
    for index, name in enumerate(arch):
        current = reference_block(name, current, weights.part(f"blocks.{index}"))
        outputs.append(current)
    y = weights.conv("gff2", weights.conv("gff1", np.concatenate(outputs))) + shallow
    for step, factor in enumerate({1: (), 4: (2, 2)}.get(scale, (scale,))):
        y = pixel_shuffled(weights.conv(f"upsampler.expand.{step}", y), factor)
    return weights.conv("upsampler.last", y)[:, : scale * height, : scale * width]


def layers_network(steps, x, weights):
    """What the description of a network's layers says of a picture: step by step."""
    values = []
    for step in steps:
        given = [values[place] for place in step.inputs]
        match step.kind:
            case "input":
                value = x
            case "conv":
                value = weights.conv(step.conv.name, given[0], step.conv.groups)
            case "relu":
                value = relu(given[0])
            case "concat":
                value = np.concatenate(given)
            case "add":
                value = given[0] + given[1]
            case "channel_shuffle":
                value = shuffled(given[0], step.factor)
            case "pixel_shuffle":
                value = pixel_shuffled(given[0], step.factor)
            case "pool":
                assert step.factor == 2
                value = halved(given[0])
            case "even":
                _, height, width = given[0].shape
                value = np.pad(given[0], ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
            case "mosaic":
                red, one, other, blue = given[0]
                value = np.stack([red, (one + other) / 2, blue])
            case "skip":
                assert step.name == "nearest"
                value = np.kron(given[0], np.ones((step.factor, step.factor)))
            case "crop":
                _, height, width = given[1].shape
                value = given[0][:, : step.factor * height, : step.factor * width]
        assert value.shape[0] == step.channels, step
        values.append(value)
    return values[-1]
