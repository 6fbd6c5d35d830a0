"""Calls of the native library: descriptions of networks, sizes, and arrays of other lengths, kinds and layouts."""

from functools import cache
from types import SimpleNamespace

import numpy as np
from fuzzing import Kind
from mutations import EXTREMES

from esr_ray.native.describe import HEADER, describe
from esr_ray.native.library import NativeError, load_library
from esr_ray.space.block import Block
from esr_ray.space.spec import NetworkSpec

MOST = 3_000_000
"""Reals of a workspace that is really had: larger networks are right, and would take their time."""


@cache
def library():
    return load_library()


def make(random):
    call = SimpleNamespace(
        description=description(random),
        sizes=[random.choice((1, 1, 2, 3, 5, 7, 9)) for _ in range(3)],
        seed=random.randrange(1 << 32),
        change=random.choice((None, None, *CHANGES)),
    )
    if random.random() < 0.2:
        call.sizes[random.randrange(3)] = random.choice((*EXTREMES, -(1 << 31), -(1 << 40), 1 << 14, 4096))
    return call


def description(random):
    blocks = [
        Block(random.choice("SGC"), random.randrange(1, 6), 4 * random.randrange(1, 4), random.randrange(1, 17)).name
        for _ in range(random.choice((1, 1, 2, 3)))
    ]
    channels = random.choice((3, 3, 1))
    skip = random.choice(("none", "nearest", "bicubic"))
    made = describe(
        NetworkSpec(tuple(blocks), 4 * random.randrange(1, 4), random.randrange(1, 5), skip, channels, channels)
    )
    if random.random() < 0.4:
        return made
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(made))
        match random.randrange(5):
            case 0 | 1:
                number = random.choice((*EXTREMES, int(made[place]) + 1, int(made[place]) - 1, random.randrange(300)))
                made[place] = np.int64(number % (1 << 32)).astype(np.int32)
            case 2:
                made = made[:place] if place else made[: HEADER - 1]
            case 3:
                made = np.concatenate([made, np.full(random.randrange(1, 9), -1, np.int32)])
            case 4:
                other = random.randrange(len(made))
                made[[place, other]] = made[[other, place]]
        if not len(made):
            break
    return made


def shorter(call, arrays):
    arrays.parameters = arrays.parameters[: call.seed % max(1, arrays.needed)]


def longer(call, arrays):
    arrays.parameters = np.append(arrays.parameters, arrays.parameters[: 1 + call.seed % arrays.needed])


def deeper(call, arrays):
    arrays.x = arrays.x.astype(np.float64)


def another_shape(call, arrays):
    arrays.x = arrays.x[:, : call.seed % 3] if call.seed % 2 else arrays.x[0]


def pieces(call, arrays):
    arrays.x = np.repeat(arrays.x, 2, axis=3)[..., ::2]


def described_wider(call, arrays):
    arrays.description = arrays.description.astype(random_kind(call))


def described_in_pieces(call, arrays):
    arrays.description = np.repeat(arrays.description, 2)[::2]


def little_room(call, arrays):
    arrays.workspace = lambda whole: whole[: call.seed % max(1, whole.size)]


def another_gradient(call, arrays):
    arrays.dy = lambda y: y[..., :-1] if call.seed % 2 else y.astype(np.float64)


def random_kind(call):
    return (np.int64, np.uint32, np.float32)[call.seed % 3]


CHANGES = (
    shorter,
    longer,
    deeper,
    another_shape,
    pieces,
    described_wider,
    described_in_pieces,
    little_room,
    another_gradient,
)


def read(call, place):
    lib = library()
    sizes = lib.sizes(call.description, *call.sizes)
    assert 0 < sizes.params <= 1 << 26
    assert sizes.workspace > 0
    if sizes.workspace > MOST or sizes.params > MOST or np.prod(call.sizes) > 1000:
        return
    rng = np.random.default_rng(call.seed)
    batch, height, width = call.sizes
    arrays = SimpleNamespace(
        description=call.description,
        needed=sizes.params,
        parameters=(rng.random(sizes.params) / 1e5).astype(lib.real),
        x=rng.random((batch, sizes.in_channels, height, width)).astype(lib.real),
        workspace=lambda whole: whole,
        dy=lambda y: y,
    )
    if call.change is not None:
        call.change(call, arrays)
    y, workspace = lib.forward(arrays.description, arrays.parameters, arrays.x)
    assert y.shape == (batch, sizes.out_channels, sizes.scale * height, sizes.scale * width)
    assert np.array_equal(lib.infer(arrays.description, arrays.parameters, arrays.x), y)
    # Memory is given filled with NaN: what is read without having been written shows.
    assert np.isfinite(y).all()
    gradient = lib.backward(
        arrays.description, arrays.parameters, arrays.x, arrays.workspace(workspace), arrays.dy(np.ones_like(y))
    )
    assert gradient.shape == arrays.parameters.shape
    assert np.isfinite(gradient).all()
    loss, gradient = lib.gradient(arrays.description, arrays.parameters, arrays.x, arrays.dy(y + 1))
    assert abs(loss - 1) < 1e-3
    state = [arrays.parameters, *(np.zeros_like(gradient) for _ in range(3))]
    lib.update(state, gradient, np.array([1e-3, 0.9, 0.999, 0, 0], lib.real))
    assert all(np.isfinite(one).all() for one in state)


def sound():
    network = describe(NetworkSpec(("S_2_4_8", "G_4_8_8", "C_2_4_4"), 8, 3, "bicubic"))
    return [SimpleNamespace(description=network, sizes=[2, 5, 6], seed=1, change=None)]


NATIVE = Kind("native", make, read, sound, clean=(NativeError,))
