"""Random paired crops for training, drawn from (seed, step) alone, and the fixed parts that fitness uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from esr_ray.errors import UserError
from esr_ray.native.library import NativeUnavailable, load_library
from esr_ray.randomness import generator

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PicturePair:
    """One picture at both sizes: `hr` (h·scale, w·scale, 3) and `lr` (h, w, 3), uint8 RGB, read-only views."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]


def sample_batch(
    pairs: Sequence[PicturePair], seed: int, step: int, batch_size: int, crop_size: int, scale: int
) -> tuple[F32, F32]:
    """Draw the batch of one step: LR (B, 3, c, c) and HR (B, 3, c·scale, c·scale), float32 RGB in [0, 1].

    Pictures and positions are uniform; horizontal flip, vertical flip and transposition each have probability 0.5 and
    are applied to both sizes alike. The same (seed, step) gives the same batch whatever was drawn before, so every
    candidate of a run sees the same crops. `crop_size` is in LR pixels; `check_crop_size` says whether it fits.
    """
    # Only random() is used, see esr_ray.randomness.
    draws = generator(seed, "crops", step).random((batch_size, 6)).tolist()
    lr, hr, size = [], [], crop_size * scale
    for which, down, right, horizontal, vertical, transposed in draws:
        pair = pairs[int(which * len(pairs))]
        top = int(down * (pair.lr.shape[0] - crop_size + 1))
        left = int(right * (pair.lr.shape[1] - crop_size + 1))
        flips = (horizontal < 0.5) + 2 * (vertical < 0.5) + 4 * (transposed < 0.5)
        lr.append((pair.lr[top : top + crop_size, left : left + crop_size], flips))
        top, left = top * scale, left * scale
        hr.append((pair.hr[top : top + size, left : left + size], flips))
    gather = _gatherer()
    return gather(lr, crop_size), gather(hr, size)


Gather = Callable[[Sequence[tuple[NDArray[np.uint8], int]], int], F32]


@cache
def _gatherer() -> Gather:
    """The native library's gather, which is faster, or NumPy's; they give the same bits."""
    try:
        library = load_library()
    except NativeUnavailable:
        return gather_crops
    return library.crops


def gather_crops(crops: Sequence[tuple[NDArray[np.uint8], int]], size: int) -> F32:
    """Square crops as a batch (B, 3, size, size) in [0, 1].

    Each is a uint8 view (size, size, 3) and its flips: 1 horizontal, 2 vertical, 4 transposition, in this order.
    """
    batch = np.empty((len(crops), size, size, 3), np.uint8)
    for index, (view, flips) in enumerate(crops):
        batch[index] = _flipped(view, flips)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


def check_crop_size(pairs: Sequence[PicturePair], crop_size: int, key: str = "crop_size") -> None:
    """Raise UserError naming `key` and the first picture whose LR side is below `crop_size` (LR pixels)."""
    for pair in pairs:
        height, width = pair.lr.shape[:2]
        if min(height, width) < crop_size:
            raise UserError(
                f"{key} {crop_size}: {pair.name} has only {width}x{height} LR pixels; "
                f"set it to at most {min(min(p.lr.shape[:2]) for p in pairs)} or remove small pictures"
            )


def validation_crops(pairs: Sequence[PicturePair], size: int | None, count: int) -> list[PicturePair]:
    """Return the parts of validation pictures that fitness is measured on; nothing is random.

    Without `size` (LR pixels): the whole pictures. Otherwise up to `count` square parts of each that do not overlap,
    in the middles of the cells of an even grid (one: the centre). A picture smaller than `size` is used whole.
    """
    if size is None:
        return list(pairs)
    parts = []
    for pair in pairs:
        height, width = pair.lr.shape[:2]
        if min(height, width) < size:
            parts.append(pair)
            continue
        corners = _grid(height, width, size, count)
        parts.extend(_part(pair, top, left, size) for top, left in corners)
    return parts


def _grid(height: int, width: int, size: int, count: int) -> list[tuple[int, int]]:
    """Corners (top, left) of at most `count` disjoint squares."""
    most_rows, most_columns = height // size, width // size
    count = min(count, most_rows * most_columns)
    # The smallest grid that holds `count`, among equals the one whose cells are closest to squares.
    rows, columns = min(
        ((r, c) for r in range(1, most_rows + 1) for c in range(1, most_columns + 1) if r * c >= count),
        key=lambda grid: (grid[0] * grid[1], abs(np.log((height / grid[0]) / (width / grid[1]))), grid),
    )
    corners = [
        (((2 * r + 1) * height - rows * size) // (2 * rows), ((2 * c + 1) * width - columns * size) // (2 * columns))
        for r in range(rows)
        for c in range(columns)
    ]
    return [corners[(2 * k + 1) * len(corners) // (2 * count)] for k in range(count)]


def _part(pair: PicturePair, top: int, left: int, size: int) -> PicturePair:
    scale = pair.hr.shape[0] // pair.lr.shape[0]
    lr = pair.lr[top : top + size, left : left + size]
    hr = pair.hr[top * scale : (top + size) * scale, left * scale : (left + size) * scale]
    return PicturePair(f"{pair.name}[{top},{left}]", hr, lr)


def _flipped(picture: NDArray[np.uint8], flips: int) -> NDArray[np.uint8]:
    if flips & 1:
        picture = picture[:, ::-1]
    if flips & 2:
        picture = picture[::-1]
    return picture.transpose(1, 0, 2) if flips & 4 else picture
