"""Between pictures of 8 or 16 bits and what networks are given and give."""

from __future__ import annotations

from typing import Any

import numpy as np

from esr_ray.metrics import YCBCR_FROM_RGB, YCBCR_OFFSET, to_levels
from esr_ray.tasks.task import F32, U8, Levels

_Y = YCBCR_FROM_RGB[0].astype(np.float32)


def as_rgb(picture: Levels) -> F32:
    """uint8 or uint16 (H, W, C) -> (C, H, W) in [0, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(np.iinfo(picture.dtype).max)


def luminance_of(picture: Levels) -> F32:
    """Y (H, W) of RGB (H, W, 3), in 16/255 to 235/255: as `esr_ray.metrics.luminance`, over 255."""
    # Written out, not as a matrix product: that may round differently with another BLAS.
    red, green, blue = (picture[..., channel] * weight for channel, weight in enumerate(_Y))
    most = np.float32(np.iinfo(picture.dtype).max)
    return np.asarray((red + green + blue) / most + np.float32(YCBCR_OFFSET[0]), np.float32)


def with_luminance(picture: Levels, luminance: F32) -> Levels:
    """The picture (H, W, 3) with another Y (H, W), its Cb and Cr unchanged.

    R, G and B depend on Y alike (by 255/219), so each changes by the same amount. Raises ValueError where a value is
    not finite.
    """
    change = (luminance - luminance_of(picture)) * np.float32(255 / 219)
    most = np.float32(np.iinfo(picture.dtype).max)
    return to_levels(picture / most + change[..., None], picture.dtype)


def completed(output: F32, picture: Levels) -> Levels:
    """What a network of RGB makes: its output is the picture (`Task.complete`)."""
    return as_levels(output, picture.dtype)


def as_picture(values: F32) -> U8:
    """The inverse of `as_rgb` for 8 bits, clipped and rounded. Raises ValueError where a value is not finite."""
    return as_levels(values, np.dtype(np.uint8))


def as_levels(values: F32, kind: np.dtype[Any]) -> Levels:
    """The inverse of `as_rgb` for a `kind` of pixels, clipped and rounded. Raises ValueError as `as_picture`."""
    return to_levels(values.transpose(1, 2, 0), kind)
