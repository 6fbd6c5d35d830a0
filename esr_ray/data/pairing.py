"""Checks that a given LR picture belongs to its HR picture: size, content, and that neither is shifted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


def check_pair(hr: U8, lr: U8, hr_file: Path, lr_file: Path, scale: int) -> str | None:
    """Check `lr` (h, w, 3) against `hr` (H, W, 3), both uint8, as decoded.

    UserError, naming both files, where the size of LR is not exactly floor(HR / scale), where LR is shifted by an LR
    pixel, or where it shows something else (correlation of the grey values below 0.5). LR that is off by a single HR
    pixel, as decimation without a filter leaves it, is only noted: what to say of the picture is returned, otherwise
    None.
    """
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    if lr.shape[:2] != (height, width):
        raise UserError(
            f"{lr_file} is {lr.shape[1]}x{lr.shape[0]}, but {hr_file} ({hr.shape[1]}x{hr.shape[0]}) at scale {scale} "
            f"needs {width}x{height}; check task.scale, or make LR anew (or leave lr out: it is made from HR)"
        )
    grey_hr, grey_lr = _grey(hr[: height * scale, : width * scale]), _grey(lr)
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
