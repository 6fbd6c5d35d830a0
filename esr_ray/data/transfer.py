"""A store brought to a node that does not have its pictures, part by part, from one that has it open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from esr_ray.data.store import has_store, locked, store_files
from esr_ray.durable import atomic_file, sweep

PART_BYTES = 32 * 2**20
"""Bytes that are sent at once."""

Read = Callable[[str, int], bytes]
"""Bytes of a store's file, by its suffix, from an offset on: at most PART_BYTES, none at its end."""


def read_part(cache_dir: Path, checksum: str, suffix: str, offset: int) -> bytes:
    """What `Read` gives, of a store of this node."""
    path = dict(store_files(cache_dir, checksum))[suffix]
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PART_BYTES)


def receive_store(cache_dir: Path, checksum: str, read: Read) -> bool:
    """Bring the store here, unless this node has it by now; whether it was brought.

    Processes of one node that want it at once bring it once. Raises OSError where it cannot be written.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    with locked(cache_dir, checksum):
        if has_store(cache_dir, checksum):
            return False
        # The index last: with it the store counts as whole.
        for suffix, path in store_files(cache_dir, checksum):
            sweep(cache_dir, path.name)
            with atomic_file(path) as file:
                while part := read(suffix, file.tell()):
                    file.write(part)
        if not has_store(cache_dir, checksum):
            raise OSError(f"{cache_dir}: the pictures that were sent are damaged")
        return True
