"""What is left of a picture when it is rescaled, compressed or cut: enough to know it again, and kept on the disk."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from esr_ray.data.images import read_picture
from esr_ray.errors import UserError

U8 = NDArray[np.uint8]

SIDE = 16
"""Of the grey thumbnail. Smaller pictures have none."""
BLOCK = 8
"""Side of the blocks of pixels by which crops are known."""
_ONE_IN_BITS = 11
"""A block begins at one position of 2^11, on average: a crop of 200x200 has about twenty, before flat ones are left
out."""
_ROWS = 64
_LEAST_RANGE = 16
"""Blocks with less contrast (levels) may be alike by chance, a sky for instance."""
_MIXER = np.uint64(0x9E3779B97F4A7C15)
_BELOW = np.uint64(1 << (64 - _ONE_IN_BITS))
_FORMAT = 1
"""Of what is kept: raise it if fingerprints change."""
FINGERPRINTS = "fingerprints.sqlite"
"""Their file in the folder of decoded pictures."""
MOST = 200_000
"""So many are remembered, the last ones: some hundred megabytes."""
_HEAD = struct.Struct("<IIII")


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Of one picture: its size (H, W), its thumbnail (SIDE, SIDE) uint8 grey, and blocks (n): `keys` uint64 of their
    pixels, and `places` (n, 2) int32, row and column. Blocks are chosen by their pixels alone, so that a crop has those
    of the picture that it was cut out of."""

    size: tuple[int, int]
    thumbnail: U8 | None
    keys: NDArray[np.uint64]
    places: NDArray[np.int32]


def fingerprint(pixels: U8) -> Fingerprint:
    """Of pixels (H, W, 3) uint8 RGB."""
    height, width = pixels.shape[:2]
    thumbnail = None
    if min(height, width) >= SIDE:
        small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
        thumbnail = np.asarray(small.convert("L"))
    keys, places = _blocks(np.ascontiguousarray(pixels[..., 1]))
    return Fingerprint((height, width), thumbnail, keys, places)


def fingerprints(paths: Sequence[Path], cache_dir: Path | None) -> list[Fingerprint | None]:
    """Of picture files; None for one that cannot be read (opening the pictures says why).

    Decoding takes long, so fingerprints are kept in `cache_dir`, by path, size and time of change of the file.
    """
    found: list[Fingerprint | None] = []
    with closing(_opened(cache_dir)) as kept:
        for path in paths:
            key = _key(path)
            one = _recalled(kept, key) if key is not None else None
            if one is None and key is not None:
                with suppress(UserError):
                    one = fingerprint(read_picture(path).pixels)
                    _keep(kept, key, one)
            found.append(one)
    return found


def _blocks(green: U8) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    height, width = green.shape
    keys: list[int] = []
    places: list[tuple[int, int]] = []
    if min(height, width) >= BLOCK:
        for row, column in _begins(green):
            block = green[row : row + BLOCK, column : column + BLOCK]
            if int(block.max()) - int(block.min()) >= _LEAST_RANGE:
                keys.append(int.from_bytes(hashlib.blake2b(block.tobytes(), digest_size=8).digest(), "little"))
                places.append((row, column))
    return np.array(keys, np.uint64), np.array(places, np.int32).reshape(-1, 2)


def _begins(green: U8) -> Iterator[tuple[int, int]]:
    """Where a block begins: where a mixture of 8 pixels in a row begins with zeros."""
    height, width = green.shape
    for top in range(0, height - BLOCK + 1, _ROWS):
        rows = green[top : min(top + _ROWS, height - BLOCK + 1)]
        # Eight neighbours as one number. The copy is aligned, which is several times faster.
        mixed: NDArray[np.uint64] = np.ndarray((len(rows), width - 7), "<u8", buffer=rows, strides=(width, 1)).copy()
        np.multiply(mixed, _MIXER, out=mixed)
        chosen = np.flatnonzero(mixed < _BELOW)
        if len(chosen) > mixed.size >> (_ONE_IN_BITS - 6):
            continue  # one level, or a drawn pattern such as stripes: no photo has so many
        for place in chosen:
            yield top + int(place) // (width - 7), int(place) % (width - 7)


def _key(path: Path) -> str | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return f"{_FORMAT}:{about.st_size}:{about.st_mtime_ns}:{path.resolve()}"


def _opened(cache_dir: Path | None) -> sqlite3.Connection:
    """The fingerprints of before; in memory where there is no folder that can be written: that only costs time."""
    make = "CREATE TABLE IF NOT EXISTS fingerprints (key TEXT PRIMARY KEY, content BLOB)"
    if cache_dir is not None:
        with suppress(sqlite3.Error, OSError):
            cache_dir.mkdir(parents=True, exist_ok=True)
            kept = sqlite3.connect(cache_dir / FINGERPRINTS)
            kept.execute(make)
            kept.execute("DELETE FROM fingerprints WHERE rowid <= (SELECT MAX(rowid) FROM fingerprints) - ?", (MOST,))
            kept.commit()
            return kept
    kept = sqlite3.connect(":memory:")
    kept.execute(make)
    return kept


def _recalled(kept: sqlite3.Connection, key: str) -> Fingerprint | None:
    with suppress(sqlite3.Error, ValueError, struct.error):
        row = kept.execute("SELECT content FROM fingerprints WHERE key = ?", (key,)).fetchone()
        return None if row is None else _decoded(row[0])
    return None


def _keep(kept: sqlite3.Connection, key: str, one: Fingerprint) -> None:
    with suppress(sqlite3.Error):
        kept.execute("INSERT OR REPLACE INTO fingerprints VALUES (?, ?)", (key, _encoded(one)))
        kept.commit()


def _encoded(one: Fingerprint) -> bytes:
    head = _HEAD.pack(*one.size, len(one.keys), one.thumbnail is not None)
    thumbnail = b"" if one.thumbnail is None else one.thumbnail.tobytes()
    return head + thumbnail + one.keys.astype("<u8").tobytes() + one.places.astype("<i4").tobytes()


def _decoded(content: bytes) -> Fingerprint:
    height, width, count, has_thumbnail = _HEAD.unpack_from(content)
    at = _HEAD.size
    thumbnail = None
    if has_thumbnail:
        thumbnail = np.frombuffer(content, np.uint8, SIDE * SIDE, at).reshape(SIDE, SIDE)
        at += SIDE * SIDE
    keys = np.frombuffer(content, "<u8", count, at).astype(np.uint64)
    places = np.frombuffer(content, "<i4", 2 * count, at + 8 * count).astype(np.int32).reshape(-1, 2)
    return Fingerprint((height, width), thumbnail, keys, places)
