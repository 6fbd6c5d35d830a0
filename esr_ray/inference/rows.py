"""A picture that is read row by row, so that no more of it need be in memory than is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from esr_ray.tasks.task import Levels

BAND = 32_000_000
"""Bytes that the rows which are worked on at a time should take at most."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A picture of so many `channels`: 1 is grey, 3 RGB, and 2 and 4 are these with transparency; `kind` is uint8 or
    uint16.

    `read(first, last)` gives those rows, (last - first, width, channels). Rows are asked for in order: neither `first`
    nor `last` is ever less than before.
    """

    height: int
    width: int
    channels: int
    kind: np.dtype[Any]
    read: Callable[[int, int], Levels]

    @property
    def has_alpha(self) -> bool:
        return self.channels in (2, 4)


def rows_of(picture: Levels) -> Rows:
    """An array (h, w, channels) as rows."""
    height, width, channels = picture.shape
    return Rows(height, width, channels, picture.dtype, lambda first, last: picture[first:last])


def streamed(height: int, width: int, channels: int, kind: np.dtype[Any], bands: Iterator[Levels]) -> Rows:
    """Rows that come in bands, one below the other; a band is let go of once rows below it are asked for."""
    held: list[Levels] = []
    top = 0

    def read(first: int, last: int) -> Levels:
        nonlocal top
        while held and top + len(held[0]) <= first:
            top += len(held.pop(0))
        bottom = top + sum(map(len, held))
        while bottom < last:
            band = next(bands)
            bottom += len(band)
            if bottom > first:
                held.append(band)
            else:
                top = bottom
        parts, place = [], top
        for band in held:
            parts.append(band[max(0, first - place) : max(0, last - place)])
            place += len(band)
        parts = [part for part in parts if len(part)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return Rows(height, width, channels, kind, read)


def bands_of(rows: Rows) -> Iterator[Levels]:
    """All rows, in bands of about BAND bytes."""
    least = max(1, BAND // max(1, rows.width * rows.channels * rows.kind.itemsize))
    for first in range(0, rows.height, least):
        yield rows.read(first, min(rows.height, first + least))


def collect(rows: Rows) -> Levels:
    """The whole picture, (height, width, channels)."""
    picture = np.empty((rows.height, rows.width, rows.channels), rows.kind)
    top = 0
    for band in bands_of(rows):
        picture[top : top + len(band)] = band
        top += len(band)
    return picture


def without_alpha(rows: Rows) -> Rows:
    """The colours alone."""
    if not rows.has_alpha:
        return rows
    return Rows(
        rows.height, rows.width, rows.channels - 1, rows.kind, lambda first, last: rows.read(first, last)[..., :-1]
    )


def with_alpha(rows: Rows, level: int) -> Rows:
    """Colours with the same transparency everywhere."""

    def read(first: int, last: int) -> Levels:
        band = rows.read(first, last)
        return np.concatenate([band, np.full_like(band[..., :1], level)], axis=2)

    return Rows(rows.height, rows.width, rows.channels + 1, rows.kind, read)
