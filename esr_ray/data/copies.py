"""Which pictures show the same photo under other names: told by what they show, not by what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esr_ray.data.fingerprints import BLOCK, Fingerprint, fingerprints

F32 = NDArray[np.float32]

# Correlation of the differences between neighbours in thumbnails (a difference hash whose bits are numbers). Of 812
# photographs of five public sets different ones come to 0.67 at most; their copies, down to a third of the size or JPEG
# of quality 10, to 0.978 at least.
_ALIKE = 0.9
# Thumbnails with less detail than this (standard deviation, levels), such as a sky, are not compared.
_LEAST_DETAIL = 1.5
_SAME_ASPECT = 1.1
_ROWS = 1024

# Blocks that two pictures share at one offset, and the part of those in their overlap that must be among them: a logo
# or a frame that many pictures share is not a crop.
_LEAST_BLOCKS = 4
_SHARED = 0.8
_MOST_OWNERS = 50
"""A block that more pictures have is a pattern."""


@dataclass(frozen=True)
class Copy:
    """Two pictures of one photo, by their indices; `cut` says that they are crops, otherwise copies of the whole."""

    first: int
    second: int
    cut: bool


def find_copies(paths: Sequence[Path], cache_dir: Path | None) -> list[Copy]:
    """Pictures of one photo among these files, each pair once.

    Found are copies of the whole that were rescaled, compressed or made grey, and crops that share at least about
    200x200 unchanged pixels. Not found are other crops (rescaled, compressed, or of parts that do not overlap), turned
    or mirrored copies, and pictures without detail. Pictures that cannot be read are left out.
    """
    found = fingerprints(paths, cache_dir)
    wholes = set(_alike(found))
    return [Copy(*pair, cut=pair not in wholes) for pair in sorted(wholes | set(_cut(found)))]


def _alike(found: Sequence[Fingerprint | None]) -> Iterator[tuple[int, int]]:
    gradients = [None if one is None else _gradient(one) for one in found]
    shown = [index for index, row in enumerate(gradients) if row is not None]
    if not shown:
        return
    rows = np.stack([row for row in gradients if row is not None])
    sizes = [one.size for one, row in zip(found, gradients, strict=True) if one is not None and row is not None]
    aspects = np.array([height / width for height, width in sizes])
    for top in range(0, len(rows), _ROWS):
        close = rows[top : top + _ROWS] @ rows[top:].T > _ALIKE
        for first, second in np.argwhere(close):
            if first < second and 1 / _SAME_ASPECT < aspects[top + first] / aspects[top + second] < _SAME_ASPECT:
                yield shown[top + first], shown[top + second]


def _gradient(one: Fingerprint) -> F32 | None:
    """Differences between neighbours of the thumbnail, without their means, of length 1; None without detail."""
    if one.thumbnail is None:
        return None
    grey = one.thumbnail.astype(np.float32)
    padded = np.pad(grey, 1, mode="edge")
    side = len(grey)
    blurred = np.mean([padded[i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0)
    if float(np.std(grey - blurred)) < _LEAST_DETAIL:
        return None
    parts = [np.diff(grey, axis=axis) for axis in (0, 1)]
    row = np.concatenate([(part - part.mean()).ravel() for part in parts])
    return (row / np.linalg.norm(row)).astype(np.float32)


def _cut(found: Sequence[Fingerprint | None]) -> Iterator[tuple[int, int]]:
    known = [(index, one) for index, one in enumerate(found) if one is not None and len(one.keys)]
    if not known:
        return
    keys = np.concatenate([one.keys for _, one in known])
    owners = np.concatenate([np.full(len(one.keys), index) for index, one in known])
    places = np.concatenate([one.places for _, one in known])
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    # (first, second, offset of rows, of columns) -> keys of blocks that lie so in both.
    shared: dict[tuple[int, int, int, int], set[int]] = {}
    for run in np.split(order, edges):
        if 1 < len(run) <= _MOST_OWNERS:
            for a in run:
                for b in run:
                    if owners[a] < owners[b]:
                        down, right = places[a] - places[b]
                        where = int(owners[a]), int(owners[b]), int(down), int(right)
                        shared.setdefault(where, set()).add(int(keys[a]))
    for (first, second, down, right), blocks in shared.items():
        one, other = found[first], found[second]
        assert one is not None
        assert other is not None
        if len(blocks) >= _LEAST_BLOCKS and len(blocks) >= _SHARED * _in_overlap(one, other, down, right):
            yield first, second


def _in_overlap(one: Fingerprint, other: Fingerprint, down: int, right: int) -> int:
    """How many different blocks the one or the other has, whichever has more, where they overlap; `other` lies in
    `one` so far down and to the right."""
    counts = []
    for own, theirs, (top, left) in ((one, other, (down, right)), (other, one, (-down, -right))):
        begin = np.array([max(0, top), max(0, left)])
        end = np.array([min(own.size[0], top + theirs.size[0]), min(own.size[1], left + theirs.size[1])])
        inside = ((own.places >= begin) & (own.places + BLOCK <= end)).all(1)
        counts.append(len(np.unique(own.keys[inside])))
    return max(counts)
