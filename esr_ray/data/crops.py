"""Random paired crops for training, drawn from (seed, step) alone, and the fixed parts that fitness uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esr_ray.errors import UserError
from esr_ray.native.library import Library, NativeUnavailable, address, load_library
from esr_ray.randomness import uniform

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PicturePair:
    """One picture at both sizes: `hr` (h·scale, w·scale, 3) and `lr` (h, w, 3), uint8 RGB, read-only views."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]

    @cached_property
    def addresses(self) -> tuple[int, int, int, int]:
        """Where LR begins in memory and bytes from row to row, and both of HR. NativeError where they are not RGB."""
        return (*address(self.lr), *address(self.hr))

    def __getstate__(self) -> dict[str, object]:
        # In another process they lie elsewhere.
        return {name: value for name, value in self.__dict__.items() if name != "addresses"}


@dataclass(frozen=True)
class Share:
    """The part of each batch that one of `count` workers trains on; `rank` counts from 0."""

    rank: int
    count: int

    def of(self, batch_size: int) -> slice:
        """Places in a batch, as many for each worker. Raises ValueError where the batch cannot be divided so."""
        if batch_size % self.count:
            raise ValueError(f"a batch of {batch_size} cannot be divided among {self.count} workers")
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)


ALL = Share(0, 1)

NAMED = 5
"""As many pictures that are left out are named."""


def sample_batch(
    pairs: Sequence[PicturePair],
    seed: int,
    step: int,
    batch_size: int,
    crop_size: int,
    scale: int,
    share: Share = ALL,
) -> tuple[F32, F32]:
    """Draw the batch of one step: LR (B, 3, c, c) and HR (B, 3, c·scale, c·scale), float32 RGB in [0, 1].

    Pictures and positions are uniform; horizontal flip, vertical flip and transposition each have probability 0.5 and
    are applied to both sizes alike. The same (seed, step) gives the same batch whatever was drawn before, so every
    candidate of a run sees the same crops. `crop_size` is in LR pixels; `large_enough` says which pictures it fits
    into. With a `share` only the crops of that part of the batch are made, B of them.
    """
    # Only uniform numbers are used, see esr_ray.randomness.
    draws = uniform((batch_size, 6), seed, "crops", step)[share.of(batch_size)].tolist()
    crops = []
    for which, down, right, horizontal, vertical, transposed in draws:
        pair = pairs[int(which * len(pairs))]
        height, width = pair.lr.shape[:2]
        top, left = int(down * (height - crop_size + 1)), int(right * (width - crop_size + 1))
        flips = (horizontal < 0.5) + 2 * (vertical < 0.5) + 4 * (transposed < 0.5)
        crops.append(Crop(pair, top, left, flips))
    return _gatherer()(crops, crop_size, scale)


class Crop(NamedTuple):
    """A place in a pair, in LR pixels, and its flips: 1 horizontal, 2 vertical, 4 transposition, in this order."""

    pair: PicturePair
    top: int
    left: int
    flips: int


Gather = Callable[[Sequence[Crop], int, int], tuple[F32, F32]]
"""Square crops, their side in LR pixels and the scale -> LR and HR batches, as `sample_batch` gives them."""


@cache
def _gatherer() -> Gather:
    """The native library's way, which is faster, or NumPy's; they give the same bits."""
    try:
        return native_gather(load_library())
    except NativeUnavailable:
        return gather


def gather(crops: Sequence[Crop], size: int, scale: int) -> tuple[F32, F32]:
    """Implements `Gather` with NumPy."""
    lr = [one.pair.lr[one.top : one.top + size, one.left : one.left + size] for one in crops]
    hr = [
        one.pair.hr[one.top * scale : (one.top + size) * scale, one.left * scale : (one.left + size) * scale]
        for one in crops
    ]
    flips = [one.flips for one in crops]
    return gather_views(lr, flips, size), gather_views(hr, flips, size * scale)


def gather_views(views: Sequence[NDArray[np.uint8]], flips: Sequence[int], size: int) -> F32:
    """Square views (size, size, 3) as a batch (B, 3, size, size) in [0, 1]."""
    batch = np.empty((len(views), size, size, 3), np.uint8)
    for index, (view, flip) in enumerate(zip(views, flips, strict=True)):
        batch[index] = _flipped(view, flip)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


def native_gather(library: Library) -> Gather:
    """Implements `Gather` with the native library."""

    def gather(crops: Sequence[Crop], size: int, scale: int) -> tuple[F32, F32]:
        lr, hr = [], []
        for pair, top, left, flips in crops:
            lr_at, lr_row, hr_at, hr_row = pair.addresses
            lr.append((lr_at + top * lr_row + 3 * left, lr_row, flips))
            hr.append((hr_at + scale * (top * hr_row + 3 * left), hr_row, flips))
        return library.gather(lr, size), library.gather(hr, size * scale)

    return gather


def large_enough(
    pairs: Sequence[PicturePair], crop_size: int, key: str = "crop_size"
) -> tuple[list[PicturePair], str | None]:
    """The pictures that a crop of `crop_size` (LR pixels) fits into, and a note on those that are left out.

    Raises UserError naming `key` and the smallest picture where fewer than half would remain: then it is the crop that
    is wrong.
    """
    kept = [pair for pair in pairs if _side(pair) >= crop_size]
    small = sorted((pair for pair in pairs if _side(pair) < crop_size), key=_side)
    if 2 * len(kept) < len(pairs):
        height, width = small[0].lr.shape[:2]
        raise UserError(
            f"{key} {crop_size}: {len(small)} of {len(pairs)} training pictures are smaller, such as {small[0].name} "
            f"with {width}x{height} LR pixels; set it to at most {_side(small[0])} or remove small pictures"
        )
    if not small:
        return kept, None
    named = ", ".join(pair.name for pair in small[:NAMED]) + (f" and {len(small) - NAMED} more" * (len(small) > NAMED))
    count = "1 training picture is" if len(small) == 1 else f"{len(small)} training pictures are"
    return kept, f"{count} smaller than {key} {crop_size} LR pixels and left out: {named}"


def _side(pair: PicturePair) -> int:
    height, width = pair.lr.shape[:2]
    return min(height, width)


def check_border(pairs: Sequence[PicturePair], border: int) -> None:
    """Raise UserError naming the first picture of which nothing is left to measure without `border` (HR pixels)."""
    for pair in pairs:
        height, width = pair.hr.shape[:2]
        if min(height, width) <= 2 * border:
            raise UserError(
                f"{pair.name}: has only {width}x{height} pixels; {border} at each side are not measured: remove it"
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
