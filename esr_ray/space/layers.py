"""A network's layers as plain data: what is computed from what.

This is the one description of them. Counts, the shapes of parameters and exports are read from it; the cells of
`esr_ray.networks`, which a test compares with it, are what is trained. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "input",
    "conv",
    "relu",
    "concat",
    "add",
    "channel_shuffle",
    "pixel_shuffle",
    "pool",
    "even",
    "mosaic",
    "skip",
    "crop",
    "user",
]


@dataclass(frozen=True)
class Conv:
    """A convolution with bias that keeps the size, by zero padding; its weights are (out, in / groups, kernel,
    kernel)."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    groups: int = 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def weights(self) -> int:
        """How many weights there are, without the biases."""
        out, within, height, width = self.weight_shape
        return out * within * height * width


@dataclass(frozen=True)
class Cost:
    """Parameters (weights and biases), and mult-adds for each pixel of the LR input."""

    params: int
    mult_adds: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.mult_adds + other.mult_adds)


@dataclass(frozen=True)
class Step:
    """One operation. Its value is known by its place among the steps, and so are its `inputs`.

    | kind | value |
    |---|---|
    | input | what goes in |
    | conv | `conv` of the input; one convolution may be applied several times |
    | relu, add, concat | as their names say; concat joins channels |
    | channel_shuffle | with `factor` groups: channel j of group i goes to place j · factor + i |
    | pixel_shuffle | `factor`² channels become one of `factor` times the height and width (Shi et al. 2016) |
    | pool | the mean of `factor` times `factor` pixels |
    | even | odd heights and widths filled up by a copy of the last row and column |
    | mosaic | of a packed Bayer mosaic (R, two greens, B) R, the mean of the greens, and B |
    | skip | enlarged by `factor` as `name` says: each pixel repeated (nearest), or bicubic |
    | crop | the first input without what `even` added to the second, at `factor` times its size |
    | user | the cell of a user's block, `name` |
    """

    kind: Kind
    inputs: tuple[int, ...]
    channels: int
    """Of the value."""
    pixels: float
    """Of the value, for each pixel of the LR input."""
    conv: Conv | None = None
    factor: int = 1
    name: str = ""


class Layers:
    """Steps while they are written down. Each method adds one and returns the number of its value."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._prefix = ""

    def channels(self, value: int) -> int:
        """Channels of a value."""
        return self.steps[value].channels

    def within(self, prefix: str) -> None:
        """Put `prefix` before the names of all convolutions from here on."""
        self._prefix = prefix

    def input(self, channels: int) -> int:
        return self._add(Step("input", (), channels, 1.0))

    def conv(self, value: int, name: str, out: int, kernel: int, groups: int = 1) -> int:
        conv = Conv(self._prefix + name, self.channels(value), out, kernel, groups)
        return self._add(Step("conv", (value,), out, self.steps[value].pixels, conv))

    def relu(self, value: int) -> int:
        return self._add(Step("relu", (value,), self.channels(value), self.steps[value].pixels))

    def concat(self, values: Sequence[int]) -> int:
        pixels = self.steps[values[0]].pixels if values else 1.0
        return self._add(Step("concat", tuple(values), sum(map(self.channels, values)), pixels))

    def add(self, one: int, other: int) -> int:
        return self._add(Step("add", (one, other), self.channels(one), self.steps[one].pixels))

    def channel_shuffle(self, value: int, groups: int) -> int:
        if groups == 1:
            return value
        return self._add(
            Step("channel_shuffle", (value,), self.channels(value), self.steps[value].pixels, factor=groups)
        )

    def pixel_shuffle(self, value: int, factor: int) -> int:
        channels, pixels = self.channels(value) // factor**2, self.steps[value].pixels * factor**2
        return self._add(Step("pixel_shuffle", (value,), channels, pixels, factor=factor))

    def pool(self, value: int, factor: int) -> int:
        pixels = self.steps[value].pixels / factor**2
        return self._add(Step("pool", (value,), self.channels(value), pixels, factor=factor))

    def even(self, value: int) -> int:
        return self._add(Step("even", (value,), self.channels(value), self.steps[value].pixels))

    def mosaic(self, value: int) -> int:
        return self._add(Step("mosaic", (value,), 3, self.steps[value].pixels))

    def skip(self, value: int, name: str, scale: int) -> int:
        pixels = self.steps[value].pixels * scale**2
        return self._add(Step("skip", (value,), self.channels(value), pixels, factor=scale, name=name))

    def crop(self, value: int, original: int, scale: int) -> int:
        step = self.steps[value]
        return self._add(Step("crop", (value, original), step.channels, step.pixels, factor=scale))

    def user(self, value: int, name: str, out: int) -> int:
        return self._add(Step("user", (value,), out, self.steps[value].pixels, name=name))

    def _add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1


def convolutions(steps: Iterable[Step]) -> dict[str, Conv]:
    """The convolutions by name, each once, in the order of their steps."""
    return {step.conv.name: step.conv for step in steps if step.conv is not None}


def cost_of(steps: Iterable[Step]) -> Cost:
    """Exact cost of all convolutions: the weights and biases of each once, the mult-adds of every use (those of biases
    are not counted)."""
    cost = Cost(0, 0.0)
    seen = set()
    for step in steps:
        if step.conv is None:
            continue
        cost += Cost(0, step.conv.weights * step.pixels)
        if step.conv.name not in seen:
            seen.add(step.conv.name)
            cost += Cost(step.conv.weights + step.conv.out_channels, 0)
    return cost


def reach_of(steps: Sequence[Step]) -> int:
    """How many pixels of the input, to each side, an output pixel may depend on (half of the receptive field).

    Not less than that: the pixels of a pool, or of a pixel shuffle, are counted whole.
    """
    reach: list[float] = []
    for step in steps:
        before = max((reach[place] for place in step.inputs), default=0.0)
        first = steps[step.inputs[0]] if step.inputs else step
        # Pixels of the input from one pixel of the value to the next.
        stride = first.pixels**-0.5
        added = 0.0
        if step.conv is not None:
            added = step.conv.kernel // 2 * stride
        elif step.kind == "pool":
            added = (step.factor - 1) * stride
        elif step.kind in ("pixel_shuffle", "skip", "even"):
            # Bicubic has five taps of the input.
            added = 2.0 if step.name == "bicubic" else stride
        elif step.kind == "user":
            raise ValueError(f"{step.name}: what a user's block depends on is not known")
        reach.append(before + added)
    return math.ceil(reach[-1])
