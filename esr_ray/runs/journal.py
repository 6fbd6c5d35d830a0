"""The journal of a run: append-only lines of JSON, each with a format version and a checksum. It is the truth.

A line that was being written when the process died is dropped when the journal is opened again; anything else that
does not read is an error, never skipped.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from esr_ray.errors import DISK_FULL, UserError

FORMAT = 2
READABLE = (1, 2)
"""Formats that are read; `esr_ray.runs.old_format` makes one of the other."""
Event = dict[str, Any]


def _checksum(event: Event) -> str:
    return f"{zlib.crc32(json.dumps(event, sort_keys=True, separators=(',', ':')).encode()):08x}"


def _encode(event: Event) -> bytes:
    return json.dumps({**event, "crc": _checksum(event)}, separators=(",", ":")).encode() + b"\n"


def _decode(line: bytes) -> Event | None:
    """The event of a line, without its checksum; None where the line is damaged."""
    try:
        event = json.loads(line)
        crc = event.pop("crc")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return event if crc == _checksum(event) else None


def read_journal(path: Path) -> tuple[list[Event], int]:
    """All events, and the number of bytes that hold them (a torn last line lies after it).

    Raises UserError where the file is missing, of another format, or damaged before its last line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: could not be read ({error.strerror}): is this a run folder?") from None
    events: list[Event] = []
    good = 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        event = _decode(line)
        if event is None:
            if number < len(lines) - 1 or (number == len(lines) - 1 and lines[-1]):
                raise UserError(
                    f"{path}, line {number}: is damaged; restore the file from a copy, or cut it off before this line "
                    "to go on from there"
                )
            break
        if event.get("v") not in READABLE:
            raise UserError(
                f"{path}, line {number}: has format {event.get('v')}, this version reads {READABLE[0]} to {FORMAT}"
            )
        events.append(event)
        good += len(line) + 1
    return events, min(good, len(content))


class Journal:
    """An open journal. `found` are the events that it had when it was opened.

    Raises UserError on a full disk: what was written before stays readable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[Event] = []
        if path.exists():
            self.found, good = read_journal(path)
            if good < path.stat().st_size:
                os.truncate(path, good)
            elif good and not path.read_bytes().endswith(b"\n"):
                with path.open("ab") as file:
                    file.write(b"\n")
        self._file = path.open("ab", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        # A trainer tells of its validation while the driver does something else.
        self._lock = threading.Lock()

    def append(self, kind: str, content: Mapping[str, Any], sync: bool = True) -> Event:
        """Write one event; with `sync` it is on the disk when this returns."""
        event = {"v": FORMAT, "event": kind, "time": round(time.time(), 3), **content}
        with self._lock:
            self._write(event, sync)
        return event

    def _write(self, event: Event, sync: bool) -> None:
        try:
            line = _encode(event)
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, "no space left on device")
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            # The next event, if there is one, must not be written behind half a line.
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), self._size)
            if error.errno in DISK_FULL:
                raise UserError(
                    f"{self.path}: the disk is full; make room, then go on with --resume {self.path.parent} "
                    "(nothing that was finished is lost)"
                ) from None
            raise
        self._size += len(line)

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
