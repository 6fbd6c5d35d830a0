"""The fixed filters of bicubic enlargement, as the global skip has them. Pure NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def phase_filters(scale: int) -> NDArray[np.float32]:
    """(scale², 1, 5, 5): output pixel scale·j + p lies (p + 0.5)/scale - 0.5 beside input pixel j."""
    offsets = (np.arange(scale) + 0.5) / scale - 0.5
    taps = _cubic(offsets[:, None] - np.arange(-2, 3)[None, :])  # (scale, 5)
    filters = taps[:, None, :, None] * taps[None, :, None, :]  # (scale, scale, 5, 5)
    return filters.reshape(scale * scale, 1, 5, 5).astype(np.float32)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = -0.5 (Keys 1981, equation 15)."""
    d = np.abs(distance)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
