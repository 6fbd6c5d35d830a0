"""The folder of decoded pictures: what is in it, and keeping it within a limit.

Everything in it can be made again; a store that is removed while a process has it open stays for that process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from esr_ray.data.fingerprints import FINGERPRINTS

SPARED_S = 86_400.0
"""What was used within the last day is not removed for a limit: a run may be at work with it, and begin evaluators."""
_SUFFIXES = ("json", "u8", "lock")


@dataclass(frozen=True)
class KeptStore:
    """Decoded pictures of an experiment or a set: their name, how many bytes they take, and when they were last used
    (seconds since 1970)."""

    checksum: str
    size: int
    used: float


def kept_stores(cache_dir: Path) -> list[KeptStore]:
    """The stores of a folder, the one that was not used for longest first."""
    found = []
    for pixels in cache_dir.glob("*.u8"):
        # Another process may remove it now.
        with suppress(OSError):
            index = pixels.with_suffix(".json")
            about = pixels.stat()
            found.append(KeptStore(pixels.stem, about.st_size, (index if index.exists() else pixels).stat().st_mtime))
    return sorted(found, key=lambda one: (one.used, one.checksum))


def mark_used(cache_dir: Path, checksum: str) -> None:
    """Note that a store is used now."""
    # A folder that cannot be written in is not ours to keep small.
    with suppress(OSError):
        os.utime(cache_dir / f"{checksum}.json")


def keep_within(cache_dir: Path, limit: float, in_use: Collection[str] = ()) -> int:
    """Remove the stores that were not used for longest, until all take `limit` bytes at most; the bytes removed.

    Those `in_use`, and those that were used within a day, stay even where the limit is passed.
    """
    stores = kept_stores(cache_dir)
    total, removed = sum(one.size for one in stores), 0
    for one in stores:
        if total - removed <= limit:
            break
        if one.checksum not in in_use and time.time() - one.used > SPARED_S:
            _remove(cache_dir, one)
            removed += one.size
    return removed


def empty(cache_dir: Path) -> int:
    """Remove all stores, and what is remembered of picture files; the bytes removed."""
    stores = kept_stores(cache_dir)
    for one in stores:
        _remove(cache_dir, one)
    for lock in cache_dir.glob("*.lock"):
        lock.unlink(missing_ok=True)
    size, fingerprints = sum(one.size for one in stores), cache_dir / FINGERPRINTS
    if fingerprints.is_file():
        size += fingerprints.stat().st_size
        fingerprints.unlink()
    return size


def _remove(cache_dir: Path, store: KeptStore) -> None:
    # The index first: without it the store does not count.
    for suffix in _SUFFIXES:
        (cache_dir / f"{store.checksum}.{suffix}").unlink(missing_ok=True)
