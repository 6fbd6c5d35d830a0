"""Ctrl-C, SIGTERM and SIGHUP: each asks a command to stop, and its exit status is 128 and the signal's number.

Nothing heavy is imported here: a command calls `guard` before it imports the rest.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a command to stop."""
_Handler = Callable[[int, FrameType | None], None]
_DEFAULT_STATUS = 128 + signal.SIGINT


class Interrupted(KeyboardInterrupt):
    """A signal came."""


class _Last:
    """The last signal that came, and whether this process listens."""

    number: int | None = None
    listening = False


def guard() -> None:
    """From now on, and until `listening`, a signal ends the process in one line: nothing has begun yet."""
    _handle(_leave)


@contextmanager
def listening() -> Iterator[None]:
    """Signals raise `Interrupted` in the main thread while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ASKING}
    _Last.number, _Last.listening = None, True
    _handle(_interrupt)
    try:
        yield
    finally:
        _Last.listening = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Signals wait until the block has ended, for code that must not be left in the middle; raises Interrupted then.

    Handlers that others set within the block are taken back. Does nothing where this process does not listen.
    """
    if not _Last.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    _handle(lambda number, frame: came.append(number))
    try:
        yield
    finally:
        _handle(_interrupt)
        if came:
            _interrupt(came[0], None)


def status() -> int:
    """The exit status of a command that was asked to stop."""
    return _DEFAULT_STATUS if _Last.number is None else 128 + _Last.number


def _handle(handler: _Handler) -> None:
    for number in ASKING:
        # What is ignored stays ignored: nohup does so with SIGHUP, a shell with SIGINT of its background jobs.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _Last.number = number
    raise Interrupted(signal.Signals(number).name)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)
