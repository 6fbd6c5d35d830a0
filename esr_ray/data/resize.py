"""Bicubic resizing by whole factors as MATLAB's `imresize` does it: what LR pictures and the baseline are made with.

Libraries differ in the filter, in the order of the dimensions, in rounding and at borders, and each difference shows
in PSNR. Here all is integer arithmetic: for a whole factor every weight is a fraction of 2·(2·scale)³, so results are
exact and the same on every machine. Only what training pictures are reduced by (`reduced`) is any factor, and Pillow's.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]
Levels = NDArray[Any]
"""Pixels of uint8 or uint16."""


def downscale(hr: U8, scale: int) -> U8:
    """Shrink `hr` (H, W, C) uint8 to (H/scale, W/scale, C) uint8: bicubic (a = -0.5), antialiased.

    Dimension 0 first, rounded half up to 8 bits after each dimension, borders replicated. Reproduces the LR pictures
    of the usual benchmark sets pixel for pixel. ValueError where H or W is not a multiple of `scale`.
    """
    _check(hr, scale)
    if hr.shape[0] % scale or hr.shape[1] % scale:
        raise ValueError(f"size {hr.shape[:2]} is not a multiple of {scale}: crop the picture first")
    if scale == 1:
        return hr.copy()
    # The same weights hold for every output pixel, whose centre lies at input (scale - 1)/2 + scale·i.
    width = 2 * scale
    first = (scale - 1) // 2 - width + 1
    centre = Fraction(scale - 1, 2)
    taps = [
        (first + k, _weight((first + k - centre) / scale, scale)) for k in range(2 * width + 1)
    ]  # (offset, integer weight)
    taps = [(offset, weight) for offset, weight in taps if weight]
    for axis in (0, 1):
        hr = _along(hr, axis, [taps], step=scale)
    return hr


def upscale(lr: Levels, scale: int) -> Levels:
    """Enlarge `lr` (h, w, C) to (h·scale, w·scale, C), both uint8 or both uint16: bicubic (a = -0.5), the baseline
    named bicubic.

    Rounded as `downscale`; an enlargement has no antialiasing.
    """
    _check(lr, scale)
    if scale == 1:
        return lr.copy()
    phases = []
    for phase in range(scale):
        # Output scale·i + phase has its centre at input i + centre.
        centre = Fraction(2 * phase + 1, 2 * scale) - Fraction(1, 2)
        first = centre.__floor__() - 1
        taps = [(first + k, _weight(first + k - centre, scale)) for k in range(4)]
        phases.append([(offset, weight) for offset, weight in taps if weight])
    for axis in (0, 1):
        lr = _along(lr, axis, phases, step=1)
    return lr


def reduced_size(size: tuple[int, int], part: float) -> tuple[int, int]:
    """(height, width) of a picture reduced to a part of both, at least one pixel each."""
    height, width = size
    return max(1, round(height * part)), max(1, round(width * part))


def reduced(picture: U8, part: float) -> U8:
    """A picture (H, W, 3) uint8 at a part of its size: antialiased bicubic, as Pillow computes it."""
    height, width = reduced_size((picture.shape[0], picture.shape[1]), part)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def _check(picture: Levels, scale: int) -> None:
    if picture.dtype not in (np.uint8, np.uint16) or picture.ndim != 3 or 0 in picture.shape:
        raise ValueError(f"a picture is uint8 (or uint16) (H, W, C), got {picture.dtype} {picture.shape}")
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")


def _weight(distance: Fraction, scale: int) -> int:
    """Keys' cubic with a = -0.5 at `distance` (a multiple of 1/(2·scale)), times 2·(2·scale)³: a whole number."""
    x = abs(distance)
    if x <= 1:
        value = Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    elif x < 2:
        value = Fraction(-1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2
    else:
        return 0
    whole = value * 2 * (2 * scale) ** 3
    assert whole.denominator == 1
    return whole.numerator


def _along(picture: Levels, axis: int, phases: list[list[tuple[int, int]]], step: int) -> Levels:
    """Filter one axis: output i·len(phases) + p is the sum of weight·input[i·step + offset] over the taps of p."""
    length = picture.shape[axis]
    count = length // step
    before = max(0, *(-offset for taps in phases for offset, _ in taps))
    after = max(0, *((count - 1) * step + offset - (length - 1) for taps in phases for offset, _ in taps))
    # Gathering clamped indices replicates the border.
    padded = np.take(picture, np.clip(np.arange(-before, length + after), 0, length - 1), axis=axis)
    shape = list(picture.shape)
    shape[axis] = count * len(phases)
    result = np.empty(shape, picture.dtype)
    whole = np.int32 if picture.dtype == np.uint8 else np.int64
    for phase, taps in enumerate(phases):
        total = sum(weight for _, weight in taps)
        sums: NDArray[Any] | None = None
        for weight in sorted({weight for _, weight in taps}):
            # Pixels of equal weight are added before they are multiplied: the filter is symmetric.
            part: NDArray[Any] | None = None
            for offset in (offset for offset, other in taps if other == weight):
                start = before + offset
                piece = padded[_at(axis, slice(start, start + (count - 1) * step + 1, step))]
                part = piece.astype(whole) if part is None else np.add(part, piece, out=part)
            assert part is not None
            part *= weight
            sums = part if sums is None else np.add(sums, part, out=sums)
        assert sums is not None
        # Half up: floor((2·sum + total) / (2·total)).
        sums *= 2
        sums += total
        sums //= 2 * total
        np.clip(sums, 0, np.iinfo(picture.dtype).max, out=sums)
        result[_at(axis, slice(phase, None, len(phases)))] = sums
    return result


def _at(axis: int, part: slice) -> tuple[slice, ...]:
    return (part,) if axis == 0 else (slice(None), part)
