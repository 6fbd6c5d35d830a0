"""Files that are written row by row, each format as far as it lets one: what it cannot hold is left out (`lost`)."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from esr_ray.errors import UserError
from esr_ray.inference.files import whole_file
from esr_ray.inference.rows import Rows
from esr_ray.tasks.task import Levels
from esr_ray.upscale.picture import Kept, Opened
from esr_ray.upscale.png import PngWriter

WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
DEEP = {"PNG", "TIFF"}
"""Formats that hold 16 bits."""
JPEG_QUALITY = 95
MOST = {"WEBP": 16383, "JPEG": 65500}
"""Pixels that a side may have."""


class Writer(Protocol):
    """Takes a picture in bands, one below the other."""

    def write(self, band: Levels) -> None:
        """The next rows (n, width, channels)."""

    def close(self) -> None:
        """All rows are written."""


def lost(opened: Opened, kind: str) -> list[str]:
    """What a format cannot hold of a picture, in words."""
    rows = opened.rows()
    said = []
    if rows.has_alpha and kind not in WITH_ALPHA and opened.flat not in (np.iinfo(rows.kind).max,):
        said.append(f"{kind} has no transparency: it is lost")
    if rows.kind != np.uint8 and kind not in DEEP:
        said.append(f"{kind} has 8 bits: the 16 bits are reduced")
    return said


@contextmanager
def writing(path: Path, kind: str, rows: Rows, kept: Kept) -> Iterator[Writer]:
    """A file for a picture of the size and kind of `rows`; it is there once all is written, or not at all.

    Raises UserError where it cannot be written, and where a format cannot hold a picture of that size.
    """
    if max(rows.height, rows.width) > MOST.get(kind, 2**31):
        raise UserError(
            f"{path}: {kind} holds {MOST[kind]} pixels a side, not {rows.width}x{rows.height}; write another format"
        )
    with whole_file(path) as file:
        try:
            yield _fitting(kind, file, rows, kept, path)
        except _TooLargeError as error:
            raise UserError(f"{path}: {error}") from None


class _TooLargeError(Exception):
    pass


def _fitting(kind: str, file: IO[bytes], rows: Rows, kept: Kept, path: Path) -> Writer:
    channels = rows.channels if kind in WITH_ALPHA else (rows.channels - 1) | 1
    deep = kind in DEEP and rows.kind != np.uint8
    if kind == "PNG":
        exif = None if kept.exif is None else kept.exif.tobytes()
        writer: Writer = PngWriter(file, rows.width, rows.height, channels, deep, kept.icc, exif, kept.dpi)
    elif kind == "TIFF":
        writer = _Tiff(file, rows.width, rows.height, channels, deep, kept)
    else:
        writer = _Whole(file, kind, rows.width, rows.height, channels, kept, path.parent)
    return _Fitted(writer, channels, rows.kind, deep)


class _Fitted:
    """A `Writer` that leaves out of pictures what the one behind it does not take."""

    def __init__(self, writer: Writer, channels: int, kind: np.dtype[Any], deep: bool) -> None:
        self._writer, self._channels = writer, channels
        self._reduced = kind != np.uint8 and not deep

    def write(self, band: Levels) -> None:
        band = band[..., : self._channels]
        # 65535 = 257·255, so this is the nearest value of 8 bits.
        self._writer.write(((band.astype(np.uint32) + 128) // 257).astype(np.uint8) if self._reduced else band)

    def close(self) -> None:
        self._writer.close()


class _Tiff:
    """Not compressed, as Pillow writes it, which writes the directory here."""

    def __init__(self, file: IO[bytes], width: int, height: int, channels: int, deep: bool, kept: Kept) -> None:
        depth = 2 if deep else 1
        row = width * channels * depth
        if row * height > 2**32 - 2**20:
            raise _TooLargeError("TIFF holds 4 GB; write PNG")
        directory = ImageFileDirectory_v2()
        if kept.exif is not None:
            for tag in kept.exif:
                directory[tag] = kept.exif.get_ifd(tag) if tag in (0x8769, 0x8825) else kept.exif[tag]
            for part in (0x8769, 0x8825):
                if content := kept.exif.get_ifd(part):
                    directory[part] = dict(content)
        # Of about 64 KB, as the standard advises.
        rows_of_strip = max(1, min(height, 65536 // row))
        strips = -(-height // rows_of_strip)
        size = rows_of_strip * row
        directory[256], directory[257] = width, height
        directory[258] = (8 * depth,) * channels
        directory[259] = 1
        directory[262] = 2 if channels > 2 else 1
        directory[277] = channels
        directory[278] = rows_of_strip
        directory[279] = (*[size] * (strips - 1), row * height - size * (strips - 1))
        # From the directory's end on: Pillow adds where that is.
        directory[273] = tuple(size * strip for strip in range(strips))
        if channels in (2, 4):
            directory[338] = 2
        if kept.icc is not None:
            directory.tagtype[34675] = 7
            directory[34675] = kept.icc
        if kept.dpi is not None:
            directory[296] = 2
            directory[282], directory[283] = kept.dpi
        directory.save(file)
        self._file = file
        self._kind = np.dtype("<u2" if deep else np.uint8)

    def write(self, band: Levels) -> None:
        self._file.write(np.ascontiguousarray(band, self._kind).data)

    def close(self) -> None:
        """Nothing comes after the pixels."""


class _Whole:
    """Formats that Pillow writes of a whole picture: it lies in a file without a name until then, not in memory."""

    def __init__(
        self, file: IO[bytes], kind: str, width: int, height: int, channels: int, kept: Kept, folder: Path
    ) -> None:
        # Pillow takes such pixels as they lie there; the fourth byte is transparency, or nothing.
        self._mode, self._bytes = {1: ("L", 1), 3: ("RGBX", 4)}.get(channels, ("RGBA", 4))
        self._file, self._kind, self._size, self._kept = file, kind, (width, height), kept
        with tempfile.TemporaryFile(dir=folder) as scratch:
            scratch.truncate(width * height * self._bytes)
            self._pixels = mmap.mmap(scratch.fileno(), 0)
        self._row = 0

    def write(self, band: Levels) -> None:
        height, (width, _) = len(band), self._size
        there = np.frombuffer(self._pixels, np.uint8, height * width * self._bytes, self._row * width * self._bytes)
        there = there.reshape(height, width, self._bytes)
        if band.shape[2] == 2:
            there[..., :3], there[..., 3] = band[..., :1], band[..., 1]
        else:
            there[..., : band.shape[2]] = band
        self._row += height
        self._release()

    def close(self) -> None:
        pixels = np.frombuffer(self._pixels, np.uint8)
        image = Image.frombuffer(self._mode, self._size, pixels, "raw", self._mode, 0, 1)
        options: dict[str, Any] = {}
        exif = self._kept.exif
        if self._kind == "JPEG":
            options = {"quality": JPEG_QUALITY, "subsampling": 0}
        elif self._kind == "WEBP":
            options = {"lossless": True, "exact": True}
            if self._kept.dpi is not None:
                # It has no place of its own for this.
                exif = Image.Exif() if exif is None else exif
                exif[0x011A], exif[0x011B], exif[0x0128] = *self._kept.dpi, 2
        elif self._mode == "RGBX":
            image = image.convert("RGB")
        if self._kept.icc is not None and self._kind != "BMP":
            options["icc_profile"] = self._kept.icc
        if exif is not None and self._kind != "BMP":
            options["exif"] = exif.tobytes()
        if self._kept.dpi is not None and self._kind != "WEBP":
            options["dpi"] = self._kept.dpi
        try:
            image.save(cast(IO[bytes], _Releasing(self)), self._kind, **options)
        except MemoryError:
            raise _TooLargeError(f"{self._kind}'s encoder has no memory for it; write PNG") from None

    def _release(self) -> None:
        """Pixels in the file's cache need not be in this process."""
        self._pixels.madvise(mmap.MADV_DONTNEED)

    def take(self, content: bytes) -> int:
        self._release()
        return self._file.write(content)


class _Releasing:
    """What Pillow writes a file to."""

    def __init__(self, writer: _Whole) -> None:
        self._writer = writer

    def write(self, content: bytes) -> int:
        return self._writer.take(content)

    def flush(self) -> None:
        """The file is flushed once it is whole."""
