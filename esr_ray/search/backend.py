"""What the search asks of whatever trains its candidates: Ray is one backend, a simulator another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esr_ray.search.events import Failed, Lost
from esr_ray.search.job import Job
from esr_ray.training.result import Trained


@dataclass(frozen=True)
class Began:
    """A job's training began on a device of a node. `job` is its id."""

    job: int
    device: str
    node: str


@dataclass(frozen=True)
class Done:
    """A job's training ended with a result."""

    job: int
    device: str
    node: str
    trained: Trained


BackendEvent = Began | Done | Failed | Lost


class Backend(Protocol):
    """Trains jobs on its devices, in the order of their submission."""

    def free(self) -> int:
        """Devices (those that are still starting, too) for which no job was submitted."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take jobs to train; those that were lost, once more."""

    def submit_on(self, job: Job, device: str, node: str) -> None:
        """Take a job to train next on one device; it is lost where that has gone."""

    def next_event(self, timeout_s: float) -> BackendEvent | None:
        """What happened next; None where nothing did within the time."""

    def stop(self, job: int) -> None:
        """Give up one job. No event of it follows, but for one that has happened already."""

    def give_up(self, device: str, node: str, reason: str) -> None:
        """Train no more on a device, which loses what it is given. Raises UserError where there is no other."""

    def cancel(self) -> None:
        """Give up what is under way and let go of all devices. Nothing may be submitted afterwards."""
