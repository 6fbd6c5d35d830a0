"""What a journal says of a run: the candidates asked for, how each ended, and how the run stands. Made by replay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from esr_ray.evolution.population import Candidate
from esr_ray.metrics import Quality
from esr_ray.runs.folder import FINAL
from esr_ray.runs.journal import Event
from esr_ray.space.genome import genome_from_json, genome_to_json


@dataclass(frozen=True)
class Outcome:
    """How a candidate ended: with a quality, or failed with a reason."""

    quality: Quality | None
    reason: str | None = None

    @property
    def fitness(self) -> float | None:
        return None if self.quality is None else self.quality.psnr_y


@dataclass
class History:
    """The state of a run.

    `outcomes` has an entry for each time that a candidate ended: more than one where it failed and was tried again
    (`retries`: candidate id, and the generation before which its new result is told). `starts` counts trainings begun,
    `under_way` are those that have not ended; `next_generation` is the first of which nothing was asked yet.
    """

    run: Event | None = None
    candidates: dict[int, Candidate] = field(default_factory=dict)
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    finished: dict[int, Event] = field(default_factory=dict)
    retries: list[tuple[int, int]] = field(default_factory=list)
    starts: dict[int, int] = field(default_factory=dict)
    under_way: set[int] = field(default_factory=set)
    # Kept up rather than looked for: the driver asks after every candidate.
    failed_ids: set[int] = field(default_factory=set)
    next_generation: int = 0
    # By the network's label.
    trained: dict[str, Event] = field(default_factory=dict)
    reported: dict[str, Event] = field(default_factory=dict)
    # PSNR by step, of the last full training of a label.
    validated: dict[str, dict[int, float]] = field(default_factory=dict)
    closed: Event | None = None

    @property
    def failed(self) -> list[int]:
        """Candidates whose last try failed."""
        return sorted(self.failed_ids)

    def attempts(self, candidate_id: int) -> list[Outcome]:
        return self.outcomes.get(candidate_id, [])

    def add(self, event: Event) -> None:
        """Take one event of the journal in; kinds that change nothing here pass."""
        kind = event["event"]
        if kind in ("finished", "failed", "lost"):
            self.under_way.discard(event["id"])
        if kind == "run":
            self.run = event
        elif kind == "started":
            self.starts[event["id"]] = self.starts.get(event["id"], 0) + 1
            self.under_way.add(event["id"])
        elif kind == "asked":
            candidate = candidate_from_event(event)
            self.candidates[candidate.id] = candidate
            self.next_generation = max(self.next_generation, candidate.generation + 1)
        elif kind == "finished":
            self.finished[event["id"]] = event
            quality = Quality(event["psnr_y"], event["psnr_rgb"], event["ssim_y"])
            self.outcomes.setdefault(event["id"], []).append(Outcome(quality))
            self.failed_ids.discard(event["id"])
        elif kind == "failed":
            self.outcomes.setdefault(event["id"], []).append(Outcome(None, event["reason"]))
            self.failed_ids.add(event["id"])
        elif kind == "retry":
            self.retries.append((event["id"], event["before_generation"]))
        elif kind == "trained":
            self.trained[_label(event)] = event
            self.reported.pop(_label(event), None)
        elif kind == "begun":
            kept = self.validated.get(_label(event), {})
            self.validated[_label(event)] = {step: psnr for step, psnr in kept.items() if step <= event["step"]}
        elif kind == "validated":
            self.validated.setdefault(_label(event), {})[event["step"]] = event["psnr_y"]
        elif kind == "reported":
            self.reported[_label(event)] = event
        elif kind == "resumed":
            self.closed = None
        elif kind == "closed":
            self.closed = event


def _label(event: Event) -> str:
    """The network that an event is of; journals from before several could be trained do not say it."""
    label: str = event.get("network", FINAL)
    return label


def replay(events: Iterable[Event]) -> History:
    """The history that these events make."""
    history = History()
    for event in events:
        history.add(event)
    return history


def candidate_event(candidate: Candidate) -> dict[str, Any]:
    """The content of an `asked` event."""
    return {
        "id": candidate.id,
        "generation": candidate.generation,
        "genome": genome_to_json(candidate.genome),
        "arch": list(candidate.arch),
        "operator": candidate.operator,
        "parents": list(candidate.parents),
        "params": candidate.params,
        "mult_adds": candidate.mult_adds,
        "same_as": candidate.same_as,
    }


def candidate_from_event(event: Event) -> Candidate:
    """The inverse of `candidate_event`."""
    return Candidate(
        id=event["id"],
        generation=event["generation"],
        genome=genome_from_json(event["genome"]),
        arch=tuple(event["arch"]),
        operator=event["operator"],
        parents=tuple(event["parents"]),
        params=event["params"],
        mult_adds=event["mult_adds"],
        same_as=event["same_as"],
    )
