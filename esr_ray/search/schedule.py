"""When the next job may be chosen, and by what: in generations with a barrier, or as soon as a device is free."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from esr_ray.search.job import Job
from esr_ray.search.state import State


class Plan(Protocol):
    """Chooses the next job."""

    def __call__(self, state: State, batch: int | None) -> Job | None:
        """The next job of a batch, chosen by the outcomes of those before it (None: by the outcomes that there are).
        None where nothing is left to do."""


class Schedule(Protocol):
    """Decides when a choice may be made."""

    def next(self, plan: Plan, state: State) -> Job | None:
        """The next job; None where it has to wait for an outcome, or where nothing is left to do."""

    def batch(self, state: State) -> int | None:
        """The batch that is under way, whose choices see the outcomes of those before it; None: they see all."""


@dataclass(frozen=True)
class Steady:
    """A job is chosen as soon as a device is free, by all that is known then: choices depend on the order of what was
    told."""

    def next(self, plan: Plan, state: State) -> Job | None:
        return plan(state, None)

    def batch(self, state: State) -> int | None:
        return None


@dataclass(frozen=True)
class Generational:
    """Batches of up to `size` births, with the promotions that are due. None begins before the one before has ended, so
    choices depend on outcomes and never on who was faster."""

    size: int

    def next(self, plan: Plan, state: State) -> Job | None:
        batch = self.batch(state)
        if any(state.jobs[job].batch < batch for job in state.pending):
            # One that had failed is tried again.
            return None
        asked = list(takewhile(lambda job: job.batch == batch, map(state.jobs.__getitem__, reversed(state.jobs))))
        room = self.size - sum(job.purpose != "promotion" for job in asked)
        job = plan(state, batch) if room > 0 else None
        if job is not None or state.pending or not asked:
            return job
        return plan(state, batch + 1)

    def batch(self, state: State) -> int:
        return max(0, state.last_batch)
