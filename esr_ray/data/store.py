"""Pictures decoded once a node, checked, and shared by its processes through a memory-mapped file.

A store is two files in the cache folder, named by what they were made from: `KEY.u8` holds the pixels one picture
after the other, `KEY.json` says where each lies. The index is written last, and it has a digest of the pixels: a store
with a valid index was whole when it was made, and whether it still is can be seen.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from esr_ray.data.build import Entry, build, needed_bytes
from esr_ray.data.cache import mark_used
from esr_ray.data.crops import PicturePair
from esr_ray.data.pairs import Pair
from esr_ray.data.sets import PictureSets
from esr_ray.durable import atomic_file, lock, sweep, write_atomically
from esr_ray.errors import DiskFull, UserError

# Part of the key: raise it where the layout or the way LR is made changes.
_FORMAT = 1
_PART = 1 << 20
# What `check_pair` looks at: raise it where it looks at more, and stores that earlier versions accepted are made anew.
_CHECKS = 3


@dataclass(frozen=True)
class StoreSpec:
    """What a store holds: (set name, pictures) in order, and the scale. Plain data, to be sent to other processes."""

    sets: tuple[tuple[str, tuple[Pair, ...]], ...]
    scale: int


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. `checksum` (hex) depends on the contents and names of all pictures, on sets and scale, not on
    where files lie; `built` says that this call made it; `notes` are lines on conversions."""

    sets: dict[str, list[PicturePair]]
    checksum: str
    notes: tuple[str, ...]
    built: bool


def store_spec(sets: PictureSets, scale: int) -> StoreSpec:
    """Return the spec of the three sets of an experiment, named train, validation and test."""
    return StoreSpec((("train", sets.train), ("validation", sets.validation), ("test", sets.test)), scale)


