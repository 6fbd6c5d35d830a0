"""A run's record: the journal, what it says, and whoever is shown it. One way for an event to be written: `append`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from esr_ray.errors import UserError
from esr_ray.runs.events import Event, Notice, decode, encode
from esr_ray.runs.history import History
from esr_ray.runs.journal import Journal, read_journal
from esr_ray.runs.old_format import upgraded
from esr_ray.search.state import State


class View(Protocol):
    """Shows a run. All that it shows can be made again from the record and the files beside it."""

    def see(self, event: Event | Notice, history: History) -> None:
        """Take in what was just told; the history has it already."""


class Record:
    """The open record of a run. Raises UserError where the journal does not read.

    Views see what the journal already has when `catch_up` is called.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.found = read_events(journal.found, journal.path)
        self.history = _replay(self.found, journal.path)
        self.views: list[View] = []

    @property
    def state(self) -> State:
        """The state of the search."""
        return self.history.state

    def attempts(self, job: int) -> int:
        """How often an attempt at a job was started."""
        return self.history.starts.get(job, 0)

    def append(self, event: Event, sync: bool = True) -> None:
        """Write an event; with `sync` it, and all before it, are on the disk when this returns."""
        content = encode(event)
        self.journal.append(content.pop("event"), content, sync)
        self.history.add(event)
        self._show(event)

    def tell(self, notice: Notice) -> None:
        """Show something that is not kept."""
        self._show(notice)

    def catch_up(self, views: Sequence[View]) -> None:
        """Add views, and show them what the journal had when it was opened."""
        history = History(is_live=False)
        for event in self.found:
            history.add(event)
            for view in views:
                view.see(event, history)
        self.views += views

    def _show(self, event: Event | Notice) -> None:
        for view in self.views:
            view.see(event, self.history)


def read_events(lines: Sequence[dict[str, object]], path: Path) -> list[Event]:
    """The typed events of a journal's lines, of this format or the one before. Raises UserError where one is none."""
    events = []
    for number, line in enumerate(upgraded(lines), 1):
        try:
            events.append(decode(line))
        except ValueError as error:
            # Names of what does not fit are the file's, and may have ends of lines.
            told = " ".join(str(error).split())[:500]
            raise UserError(f"{path}, event {number}: is not one that this version knows: {told}") from None
    return events


def read_history(path: Path) -> History:
    """What the journal at `path` says. Raises UserError where it is missing or damaged."""
    return _replay(read_events(read_journal(path).events, path), path)


def _replay(events: Sequence[Event], path: Path) -> History:
    history = History()
    for number, event in enumerate(events, 1):
        try:
            history.add(event)
        except ValueError as error:
            raise UserError(
                f"{path}, event {number}: cannot follow on those before it: {error}; restore the file from a copy"
            ) from None
    return history
