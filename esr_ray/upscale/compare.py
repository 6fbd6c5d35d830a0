"""Two pictures in one: the left half of the first, the right half of the second, a line between them."""

from __future__ import annotations

import numpy as np

from esr_ray.data.resize import upscale as bicubic
from esr_ray.inference.rows import Rows
from esr_ray.tasks.task import Levels

LINE = 3
"""Pixels that the line between the halves is wide."""


SEEN = 2
"""Pixels to each side that bicubic sees."""


def split_rows(small: Rows, larger: Levels, first: int, scale: int) -> Levels:
    """Rows of the comparison, (n, W, channels), from the `first` on: of `small` (without transparency) by bicubic
    `scale` times as large, and of what is `larger` already."""
    last, width = first + len(larger), larger.shape[1]
    top = max(0, first // scale - SEEN)
    part = small.read(top, min(small.height, -(-last // scale) + SEEN))
    middle = width // 2
    split = larger.copy()
    # Of grey beside RGB each channel is the grey.
    left = bicubic(part, scale)[first - scale * top : last - scale * top, :middle]
    split[:, :middle] = left
    split[:, max(0, middle - LINE // 2) : middle + LINE // 2 + 1] = np.iinfo(larger.dtype).max
    return split
