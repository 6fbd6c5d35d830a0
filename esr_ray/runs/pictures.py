"""Strips of LR, bicubic, network and HR beside each other, as TensorBoard and the run folder show them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from esr_ray.data.resize import upscale


def comparison_strip(lr: np.ndarray, sr: np.ndarray, hr: np.ndarray, scale: int, side: int = 256) -> np.ndarray:
    """uint8 (H, 4·W + 6, 3): LR (pixels repeated), bicubic, network, HR; the middle `side` pixels of each."""
    nearest = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    parts = [_middle(part, side) for part in (nearest, upscale(lr, scale), sr, hr)]
    gap = np.full((parts[0].shape[0], 2, 3), 255, np.uint8)
    return np.concatenate([parts[0], gap, parts[1], gap, parts[2], gap, parts[3]], axis=1)


def _middle(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return picture[top : top + side, left : left + side]


def to_png(picture: np.ndarray) -> bytes:
    """The PNG file of a uint8 (H, W, 3) picture."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def from_png(content: bytes) -> np.ndarray:
    """The inverse of `to_png`."""
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))
