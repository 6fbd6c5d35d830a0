"""Files that last: a file is there as a whole or not at all, and on the disk once that is said.

Everything that must survive the death of a process or of a machine is written by these functions, and they call the
operating system by `disk` alone. That is the one place where tests let a machine die between any two of its calls.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from esr_ray.errors import DISK_FULL, DiskFull


class Disk:
    """The calls of the operating system that change what is on a disk."""

    def write(self, file: IO[bytes], content: bytes | memoryview) -> int:
        """Write as much as there is room for; how many bytes that were."""
        return file.write(content)

    def sync(self, file: IO[bytes]) -> None:
        """Wait until the file's content is on the disk."""
        file.flush()
        os.fsync(file.fileno())

    def truncate(self, file: IO[bytes], size: int) -> None:
        os.ftruncate(file.fileno(), size)

    def replace(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Wait until the names in a folder are on the disk: a file that was renamed may else be lost with its name."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems have no such call: their servers write names at once.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                raise
        finally:
            os.close(descriptor)


disk = Disk()
"""What all functions here use."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a part; it is on the disk
    when this returns.

    Raises DiskFull if there is no room.
    """
    with atomic_file(path) as file:
        disk.write(file, content)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which is at its place once the block has ended: as `write_atomically`, part by part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            disk.sync(file)
        disk.replace(temporary, path)
        disk.sync_folder(path.parent)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskFull(
                f"{path}: the disk is full; make room and go on (a run with --resume: nothing finished is lost)"
            ) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str = "*") -> int:
    """Remove what `atomic_file` left in a folder when its process was killed, of files whose name matches `name`; how
    many there were.

    Only for who alone writes these.
    """
    left = list(folder.glob(f".{name}.*.tmp"))
    for path in left:
        disk.remove(path)
    return len(left)


def replace_file(old: Path, new: Path) -> Path:
    """Give a file another name within its folder; the new one."""
    disk.replace(old, new)
    disk.sync_folder(new.parent)
    return new


def remove_file(path: Path) -> None:
    """Remove a file, if it is there. It may be there again after a crash."""
    disk.remove(path)


class AppendedFile:
    """A file that only grows, by whole records."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        """Open or make it; what lies behind `size` bytes is cut off."""
        is_new = not path.exists()
        self.path = path
        self._file = path.open("ab", buffering=0)
        found = os.fstat(self._file.fileno()).st_size
        self._size = found if size is None else size
        if self._size < found:
            disk.truncate(self._file, self._size)
        if is_new:
            disk.sync_folder(path.parent)

    def append(self, record: bytes, sync: bool) -> None:
        """Write a record at the end, or, where there is no room for it (OSError), nothing; with `sync` it, and all
        before it, are on the disk when this returns."""
        try:
            if disk.write(self._file, record) != len(record):
                raise OSError(errno.ENOSPC, "no space left on device")
            if sync:
                disk.sync(self._file)
        except OSError:
            # The next record, if there is one, must not be written behind a part of this one.
            with suppress(OSError):
                disk.truncate(self._file, self._size)
            raise
        self._size += len(record)

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        disk.sync(self._file)

    def close(self) -> None:
        self._file.close()


class Held:
    """A lock that this process has, until `release`, its end, or until nobody holds this object any more."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        self._lock.release()


def lock(path: Path, patience_s: float = 0.0) -> Held | None:
    """Take the lock that the file `path` is, or None if another process has it and keeps it for `patience_s` (below 0:
    wait as long as it takes).

    The system lets go of it when the process ends, however that is. Raises OSError where the file cannot be made, or
    its file system has no locks.
    """
    held = FileLock(path, mode=0o600, thread_local=False)
    try:
        held.acquire(timeout=patience_s, poll_interval=0.1)
    except Timeout:
        return None
    except NotImplementedError:
        raise OSError(errno.ENOLCK, "its file system has no locks", str(path)) from None
    return Held(held)
