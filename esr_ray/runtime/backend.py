"""What the search asks of whatever trains candidates: submit, next event, cancel. Ray is one, in-process another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esr_ray.evolution.population import Candidate
from esr_ray.training.result import Trained


@dataclass(frozen=True)
class Started:
    """A candidate's training began on a device of a node."""

    id: int
    device: str
    node: str


@dataclass(frozen=True)
class Finished:
    """A candidate's training ended with a result."""

    id: int
    device: str
    node: str
    trained: Trained


@dataclass(frozen=True)
class Failed:
    """A candidate's training raised, diverged or passed its deadline: it would again."""

    id: int
    reason: str


@dataclass(frozen=True)
class Lost:
    """The process or node of a candidate died: elsewhere it may succeed."""

    id: int
    reason: str


BackendEvent = Started | Finished | Failed | Lost


class Backend(Protocol):
    """Trains candidates on its devices, in the order of their submission."""

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Take a generation (or candidates that were lost) to train."""

    def next_event(self, timeout_s: float) -> BackendEvent | None:
        """What happened next; None where nothing did within the time."""

    def cancel(self) -> None:
        """Give up what is under way and let go of all devices. Nothing may be submitted afterwards."""
