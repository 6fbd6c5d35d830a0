"""The journal of a run: append-only lines of JSON, each with a format version and a checksum. It is the truth.

A line that was being written when the process died is dropped when the journal is opened again; anything else that
does not read is an error, never skipped. From format 3 on a line's checksum is also of the checksum before it, so that
a line that is missing, doubled or at another place shows. Only of lines cut off at the end nothing is left to tell.

Every format that there was is read. A run that goes on appends lines of the present format to those that it has; a line
of an older format after one of a newer one is damage. How older lines read is in `old_format`.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esr_ray.durable import AppendedFile
from esr_ray.errors import DISK_FULL, UserError

FORMAT = 3
READABLE = (1, 2, 3)
"""Formats that are read; `esr_ray.runs.old_format` makes one of the other."""
Event = dict[str, Any]


_CHAINED = 3
"""The first format whose checksums are chained."""


def _checksum(event: Event, before: str) -> str:
    """CRC-32 in hex of an event; `before` is that of the line before it, empty in the first line."""
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    if event["v"] >= _CHAINED:
        text = before + text
    return f"{zlib.crc32(text.encode()):08x}"


def _decode(line: bytes) -> tuple[Event, str] | None:
    """The event of a line and the checksum that it has; None where there is none."""
    try:
        event = json.loads(line)
        crc = event.pop("crc")
        is_event = isinstance(event["v"], int) and isinstance(event["event"], str) and isinstance(crc, str)
        return (event, crc) if is_event else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


@dataclass(frozen=True)
class Found:
    """What a journal has: all events, the bytes that hold them (a torn last line lies after these), and the checksum of
    the last line."""

    events: list[Event]
    size: int
    checksum: str


def read_journal(path: Path) -> Found:
    """All that a journal has.

    Raises UserError where the file is missing, of another format, or damaged before its last line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: could not be read ({error.strerror}): is this a run folder?") from None
    events: list[Event] = []
    good, before = 0, ""
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        decoded = _decode(line)
        if decoded is not None and decoded[0]["v"] not in READABLE:
            raise UserError(
                f"{path}, line {number}: has format {str(decoded[0]['v'])[:20]}, this version reads {READABLE[0]} to "
                f"{FORMAT}"
            )
        older = decoded is not None and bool(events) and decoded[0]["v"] < events[-1]["v"]
        if decoded is None or older or decoded[1] != _checksum(decoded[0], before):
            if number < len(lines) - 1 or (number == len(lines) - 1 and lines[-1]):
                raise UserError(
                    f"{path}, line {number}: is damaged, or not the one that followed on the line before; restore the "
                    "file from a copy, or cut it off before this line to go on from there"
                )
            break
        event, before = decoded
        events.append(event)
        good += len(line) + 1
    return Found(events, min(good, len(content)), before)


class Journal:
    """An open journal. `found` are the events that it had when it was opened.

    Raises UserError on a full disk: what was written before stays readable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        found = read_journal(path) if path.exists() else Found([], 0, "")
        self.found, self._checksum = found.events, found.checksum
        self._file = AppendedFile(path, found.size)
        if found.size and not path.read_bytes().endswith(b"\n"):
            self._file.append(b"\n", sync=False)
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
            checksum = _checksum(event, self._checksum)
            line = json.dumps({**event, "crc": checksum}, separators=(",", ":")).encode() + b"\n"
            self._file.append(line, sync)
            self._checksum = checksum
        except OSError as error:
            if error.errno in DISK_FULL:
                raise UserError(
                    f"{self.path}: the disk is full; make room, then go on with --resume {self.path.parent} "
                    "(nothing that was finished is lost)"
                ) from None
            raise

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
