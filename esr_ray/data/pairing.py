"""Checks that a given LR picture belongs to its HR picture: size, content, colours, and that neither is shifted."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from esr_ray.data.resize import downscale
from esr_ray.errors import UserError

U8 = NDArray[np.uint8]

# Comparing the middle is enough, and keeps the check cheap on large pictures. LR pixels.
_WINDOW = 256
# Up to this difference LR is our own downscaling, give or take rounding.
_SAME_LEVELS = 2
# A shift is named where it leaves less than this part of the squared error: LR made with other filters, compressed or
# noisy stays well above it.
_CLEARLY = 0.5
_LEAST_CORRELATION = 0.5
# Colours are compared in means of so many pixels a side, which noise and compression hardly touch.
_POOLED = 4
# Root mean square of the differences between channels, in levels: from the one on a picture has colours, grey has at
# most the other. JPEG of quality 5 may lose fewer colours than the first altogether.
_COLOURED = 12.0
_GREY = 0.5
# What colours add to grey: noise of 50 levels leaves up to 13.
_SURELY_COLOURED = 18.0
# Where channels have one shape, only LR that is HR's own in another order tells, up to this root mean square.
_OWN = 2.0


def check_pair(hr: U8, lr: U8, hr_file: Path, lr_file: Path, scale: int) -> str | None:
    """Check `lr` (h, w, 3) against `hr` (H, W, 3), both uint8, as decoded.

    UserError, naming both files, where the size of LR is not exactly floor(HR / scale), where LR is shifted by an LR
    pixel, where it shows something else (correlation of the grey values below 0.5), or where its colours are not those
    of HR: channels in another order, or only one of the two in colour. LR that is off by a single HR pixel, as
    decimation without a filter leaves it, is only noted: what to say of the picture is returned, otherwise None.
    """
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    if lr.shape[:2] != (height, width):
        raise UserError(
            f"{lr_file} is {lr.shape[1]}x{lr.shape[0]}, but {hr_file} ({hr.shape[1]}x{hr.shape[0]}) at scale {scale} "
            f"needs {width}x{height}; check task.scale, or make LR anew (or leave lr out: it is made from HR)"
        )
    hr = hr[: height * scale, : width * scale]
    note = _check_shown(hr, lr, hr_file, lr_file, scale)
    _check_colours(hr, lr, hr_file, lr_file, scale)
    return note


def _check_shown(hr: U8, lr: U8, hr_file: Path, lr_file: Path, scale: int) -> str | None:
    height, width = lr.shape[:2]
    grey_hr, grey_lr = _grey(hr), _grey(lr)
    # Grey is rounded to 8 bits only so that the exact `downscale` can be used.
    top, left = max(1, (height - _WINDOW) // 2), max(1, (width - _WINDOW) // 2)
    bottom, right = min(height - 1, top + _WINDOW), min(width - 1, left + _WINDOW)
    if bottom - top < 6 or right - left < 6:
        return None  # too small to tell

    def error(dy: int, dx: int) -> float:
        """Mean squared difference where LR is compared with HR moved by (dy, dx) HR pixels."""
        window = grey_hr[top * scale + dy : bottom * scale + dy, left * scale + dx : right * scale + dx]
        # Two pixels at the rim are left out, they depend on what lies outside.
        difference = downscale(window, scale)[2:-2, 2:-2] - grey_lr[top:bottom, left:right][2:-2, 2:-2].astype(float)
        return float(np.mean(difference**2))

    ours = downscale(grey_hr, scale)[top:bottom, left:right].astype(float)
    given = grey_lr[top:bottom, left:right].astype(float)
    if np.abs(ours - given).max() <= _SAME_LEVELS:
        return None
    steps = (0, -1, 1, -scale, scale)
    shifts = sorted((abs(dy) + abs(dx), dy, dx) for dy in steps for dx in steps)
    straight = error(0, 0)
    least, dy, dx = min((error(dy, dx), dy, dx) for _, dy, dx in shifts)
    note = None
    if (dy, dx) != (0, 0) and least < _CLEARLY * straight:
        shift = f"about {-dx} pixels to the right and {-dy} down (in HR pixels)"
        if max(abs(dy), abs(dx)) >= scale:
            raise UserError(
                f"{lr_file} is shifted against {hr_file} by {shift}; cut both from the same corner, or leave lr out"
            )
        note = f"whose LR picture seems shifted by {shift}"
    correlation = _correlation(ours, given)
    if least >= _CLEARLY * straight and correlation < _LEAST_CORRELATION:
        raise UserError(
            f"{lr_file} does not show the same picture as {hr_file} (correlation {correlation:.2f}); "
            "check that the names match the contents"
        )
    return note


def _check_colours(hr: U8, lr: U8, hr_file: Path, lr_file: Path, scale: int) -> None:
    """Raise UserError where pictures (h * scale, w * scale, 3) and (h, w, 3) differ in colour as no degradation makes
    them."""
    if min(lr.shape[:2]) < 3 * _POOLED:
        return  # too small to tell
    ours, given = _pooled(hr, _POOLED * scale), _pooled(lr, _POOLED)
    chroma_ours, chroma_given = _chroma(ours), _chroma(given)
    if chroma_ours >= _COLOURED and chroma_given <= _GREY:
        raise UserError(f"{lr_file} is grey, and {hr_file} is in colour; make LR anew (or leave lr out)")
    if chroma_ours <= _GREY and np.sqrt(_unexplained(ours, given)) >= _SURELY_COLOURED:
        raise UserError(f"{lr_file} is in colour, and {hr_file} is grey; check which of them is the original")
    # Light of another colour, or another exposure, changes channels but not their shapes.
    order = min(permutations(range(3)), key=lambda one: _unexplained(ours, given[..., list(one)]))
    same_shapes = _unexplained(ours, given[..., list(order)]) >= _CLEARLY * _unexplained(ours, given)
    if same_shapes:
        order = min(permutations(range(3)), key=lambda one: float(np.mean((ours - given[..., list(one)]) ** 2)))
        own = float(np.sqrt(np.mean((ours - given[..., list(order)]) ** 2))) <= _OWN
        if not own or float(np.sqrt(np.mean((ours - given) ** 2))) < 3 * _OWN:
            return
    letters = "".join("RGB"[channel] for channel in order)
    what = "red and blue swapped" if order == (2, 1, 0) else f"its channels in the order {letters}"
    raise UserError(f"{lr_file} has {what} against {hr_file}; make LR anew (or leave lr out: it is made from HR)")


def _unexplained(ours: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """Mean squared error of each channel of `given`, fitted to that of `ours` by a factor and an offset; one level is
    added, below which nothing is told."""
    a, b = (one.reshape(-1, 3) - one.reshape(-1, 3).mean(0) for one in (ours, given))
    factors = (a * b).sum(0) / np.maximum((a * a).sum(0), 1e-9)
    # A picture and its negative are not of one shape.
    return float(np.mean((b - np.maximum(factors, 0) * a) ** 2)) + 1.0


def _pooled(picture: U8, side: int) -> NDArray[np.float64]:
    """Means of whole blocks of `side` pixels a side, (H // side, W // side, 3)."""
    height, width = (length // side * side for length in picture.shape[:2])
    return np.asarray(Image.fromarray(picture[:height, :width]).reduce(side), np.float64)


def _chroma(pooled: NDArray[np.float64]) -> float:
    """Root mean square of R - G and B - G."""
    return float(np.sqrt(np.mean((pooled[..., [0, 2]] - pooled[..., [1]]) ** 2)))


def _grey(picture: U8) -> U8:
    # The mean of the channels would do as well: this is G with half of R and B, in whole numbers.
    red, green, blue = (picture[..., channel].astype(np.uint16) for channel in range(3))
    return ((red + 2 * green + blue) // 4).astype(np.uint8)[..., None]


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Normalised correlation, 1 where both are flat (nothing to compare), 0 where one is."""
    a, b = a - a.mean(), b - b.mean()
    flat = [float(np.sqrt(np.mean(x**2))) < 1.0 for x in (a, b)]
    if any(flat):
        return float(all(flat))
    return float((a * b).mean() / np.sqrt((a**2).mean() * (b**2).mean()))
