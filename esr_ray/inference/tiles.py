"""Large pictures in parts, so that memory does not grow with them: the result is that of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from esr_ray.inference.predictor import Predictor
from esr_ray.space.layers import reach_of
from esr_ray.space.spec import NetworkSpec, network_layers

SIDE = 512
"""Pixels of a tile's side at most, its overlaps among them."""
TILE_BYTES = 96_000_000
"""What computing a tile should take at most: its side is chosen by that."""
OVERLAPS = 8
"""But not less than so many times what the network sees, or the overlaps would be most of the work."""


@dataclass(frozen=True)
class Sight:
    """How many pixels to each side an output pixel may depend on, None if nobody knows, and the multiples of pixels at
    which a part may begin: a network that halves the resolution pools the same pixels then."""

    reach: int | None
    step: int = 2


UNKNOWN = Sight(None)


def sight_of(spec: NetworkSpec) -> Sight:
    """What a network sees; of a user's block it is not known."""
    try:
        return Sight(reach_of(network_layers(spec)))
    except ValueError:
        return UNKNOWN


def side_for(spec: NetworkSpec) -> int:
    """Pixels of the side of a network's tiles: less than SIDE where TILE_BYTES would not do."""
    steps = network_layers(spec)
    last = {place: later for later, step in enumerate(steps) for place in step.inputs}
    # Of each layer's values, those that are needed still: the native library holds them all at once.
    sizes = [step.channels * step.pixels for step in steps]
    most = max(
        sum(size for before, size in enumerate(sizes[: place + 1]) if last.get(before, place) >= place)
        for place in range(len(steps))
    )
    reach = sight_of(spec).reach or 0
    return min(SIDE, max(int((TILE_BYTES / (4 * most)) ** 0.5), OVERLAPS * reach))


@dataclass(frozen=True)
class Span:
    """A part of one axis: it is predicted from `start` to `end`, and kept from `first` to `last`."""

    start: int
    end: int
    first: int
    last: int

    def kept(self, scale: int) -> slice:
        """Where what is kept belongs in the whole output."""
        return slice(scale * self.first, scale * self.last)

    def within(self, scale: int) -> slice:
        """Where it is in the output of the part."""
        return slice(scale * (self.first - self.start), scale * (self.last - self.start))


def spans(length: int, sight: Sight, side: int = SIDE) -> list[Span]:
    """An axis in parts of about `side` that overlap by twice what is seen, and more where a part would be too small
    else; one part, if nobody knows.

    Parts begin at multiples of the sight's step, and all but the last one are equally long: for a path that compiles
    for each size.
    """
    if sight.reach is None:
        return [Span(0, length, 0, length)]
    side = -(-max(side, 4 * sight.reach) // sight.step) * sight.step
    if length <= side:
        return [Span(0, length, 0, length)]
    reach = -(-sight.reach // sight.step) * sight.step
    starts = list(range(0, length - side, max(sight.step, side - 2 * reach)))
    starts.append((length - side) // sight.step * sight.step)
    found = []
    kept = 0
    for place, start in enumerate(starts):
        final = place == len(starts) - 1
        end = length if final else start + side
        last = length if final else end - reach
        found.append(Span(start, end, kept, last))
        kept = last
    return found


def tiles(sight: Sight, height: int, width: int, side: int = SIDE) -> list[tuple[Span, Span]]:
    """The rows and columns of a picture's tiles, which overlap by what the network sees; one where it fits."""
    return [(down, right) for down in spans(height, sight, side) for right in spans(width, sight, side)]


class Tiled:
    """A `Predictor` that predicts what is larger than a tile in tiles, one after the other."""

    def __init__(self, predictor: Predictor, spec: NetworkSpec, side: int = SIDE) -> None:
        self.predictor, self.spec, self.side = predictor, spec, side
        self.kernels = predictor.kernels

    def compile_predict(self, lr: np.ndarray) -> None:
        parts = (self._part(lr, *tile) for tile in self._tiles(lr))
        for part in {part.shape: part for part in parts}.values():
            self.predictor.compile_predict(np.ascontiguousarray(part))

    def predict(self, lr: np.ndarray) -> np.ndarray:
        found = self._tiles(lr)
        if len(found) == 1:
            return self.predictor.predict(lr)
        scale, (batch, _, height, width) = self.spec.scale, lr.shape
        output = np.empty((batch, self.spec.out_channels, scale * height, scale * width), np.float32)
        for down, right in found:
            made = self.predictor.predict(np.ascontiguousarray(self._part(lr, down, right)))
            output[:, :, down.kept(scale), right.kept(scale)] = made[:, :, down.within(scale), right.within(scale)]
        return output

    def _tiles(self, lr: np.ndarray) -> list[tuple[Span, Span]]:
        height, width = lr.shape[2:]
        return tiles(sight_of(self.spec), height, width, self.side)

    @staticmethod
    def _part(lr: np.ndarray, down: Span, right: Span) -> np.ndarray:
        return lr[:, :, down.start : down.end, right.start : right.end]
