"""The search's record: what happened, as typed events. Folding them in their order makes the state again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from esr_ray.metrics import Quality
from esr_ray.search.job import Candidate, Job, Outcome, Purpose
from esr_ray.search.state import State, tell, with_asked, with_retried
from esr_ray.space.genome import genome_from_json, genome_to_json
from esr_ray.training.result import NOT_MEASURED, DeviceCost, Seconds


@dataclass(frozen=True)
class Birth:
    """A candidate's own part of the first job that is asked for it. `genome` is `[[1, "S_4_8_16"], ...]`."""

    genome: tuple[tuple[int, str], ...]
    arch: tuple[str, ...]
    operator: str
    parents: tuple[int, ...]
    params: int
    mult_adds: int


@dataclass(frozen=True)
class Asked:
    """A job was asked for; with the candidate where it is its first. `job` and `candidate` are ids."""

    job: int
    candidate: int
    steps: int
    seed: int
    purpose: Purpose
    batch: int
    birth: Birth | None = None
    event: Literal["asked"] = "asked"


@dataclass(frozen=True)
class Started:
    """An attempt at a job began on a device of a node; attempts are counted from 1."""

    job: int
    device: str
    node: str
    attempt: int
    event: Literal["started"] = "started"


@dataclass(frozen=True)
class Finished:
    """A job ended with a result. `curve` is (step, mean loss) pairs; `kernels` is what computed the network."""

    job: int
    candidate: int
    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    seconds: Seconds
    curve: tuple[tuple[int, float], ...]
    kernels: str
    device: str
    node: str
    cost: DeviceCost = NOT_MEASURED
    by: str = "psnr_y"
    score: float | None = None
    event: Literal["finished"] = "finished"

    @property
    def quality(self) -> Quality:
        return Quality(self.psnr_y, self.psnr_rgb, self.ssim_y, self.by, self.score)


@dataclass(frozen=True)
class Failed:
    """A job raised, diverged, passed its deadline or was lost too often: it would fail again."""

    job: int
    reason: str
    event: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Lost:
    """The process or node of an attempt died, or the run ended: elsewhere, or later, it may succeed."""

    job: int
    reason: str
    event: Literal["lost"] = "lost"


@dataclass(frozen=True)
class Dropped:
    """A job was stopped because nothing depends on its outcome any more."""

    job: int
    event: Literal["dropped"] = "dropped"


@dataclass(frozen=True)
class Retried:
    """A failed job is to be tried again."""

    job: int
    event: Literal["retry"] = "retry"


SearchEvent = Asked | Started | Finished | Failed | Lost | Dropped | Retried


class Record(Protocol):
    """Where these are written; its state is their fold."""

    @property
    def state(self) -> State: ...

    def attempts(self, job: int) -> int:
        """How often an attempt at a job was started."""

    def append(self, event: SearchEvent, sync: bool = True) -> None:
        """Write an event; with `sync` it is on the disk when this returns, and all before it."""


def asked_event(job: Job, candidates: Mapping[int, Candidate]) -> Asked:
    """The event of a job, with its candidate where `candidates` does not have it yet."""
    one = job.candidate
    birth = None
    if one.id not in candidates:
        genome = tuple((int(active), str(name)) for active, name in genome_to_json(one.genome))
        birth = Birth(genome, one.arch, one.operator, one.parents, one.params, one.mult_adds)
    return Asked(job.id, one.id, job.steps, job.seed, job.purpose, job.batch, birth)


def job_of(event: Asked, candidates: Mapping[int, Candidate]) -> Job:
    """The inverse of `asked_event`. Raises ValueError where the candidate is not known."""
    birth = event.birth
    if birth is not None:
        candidate = Candidate(
            event.candidate,
            genome_from_json(birth.genome),
            birth.arch,
            birth.operator,
            birth.parents,
            birth.params,
            birth.mult_adds,
        )
    elif event.candidate in candidates:
        candidate = candidates[event.candidate]
    else:
        raise ValueError(f"job {event.job} is of candidate {event.candidate}, which was never asked for")
    return Job(event.job, candidate, event.steps, event.seed, event.purpose, event.batch)


def fold(state: State, event: object) -> State:
    """The state after an event; attempts, and what is not of the search, change nothing.

    Raises ValueError for an event that cannot follow on the state.
    """
    match event:
        case Asked():
            return with_asked(state, job_of(event, state.candidates))
        case Finished():
            return tell(state, Outcome(event.job, event.quality, event.cost))
        case Failed():
            return tell(state, Outcome(event.job, reason=event.reason))
        case Dropped():
            return tell(state, Outcome(event.job))
        case Retried():
            return with_retried(state, event.job)
    return state
