"""Large pictures in parts, so that memory does not grow with them: the result is that of the whole picture."""

from __future__ import annotations

from collections.abc import Iterator
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


class Tiled:
    """A `Predictor` that predicts what is larger than a tile in tiles, one after the other."""

    def __init__(self, predictor: Predictor, spec: NetworkSpec, side: int = SIDE) -> None:
        self.predictor, self.scale = predictor, spec.scale
        self.kernels = predictor.kernels
        self.reach: int | None
        try:
            self.reach = reach_of(network_layers(spec))
        except ValueError:
            # Of a user's block nobody knows: the picture is predicted whole.
            self.reach = None
        self.side = side

    def compile_predict(self, lr: np.ndarray) -> None:
        for part in {part.shape: part for part, _, _ in self._tiles(lr)}.values():
            self.predictor.compile_predict(np.ascontiguousarray(part))

    def predict(self, lr: np.ndarray) -> np.ndarray:
        output: np.ndarray | None = None
        height, width = lr.shape[2:]
        for part, down, right in self._tiles(lr):
            made = self.predictor.predict(np.ascontiguousarray(part))
            if part is lr:
                return made
            if output is None:
                shape = lr.shape[0], made.shape[1], self.scale * height, self.scale * width
                output = np.empty(shape, made.dtype)
            rows, columns = down.kept(self.scale), right.kept(self.scale)
            output[:, :, rows, columns] = made[:, :, down.within(self.scale), right.within(self.scale)]
        assert output is not None, "a picture has at least one tile"
        return output

    def _tiles(self, lr: np.ndarray) -> Iterator[tuple[np.ndarray, Span, Span]]:
        height, width = lr.shape[2:]
        if self.reach is None or max(height, width) <= self.side:
            whole = Span(0, height, 0, height), Span(0, width, 0, width)
            yield lr, *whole
            return
        for down in spans(height, self.reach, self.side):
            for right in spans(width, self.reach, self.side):
                yield lr[:, :, down.start : down.end, right.start : right.end], down, right
