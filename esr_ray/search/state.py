"""What a search knows: every candidate, every job, every outcome, in the order in which they were told.

A state is made by telling: it is a fold over the record, and needs neither the algorithm nor the configuration. So a
search that was interrupted is rebuilt from its record, and a search may go on with another algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from esr_ray.search.growing import Growing, growing
from esr_ray.search.job import Candidate, Job, Outcome, Purpose
from esr_ray.space.spec import Arch


@dataclass(frozen=True)
class State:
    """Everything that was asked for and told. Never changed: the functions below return a new one.

    `outcomes` is by job, in the order told; `pending` are the jobs that have none, `failed` those that failed. `known`
    has the candidate of each network, `jobs_of` the jobs of each candidate, `spent` the steps of all jobs that were
    asked for by purpose, `promoted` how many were promoted to each length, `births` how many candidates were born,
    `last_batch` the batch of the last job (-1 before the first), and `births_there` the births in it.
    """

    candidates: Growing[int, Candidate] = field(default_factory=Growing)
    jobs: Growing[int, Job] = field(default_factory=Growing)
    outcomes: Growing[int, Outcome] = field(default_factory=Growing)
    pending: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    known: Growing[Arch, int] = field(default_factory=Growing)
    jobs_of: Growing[int, tuple[int, ...]] = field(default_factory=Growing)
    spent: Mapping[Purpose, int] = field(default_factory=dict)
    promoted: Mapping[int, int] = field(default_factory=dict)
    births: int = 0
    last_batch: int = -1
    births_there: int = 0
    next_candidate: int = 0
    next_job: int = 0

    @property
    def judged_by(self) -> str:
        """The figure of quality (`esr_ray.metrics.FIGURES`) that fitness is, as the first result has it."""
        found = (outcome.quality.by for outcome in self.outcomes.values() if outcome.quality is not None)
        return next(found, "psnr_y")

    @property
    def spent_steps(self) -> int:
        """Steps of all jobs together."""
        return sum(self.spent.values())


def with_asked(state: State, job: Job) -> State:
    """The state after a job was asked for. Raises ValueError where it, or another candidate of its id, is known."""
    candidate = job.candidate
    known, candidates = state.known, state.candidates
    if job.id in state.jobs:
        raise ValueError(f"job {job.id} was asked for before")
    if candidates.get(candidate.id, candidate) != candidate:
        raise ValueError(f"job {job.id} is of another candidate {candidate.id} than those before it")
    if candidate.id not in candidates:
        candidates = candidates.plus(candidate.id, candidate)
        known = known.plus(candidate.arch, candidate.id)
    promoted = state.promoted
    if job.purpose == "promotion":
        promoted = {**promoted, job.steps: promoted.get(job.steps, 0) + 1}
    born = int(job.purpose == "birth")
    return replace(
        state,
        candidates=candidates,
        known=known,
        jobs=state.jobs.plus(job.id, job),
        jobs_of=state.jobs_of.plus(candidate.id, (*state.jobs_of.get(candidate.id, ()), job.id)),
        pending=state.pending | {job.id},
        promoted=promoted,
        spent={**state.spent, job.purpose: state.spent.get(job.purpose, 0) + job.steps},
        next_candidate=max(state.next_candidate, candidate.id + 1),
        next_job=max(state.next_job, job.id + 1),
        births=state.births + born,
        births_there=born + (state.births_there if job.batch == state.last_batch else 0),
        last_batch=job.batch,
    )


def tell(state: State, outcome: Outcome) -> State:
    """The state after a job ended. Raises ValueError for a job that is not pending."""
    if outcome.job not in state.pending:
        raise ValueError(f"job {outcome.job} is not under way: it was never asked for, or has ended before")
    return replace(
        state,
        outcomes=state.outcomes.plus(outcome.job, outcome),
        pending=state.pending - {outcome.job},
        failed=state.failed | {outcome.job} if outcome.failed else state.failed,
    )


def with_retried(state: State, job: int) -> State:
    """The state after a failed job is to be tried again: it is pending once more.

    Raises ValueError for one that did not fail.
    """
    if job not in state.failed:
        raise ValueError(f"job {job} has not failed: it cannot be tried again")
    rest = growing({key: value for key, value in state.outcomes.items() if key != job})
    return replace(state, outcomes=rest, pending=state.pending | {job}, failed=state.failed - {job})


def before_batch(state: State, batch: int) -> State:
    """What was known before a batch began, with outcomes by job: whoever was faster makes no difference.

    Candidates and jobs of the batch itself are there (they must not be proposed again), their outcomes are not.
    """
    earlier = {job: state.outcomes[job] for job in sorted(state.outcomes) if state.jobs[job].batch < batch}
    return replace(state, outcomes=growing(earlier))
