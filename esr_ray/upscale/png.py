"""PNG files written row by row, of 8 and 16 bits: Pillow needs the whole picture, and has no colours of 16 bits.

Portable Network Graphics (PNG) Specification, third edition: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray

from esr_ray.tasks.task import U8, Levels

LEVEL = 6
"""Of compression, of 9."""
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By channels (section 11.2.1)."""
_ROWS = 32
"""So many are filtered at once: they stay in the processor's cache."""


class PngWriter:
    """Writes a picture of (width, height), of 1 to 4 channels (grey, with transparency, RGB, with transparency); beside
    it an ICC profile, EXIF as JPEG has it, and pixels per inch."""

    def __init__(
        self,
        file: IO[bytes],
        width: int,
        height: int,
        channels: int,
        deep: bool,
        icc: bytes | None = None,
        exif: bytes | None = None,
        dpi: tuple[float, float] | None = None,
    ) -> None:
        self._file = file
        self._kind = np.dtype(">u2" if deep else np.uint8)
        self._pixel = channels * self._kind.itemsize
        self._above: U8 = np.zeros((1, width * self._pixel), np.uint8)
        # Filtered rows are small differences: few matches, but uneven literals.
        self._compress = zlib.compressobj(LEVEL, strategy=zlib.Z_FILTERED)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(
            b"IHDR", struct.pack(">IIBBBBB", width, height, 16 if deep else 8, _COLOUR_TYPES[channels], 0, 0, 0)
        )
        if icc is not None:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
        if dpi is not None:
            across, down = (min(2**31 - 1, round(one / 0.0254)) for one in dpi)
            self._chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
        if exif is not None:
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))

    def write(self, band: Levels) -> None:
        rows = np.ascontiguousarray(band, self._kind).view(np.uint8).reshape(len(band), -1)
        for first in range(0, len(rows), _ROWS):
            part = rows[first : first + _ROWS]
            content = self._compress.compress(_filtered(part, self._above, self._pixel).data)
            if content:
                self._chunk(b"IDAT", content)
            self._above = part[-1:].copy()

    def close(self) -> None:
        self._chunk(b"IDAT", self._compress.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + kind)
        self._file.write(content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _filtered(rows: U8, above: U8, pixel: int) -> U8:
    """Rows of bytes, each with the type of its filter before it: that whose differences are least (section 12.7)."""
    up = np.concatenate([above, rows[:-1]])
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel:], corner[:, pixel:] = rows[:, :-pixel], up[:, :-pixel]
    filters = {0: rows, 1: rows - left, 2: rows - up, 4: rows - _paeth(left, up, corner)}
    # Bytes are differences modulo 256: 255 is as small as 1.
    sizes = np.stack([np.abs(one.view(np.int8).astype(np.int16)).sum(1, dtype=np.int64) for one in filters.values()])
    best = sizes.argmin(0)
    result = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    for place, (kind, values) in enumerate(filters.items()):
        chosen = best == place
        result[chosen, 0] = kind
        result[chosen, 1:] = values[chosen]
    return result


def _paeth(left: U8, up: U8, corner: U8) -> U8:
    """Which of the three is nearest to left + up - corner (section 9.4)."""
    a, b, c = (one.astype(np.int16) for one in (left, up, corner))
    to_a, to_b = np.abs(b - c), np.abs(a - c)
    to_c: NDArray[np.int16] = np.abs(a + b - 2 * c)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, corner))
