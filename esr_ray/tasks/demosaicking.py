"""Demosaicking: RGB from the one colour a pixel that a sensor behind a Bayer filter sees."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from esr_ray.tasks.pixels import as_picture, as_rgb, completed
from esr_ray.tasks.task import F32, Baseline, Levels, Task

PATTERNS = {
    "RGGB": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "GRBG": ((0, 1), (0, 0), (1, 1), (1, 0)),
    "GBRG": ((1, 0), (0, 0), (1, 1), (0, 1)),
    "BGGR": ((1, 1), (0, 1), (1, 0), (0, 0)),
}
"""(row, column) in each square of two pixels of R, of two greens, and of B."""
_CHANNELS = (0, 1, 1, 2)
BORDER = 10
"""Pixels that papers on demosaicking do not measure."""


def demosaicking(settings: dict[str, Any], pattern: str) -> Task:
    """The task of finding the two colours that a sensor did not see at each pixel.

    A network is given the mosaic packed into four planes of half the size (R, two greens, B), and gives RGB. Quality is
    PSNR over R, G and B (cPSNR) without a border of 10 pixels.
    """
    packed = partial(_packed, pattern=pattern)
    return Task(
        settings=settings,
        title=f"demosaicking {pattern}",
        scale=2,
        in_channels=4,
        out_channels=3,
        border=BORDER,
        judged_by="psnr_rgb",
        baselines=(
            Baseline("Malvar", lambda pair: as_picture(malvar(as_rgb(pair.hr), pattern))),
            Baseline("bilinear", lambda pair: as_picture(bilinear(as_rgb(pair.hr), pattern))),
        ),
        # After the crop was turned: the pattern stays as it is.
        prepare=lambda lr, hr, draw: (np.stack([packed(crop) for crop in hr]), hr),
        degraded=lambda pair: packed(as_rgb(pair.hr)),
        given=partial(_packed_mosaic, pattern=pattern),
        complete=completed,
        shown=lambda pair: as_picture(_seen(as_rgb(pair.hr), pattern)[0]),
        input_name="mosaic",
        cell=2,
    )


def _packed(rgb: F32, pattern: str) -> F32:
    """(3, H, W), even sizes -> (4, H/2, W/2)."""
    planes = zip(_CHANNELS, PATTERNS[pattern], strict=True)
    return np.stack([rgb[channel, row::2, column::2] for channel, (row, column) in planes])


def _packed_mosaic(mosaic: Levels, pattern: str) -> F32:
    """What a sensor saw, (H, W, 1) of even sizes -> (4, H/2, W/2)."""
    (seen,) = as_rgb(mosaic)
    return np.stack([seen[row::2, column::2] for row, column in PATTERNS[pattern]])


def _seen(rgb: F32, pattern: str) -> tuple[F32, F32]:
    """What a sensor sees, (3, H, W), zero where it sees another colour; and where that is, as ones."""
    where = np.zeros_like(rgb)
    for channel, (row, column) in zip(_CHANNELS, PATTERNS[pattern], strict=True):
        where[channel, row::2, column::2] = 1
    return rgb * where, where


def bilinear(rgb: F32, pattern: str) -> F32:
    """RGB (3, H, W) of its own mosaic: each missing colour is the mean of the nearest that were seen."""
    seen, where = _seen(rgb, pattern)
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
    found = [_filtered(plane, kernel) / _filtered(mask, kernel) for plane, mask in zip(seen, where, strict=True)]
    return np.where(where > 0, rgb, np.stack(found)).astype(np.float32)


def malvar(rgb: F32, pattern: str) -> F32:
    """RGB (3, H, W) of its own mosaic by the linear filters of Malvar, He and Cutler 2004 (ICASSP), figure 2."""
    seen, where = _seen(rgb, pattern)
    mosaic = seen.sum(0)
    green = np.array(
        [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float32
    )
    # Of red at green where red stands to the left and right; turned, where it stands above and below.
    row = np.array(
        [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]], np.float32
    )
    # Of red at blue, and of blue at red.
    corner = np.array(
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]], np.float32
    )
    of_green, of_row, of_column, of_corner = (_filtered(mosaic, one / 8) for one in (green, row, row.T, corner))
    found = np.empty_like(rgb)
    found[1] = np.where(where[1] > 0, mosaic, of_green)
    for channel, other in ((0, 2), (2, 0)):
        # Rows of pixels in which this colour was seen at all.
        in_row = where[channel].any(1)[:, None]
        at_green = np.where(in_row, of_row, of_column)
        missing = np.where(where[other] > 0, of_corner, at_green)
        found[channel] = np.where(where[channel] > 0, mosaic, missing)
    return found


def _filtered(plane: F32, kernel: F32) -> F32:
    # Imported late: other tasks begin sooner without.
    from scipy.ndimage import correlate

    # Mirrored about the border pixel: so the pattern goes on beyond it.
    return np.asarray(correlate(plane, kernel, mode="mirror"), np.float32)
