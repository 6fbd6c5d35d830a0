"""Two pictures in one: the left half of the first, the right half of the second, a line between them."""

from __future__ import annotations

import numpy as np

from esr_ray.tasks.task import U8

LINE = 3
"""Pixels that the line between the halves is wide."""


def split_picture(left: U8, right: U8) -> U8:
    """uint8 (H, W, 3), of two pictures of this size."""
    width = left.shape[1]
    middle = width // 2
    split = np.concatenate([left[:, :middle], right[:, middle:]], axis=1)
    split[:, max(0, middle - LINE // 2) : middle + LINE // 2 + 1] = 255
    return split
