"""Between pictures of 8 bits and what networks are given and give."""

from __future__ import annotations

import numpy as np

from esr_ray.metrics import to_uint8
from esr_ray.tasks.task import F32, U8


def as_rgb(picture: U8) -> F32:
    """uint8 (H, W, 3) -> (3, H, W) in [0, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def completed(output: F32, picture: U8) -> U8:
    """What a network of RGB makes: its output is the picture (`Task.complete`)."""
    return as_picture(output)


def as_picture(values: F32) -> U8:
    """The inverse, clipped and rounded. Raises ValueError where a value is not finite."""
    return to_uint8(values.transpose(1, 2, 0))