def open_store(spec: StoreSpec, cache_dir: Path, checksum: str | None = None) -> Store:
    """Open the store of `spec`, building it first where `cache_dir` has none or a damaged one.

    Processes that open the same store at once build it once: the others wait. Looking for it reads the picture files
    and the store (for their checksums) but decodes none; where `checksum` is given, and this node has that store,
    another process has looked at it (`has_store`), and nothing is read.
    UserError for whatever is wrong with a picture, a pair or the disk, see `esr_ray.data.build`.
    """
    names = [name for name, _ in spec.sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two sets of pictures are called {twice[0]}; rename one (a benchmark may not be called test)")
    index = None if checksum is None else _valid_index(cache_dir, checksum)
    if checksum is None or index is None:
        checksum = store_checksum(spec)
        index = _whole_index(cache_dir, checksum)
    built = False
    if index is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with locked(cache_dir, checksum):
                index = _whole_index(cache_dir, checksum)  # another process may have been faster
                if index is None:
                    index = _build(spec, cache_dir, checksum)
                    built = True
        except DiskFull:
            raise UserError(f"{cache_dir}: the disk filled up; {_advice(spec)}") from None
        except OSError as error:
            raise UserError(
                f"{cache_dir}: cannot be written ({error}); set runtime.cache_dir to a folder that can"
            ) from None
    mark_used(cache_dir, checksum)
    return Store(_views(index, cache_dir / f"{checksum}.u8"), checksum, tuple(index["notes"]), built)


def has_store(cache_dir: Path, checksum: str) -> bool:
    """Whether this node has the store, whole: all of it is read for its digest."""
    return _whole_index(cache_dir, checksum) is not None


def store_files(cache_dir: Path, checksum: str) -> tuple[tuple[str, Path], ...]:
    """The files of a store by their suffix: pixels, and the index, which is written last."""
    return tuple((suffix, cache_dir / f"{checksum}.{suffix}") for suffix in ("u8", "json"))


def store_checksum(spec: StoreSpec) -> str:
    """The checksum that the store of these files has, on this node. Raises UserError where one cannot be read."""
    content: list[Any] = [_FORMAT, spec.scale]
    for name, pairs in spec.sets:
        files = [
            [pair.name, pair.hr.name, _file_sha256(pair.hr)]
            + ([pair.lr.name, _file_sha256(pair.lr)] if pair.lr is not None else [])
            + ([pair.size] if pair.size != 1 else [])
            for pair in pairs
        ]
        content.append([name, files])
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    try:
        return _digest(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); replace or remove the file") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(_PART):
            digest.update(part)
        return digest.hexdigest()


def _whole_index(cache_dir: Path, checksum: str) -> dict[str, Any] | None:
    """The index, where the pixels are those that were written, otherwise None."""
    index = _valid_index(cache_dir, checksum)
    try:
        whole = index is not None and _digest(cache_dir / f"{checksum}.u8") == index["pixels"]
    except OSError:
        return None
    return index if whole else None


def _valid_index(cache_dir: Path, checksum: str) -> dict[str, Any] | None:
    """Return the index where it is intact and the pixel file has the size that it says, otherwise None."""
    try:
        index = json.loads((cache_dir / f"{checksum}.json").read_text())
        seal = index.pop("seal")
        if seal != _seal(index) or index["key"] != checksum or index["checks"] < _CHECKS:
            return None
        if (cache_dir / f"{checksum}.u8").stat().st_size != index["bytes"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(index)


def _seal(index: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def _build(spec: StoreSpec, cache_dir: Path, checksum: str) -> dict[str, Any]:
    needed = needed_bytes(spec.sets, spec.scale)
    free = shutil.disk_usage(cache_dir).free
    if free < needed:
        raise UserError(f"{cache_dir}: {_megabytes(free)} free, too little; {_advice(spec)}")
    # Left by a process that was killed: under the lock nobody else writes these.
    sweep(cache_dir, f"{checksum}.*")
    with atomic_file(cache_dir / f"{checksum}.u8") as out:
        written = _Hashed(out)
        entries, notes = build(spec.sets, spec.scale, written)
        size = out.tell()
        if store_checksum(spec) != checksum:
            raise UserError(
                "pictures were changed while they were read; wait until what writes them is done, and begin again"
            )
    index: dict[str, Any] = {
        "key": checksum,
        "checks": _CHECKS,
        "bytes": size,
        "pixels": written.digest.hexdigest(),
        "sets": {name: [_as_json(entry) for entry in part] for name, part in entries.items()},
        "notes": notes,
    }
    write_atomically(cache_dir / f"{checksum}.json", json.dumps({**index, "seal": _seal(index)}).encode())
    return index


class _Hashed:
    """A file that is written, with a digest of what that was."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> None:
        self.file.write(data)
        self.digest.update(data)

    def tell(self) -> int:
        return self.file.tell()


def _as_json(entry: Entry) -> list[Any]:
    return [entry.name, entry.hr_offset, list(entry.hr_shape), entry.lr_offset, list(entry.lr_shape)]


def _views(index: dict[str, Any], path: Path) -> dict[str, list[PicturePair]]:
    # A plain array on the mapping: pages are read when touched, and shared with every process that maps the file.
    pixels = np.memmap(path, np.uint8, mode="r").view(np.ndarray)

    def view(offset: int, shape: list[int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return pixels[offset : offset + shape[0] * shape[1] * 3].reshape(shape[0], shape[1], 3)

    return {
        name: [PicturePair(entry[0], view(entry[1], entry[2]), view(entry[3], entry[4])) for entry in entries]
        for name, entries in index["sets"].items()
    }


@contextmanager
def locked(cache_dir: Path, checksum: str) -> Iterator[None]:
    """Held by the one process of this node that makes, or brings, a store."""
    held = lock(cache_dir / f"{checksum}.lock", -1)
    assert held is not None
    try:
        yield
    finally:
        held.release()


def _advice(spec: StoreSpec) -> str:
    needed = _megabytes(needed_bytes(spec.sets, spec.scale))
    return f"decoded pictures need {needed}: make room, or set runtime.cache_dir to another disk"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
