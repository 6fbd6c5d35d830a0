"""Large pictures in parts, so that memory does not grow with them: the result is that of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from esr_ray.inference.predictor import Predictor
from esr_ray.space.layers import reach_of
from esr_ray.space.spec import NetworkSpec, network_layers

SIDE = 512
"""Pixels of a tile's side, its overlaps among them: 512 x 512 of input take a wide network about 250 MB."""


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


def spans(length: int, reach: int, side: int = SIDE) -> list[Span]:
    """An axis in parts of about `side` that overlap by twice `reach`, and more where a part would be too small else.

    Parts begin at even places, where networks that halve the resolution begin too, and all but the last one are equally
    long: for a path that compiles for each size.
    """
    side = max(side, 4 * reach)
    side += side % 2
    if length <= side:
        return [Span(0, length, 0, length)]
    reach += reach % 2
    step = side - 2 * reach
    starts = list(range(0, length - side, step))
    starts.append((length - side) // 2 * 2)
    found = []
    kept = 0
    for place, start in enumerate(starts):
        final = place == len(starts) - 1
        end = length if final else start + side
        last = length if final else end - reach
        found.append(Span(start, end, kept, last))
        kept = last
    return found


def tiles(spec: NetworkSpec, height: int, width: int, side: int = SIDE, least: int = 0) -> list[tuple[Span, Span]]:
    """The rows and columns of a picture's tiles, which overlap by what the network sees, and `least` pixels at least.

    One tile where the picture fits, and where nobody knows what a network sees: that of a user's block.
    """
    try:
        reach = max(least, reach_of(network_layers(spec)))
    except ValueError:
        reach = max(height, width)
    return [(down, right) for down in spans(height, reach, side) for right in spans(width, reach, side)]


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
        return tiles(self.spec, height, width, self.side)

    @staticmethod
    def _part(lr: np.ndarray, down: Span, right: Span) -> np.ndarray:
        return lr[:, :, down.start : down.end, right.start : right.end]
