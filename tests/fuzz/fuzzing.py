"""What all fuzzers share: numbered inputs, the bounds within which each is read, and what counts as a clean outcome.

Input `number` of a kind is always the same: it is made with random numbers that its kind and number alone decide. So a
find is seen again with `python tests/fuzz/again.py KIND NUMBER`.
"""

from __future__ import annotations

import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from esr_ray.errors import UserError

SECONDS = 30
"""Of the processor's time; an input that takes more hangs."""
LONGEST = 2_000
"""Characters that an error has, without the names of files in it."""
SHOWN = 12
"""Finds of one kind that are shown."""


@dataclass(frozen=True)
class Kind:
    """A kind of input: `make` makes one, `read` reads it and asserts that what it got is right, or raises one of
    `clean`. The path is a place for a file. `sound` are inputs that are right; `memory` is how many bytes reading may
    take."""

    name: str
    make: Callable[[Random], Any]
    read: Callable[[Any, Path], object]
    sound: Callable[[], Iterable[Any]]
    clean: tuple[type[Exception], ...] = (UserError,)
    memory: int = 1 << 29
    short: int = 500
    long: int = 30_000


@dataclass
class Outcome:
    """How many inputs were read, and refused; the finds by where they come from, of each the first input."""

    right: int = 0
    refused: int = 0
    finds: dict[str, str] = field(default_factory=dict)


class Hangs(BaseException):
    """An input takes more of the processor's time than any may."""


def fuzz(kind: Kind, folder: Path, numbers: Iterable[int]) -> Outcome:
    """Read these inputs of a kind. A process that a find kills has left its number in the folder."""
    outcome = Outcome()
    trace = folder / "number"
    place = folder / "input"
    for number in numbers:
        trace.write_text(f"{kind.name} {number}")
        given = kind.make(Random(f"{kind.name} {number}"))
        try:
            with bounded(kind.memory):
                kind.read(given, place)
        except kind.clean as error:
            outcome.refused += 1
            fault = not_clean(str(error), place)
            if fault:
                outcome.finds.setdefault(f"{fault}: {type(error).__name__} {where(error)}", f"{number}: {error!s:.300}")
        except (Exception, Hangs) as error:
            outcome.finds.setdefault(f"{type(error).__name__} {where(error)}", f"{number}: {error!s:.300}")
        else:
            outcome.right += 1
    return outcome


def assert_clean(kind: Kind, outcome: Outcome) -> None:
    """Raise AssertionError for finds, and for inputs all of one outcome, which would prove nothing."""
    shown = [f"{place}\n    input {first}" for place, first in list(outcome.finds.items())[:SHOWN]]
    assert not shown, f"{len(outcome.finds)} finds of kind {kind.name}:\n" + "\n".join(shown)
    assert outcome.right, f"no input of kind {kind.name} was read"
    assert outcome.refused, f"no input of kind {kind.name} was refused"


def not_clean(message: str, place: Path) -> str:
    """Why a message is no clean one; empty if it is. Faults of a configuration have a line each, with the file."""
    lines = message.split("\n")
    if not all(line.strip() for line in lines):
        return "an empty line"
    if len(lines) > 1 and not all(line.startswith((f"{place}", "--set")) for line in lines):
        return "several lines"
    if max(len(line.replace(f"{place}", "")) for line in lines) > LONGEST:
        return "a long line"
    return ""


def where(error: BaseException) -> str:
    """The last place in the project that an error has passed."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "/esr_ray/" in one.filename]
    return f"in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "in the fuzzer"


@contextmanager
def bounded(memory: int) -> Iterator[None]:
    """Memory beyond what the process has now, and the processor's time, are limited within. What NumPy warns of (a mean
    of nothing, an overflow) is an error there: something was computed with numbers that nobody had looked at."""

    def stop(number: int, frame: object) -> None:
        raise Hangs(f"takes more than {SECONDS} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)
