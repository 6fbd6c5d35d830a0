"""Pictures of 16 bits, of which Pillow hands out 8 for colours.

Its decoders unpack 16-bit samples into 8 bits by taking one of the two bytes, as the raw mode says: the upper one. So
files are decoded twice, once for each byte, by the same decoders that read all other files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from PIL import Image

from esr_ray.tasks.task import Levels

_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte order in which the upper byte stands where the lower one is."""
_CHANNELS = {"RGB;16": 3, "RGBA;16": 4, "RGBX;16": 3}
_PLANES = 2
"""What a TIFF says whose colours do not lie side by side."""


def begin_deep(image: Image.Image) -> str | None:
    """How a file that is open, but not decoded yet, holds 16 bits that Pillow would reduce to 8; None, if it does not.

    Load the image then, and give it to `read_deep` with what this returned.
    """
    found = set(_raw_modes(image))
    if not any(";16" in raw and not raw.startswith("I") for raw in found):
        return None
    raw = found.pop() if len(found) == 1 else "several"
    if raw == "LA;16B":
        # As many bytes a pixel as RGBA has: all of them are kept.
        _set_raw_mode(image, "RGBA")
    return raw


def in_planes(image: Image.Image) -> bool:
    """Whether it is a TIFF of 16 bits whose colours lie in planes, which Pillow reads wrongly."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(284, 1) == _PLANES and max(tags.get(258, (8,))) > 8


def read_deep(image: Image.Image, raw: str, again: Callable[[], AbstractContextManager[Image.Image]]) -> Levels | None:
    """All 16 bits, (h, w, 2 to 4) uint16, of an image that was loaded, and is closed now, and what `again` opens of its
    file; None for a kind whose bytes cannot be had so."""
    if raw == "LA;16B":
        parts = np.asarray(image)
        return (parts[..., 0::2].astype(np.uint16) << 8) | parts[..., 1::2]
    if raw[:-1] not in _CHANNELS or raw[-1] not in _OTHER:
        return None
    channels = _CHANNELS[raw[:-1]]
    picture = np.asarray(image)[..., :channels].astype(np.uint16)
    picture <<= 8
    image.close()
    with again() as second:
        _set_raw_mode(second, raw[:-1] + _OTHER[raw[-1]])
        second.load()
        picture |= np.asarray(second)[..., :channels]
    return picture


def _raw_modes(image: Image.Image) -> list[str]:
    """How the parts of a file that is not decoded yet are unpacked."""
    found: list[Any] = [tile[-1] for tile in getattr(image, "tile", [])]
    return [str(one[0] if isinstance(one, tuple) else one) for one in found]


def _set_raw_mode(image: Any, raw: str) -> None:
    """Have the parts unpacked in another way."""
    tiles = []
    for tile in image.tile:
        parameters = (raw, *tile[-1][1:]) if isinstance(tile[-1], tuple) else raw
        # In older versions of Pillow these are plain tuples.
        make = getattr(type(tile), "_make", tuple)
        tiles.append(make((*tile[:-1], parameters)))
    image.tile = tiles
