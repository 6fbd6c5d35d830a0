"""What to do next: `ask` for jobs by a state. Everything that can be chosen about a search is a part that is put in.

`ask` is a function of the algorithm and the state alone: random numbers are keyed by the seed and the candidate. So a
search that was interrupted, or is replayed from its record, makes the same choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from threading import RLock

from esr_ray.randomness import generator
from esr_ray.search.breeding import Breeding, Child, new_children, random_child
from esr_ray.search.evidence import Gatherer, gather
from esr_ray.search.growing import Growing, growing
from esr_ray.search.job import Candidate, Job, Outcome
from esr_ray.search.objectives import OBJECTIVES, Objective
from esr_ray.search.predictor import Model
from esr_ray.search.promotion import Promotion
from esr_ray.search.race import Race, Verdict, judge
from esr_ray.search.ranking import View
from esr_ray.search.schedule import Schedule
from esr_ray.search.screening import Screening
from esr_ray.search.state import State, before_batch, with_asked
from esr_ray.search.survival import Survival
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.genome import Genome, decode
from esr_ray.space.sample import fitted_genome
from esr_ray.space.space import Space

SEEN_PARTS = 500
"""Without a barrier a choice may not see the last of so many parts of the outcomes yet: it sees all of up to 1,000."""
LEARNT_PARTS = 10
"""A predictor need not have learnt from the last of so many parts of the outcomes: it does not for each new one."""


@dataclass(frozen=True)
class Budget:
    """What a search may spend, in steps of training: in all, for a birth, and the share that is kept for the race."""

    total_steps: int
    birth_steps: int
    race_share: float = 0.0


@dataclass
class _Memo:
    """What was worked out last: the views of all that is known, of what was known before a batch, and of the first
    outcomes, what gathers their evidence, and the candidates as this space has them (`unlike`: those that it has
    otherwise, or not at all)."""

    now: tuple[Mapping[int, Outcome], View] | None = None
    batch: tuple[int, Mapping[int, Outcome], View] | None = None
    gather_now: Gatherer = field(default_factory=Gatherer)
    gather_batch: Gatherer = field(default_factory=Gatherer)
    fitted: Growing[int, Candidate] = field(default_factory=Growing)
    unlike: dict[int, Candidate | None] = field(default_factory=dict)
    early: tuple[Growing[int, Outcome], View] | None = None
    model: tuple[Growing[int, Outcome], Model | None] | None = None
    lock: RLock = field(default_factory=RLock)


@dataclass(frozen=True)
class Algorithm:
    """A search, put together from its parts.

    The first candidates are `founders`, then random ones until there are `initial`; from then on they are bred from the
    pool that `survival` leaves. Without `promotion` every candidate is trained once, without a `race` the best estimate
    wins.
    """

    space: Space
    seed: int
    budget: Budget
    schedule: Schedule
    survival: Survival
    breeding: Breeding
    initial: int = 0
    founders: tuple[Genome, ...] = ()
    objectives: tuple[Objective, ...] = (OBJECTIVES["psnr"],)
    limits: tuple[tuple[Objective, float], ...] = ()
    screening: Screening | None = None
    promotion: Promotion | None = None
    race: Race | None = None
    _memo: _Memo = field(default_factory=_Memo, repr=False, compare=False)

    def ask(self, state: State, free: int) -> tuple[Job, ...]:
        """Up to `free` jobs to begin now.

        Where there is none, an outcome is waited for; if nothing is pending either, the search is over.
        """
        jobs: list[Job] = []
        while len(jobs) < free:
            job = self.schedule.next(self._plan, state)
            if job is None:
                break
            jobs.append(job)
            state = with_asked(state, job)
        return tuple(jobs)

    def unneeded(self, state: State) -> tuple[int, ...]:
        """Pending jobs whose outcome can change nothing any more: those of a race that is decided.

        With a barrier all of a batch are needed: whoever was faster must make no difference.
        """
        if self.race is None or not state.pending:
            return ()
        if any(state.jobs[job].purpose != "race" for job in state.pending):
            return ()
        view = self.view(state, self.schedule.batch(state))
        return tuple(sorted(state.pending)) if self.race.decided(view) else ()

    def view(self, state: State, batch: int | None = None) -> View:
        """What choices see: what was known before a batch, or all; without networks that the space does not hold.

        May be called by several threads.
        """
        memo = self._memo
        with memo.lock:
            if batch is None:
                # A mapping of outcomes is never changed: it suffices to look whether it is the same one.
                if memo.now is None or memo.now[0] is not state.outcomes:
                    memo.now = (state.outcomes, self._seen(state, memo.gather_now))
                return memo.now[1]
            # Within a batch nothing of what was known before it changes, but where a failed job was tried again.
            last = memo.batch
            if last is None or last[0] != batch or not _known_before(last[1], state, batch):
                earlier = before_batch(state, batch)
                last = memo.batch = (batch, earlier.outcomes, self._seen(earlier, memo.gather_batch))
            return last[2]

    def _seen(self, state: State, gatherer: Gatherer) -> View:
        memo = self._memo
        if not state.candidates.goes_on_from(memo.fitted):
            # Another search has other candidates of these ids.
            memo.fitted, memo.unlike = Growing(), {}
        for one in state.candidates.after(len(memo.fitted)):
            candidate = state.candidates[one]
            genome = fitted_genome(candidate.genome, self.space, generator(self.seed, "fitted", one))
            if genome != candidate.genome:
                memo.unlike[one] = None if genome is None else replace(candidate, genome=genome)
        memo.fitted = state.candidates
        if memo.unlike:
            kept = {key: memo.unlike.get(key, one) for key, one in state.candidates.items()}
            outcomes = {
                job: one for job, one in state.outcomes.items() if kept[state.jobs[job].candidate.id] is not None
            }
            candidates = {key: one for key, one in kept.items() if one is not None}
            state = replace(state, candidates=growing(candidates), outcomes=growing(outcomes))
        return View(state, gatherer.gather(state), self.objectives, self.limits)

    def verdict(self, state: State) -> Verdict | None:
        """Who wins by what is known, and how sure that is; None where nobody has a result."""
        return judge(self.view(state), 0.0 if self.race is None else self.race.tolerance, self.longest_steps)

    @property
    def longest_steps(self) -> int:
        """Of the longest trainings that there are to be."""
        return self.budget.birth_steps if self.promotion is None else self.promotion.lengths[-1]

    def births(self) -> int:
        """Candidates that the budget is good for."""
        cost = self.budget.birth_steps if self.promotion is None else self.promotion.steps_of_birth
        return int(self._before_race / cost + 1e-9)

    @property
    def _before_race(self) -> float:
        """Steps for all but the race."""
        return self.budget.total_steps * (1 - self.budget.race_share)

    # The plan of a batch: what is due first, then what is new, and the race at the end.

    def _plan(self, state: State, batch: int | None) -> Job | None:
        if batch is not None:
            view = self.view(state, batch)
            due = self._promoted(view, state, batch) or self._born(view, state, batch)
            return due or self._raced(view, state, batch)
        early = self._early_view(state)
        due = self._promoted(early, state, 0) or self._born(early, state, 0)
        if due is None:
            view = self.view(state)
            due = self._promoted(view, state, 0) or self._raced(view, state, None)
        return due

    def _early_view(self, state: State) -> View:
        """What choices without a barrier see while there is much to do: nearly all outcomes. To look at each new one
        would make a search quadratic in its length, and the driver of a thousand devices late."""
        outcomes, memo = state.outcomes, self._memo
        number = first_of(len(outcomes), SEEN_PARTS)
        with memo.lock:
            if number == len(outcomes):
                memo.early = (outcomes, self.view(state))
            elif memo.early is None or len(memo.early[0]) != number or not outcomes.goes_on_from(memo.early[0]):
                first = outcomes.first(number)
                memo.early = (first, self._seen(replace(state, outcomes=first), Gatherer()))
            return memo.early[1]

    def _promoted(self, view: View, state: State, batch: int) -> Job | None:
        due = self.promotion.next(view, state) if self.promotion is not None else None
        if due is None:
            return None
        candidate, steps = due
        left = self._before_race - (state.spent_steps - state.spent.get("race", 0))
        return Job(state.next_job, candidate, steps, self.seed, "promotion", batch) if steps <= left else None

    def _born(self, view: View, state: State, batch: int) -> Job | None:
        if state.births >= self.births():
            return None
        child = self._child(view, state, batch)
        if child is None:
            return None
        arch = decode(child.genome)
        cost = self.space.cost(arch)
        candidate = Candidate(
            id=state.next_candidate,
            genome=child.genome,
            arch=arch,
            operator=child.operator,
            parents=child.parents,
            params=cost.params,
            mult_adds=mult_adds_720p(cost, self.space.scale),
        )
        return Job(state.next_job, candidate, self.budget.birth_steps, self.seed, "birth", batch)

    def _child(self, view: View, state: State, batch: int) -> Child | None:
        """A network that was not asked for before; None where there seems to be none left."""
        for founder in self.founders:
            if decode(founder) not in state.known:
                return Child(founder, "founder")
        rng = generator(self.seed, "child", state.next_candidate)
        if state.births >= self.initial:
            pool = self.survival.pool(view)
            slot = state.births_there if batch == state.last_batch else 0
            model = self._model(view)

            def bred() -> Child:
                return self.breeding.child(slot, pool, self.space, rng)

            if self.screening is not None and model is not None:
                child = self.screening.child(bred, model, view, state.known, self.space, rng)
            else:
                child = next(iter(new_children(bred, state.known, 1)), None)
            if child is not None:
                return child
        return next(iter(new_children(lambda: random_child(self.space, rng), state.known, 1)), None)

    def _model(self, view: View) -> Model | None:
        """What the predictor has learnt from the first outcomes that the view has."""
        if self.screening is None:
            return None
        outcomes = view.state.outcomes
        number = first_of(len(outcomes), LEARNT_PARTS)
        memo = self._memo
        if memo.model is None or len(memo.model[0]) != number or not outcomes.goes_on_from(memo.model[0]):
            first = outcomes.first(number)
            seen = replace(view.state, outcomes=first)
            memo.model = (first, self.screening.fit(View(seen, gather(seen), self.objectives, self.limits), self.space))
        return memo.model[1]

    def _raced(self, view: View, state: State, batch: int | None) -> Job | None:
        unseen = _unseen(state, batch)
        if self.race is None:
            return None
        # With a barrier the race begins when the outcomes of all other jobs are seen; without one it fills devices that
        # would wait for them.
        others = any(job.purpose != "race" for job in unseen)
        if batch is not None and others:
            return None
        # What promotions may still need is left to them.
        spent = state.spent.get("race", 0)
        kept = max(self._before_race, state.spent_steps - spent) if others else state.spent_steps - spent
        if self.race.steps > self.budget.total_steps - kept - spent:
            return None
        due = self.race.next(view, state, self.seed, unseen)
        return None if due is None else Job(state.next_job, due[0], self.race.steps, due[1], "race", batch or 0)


def first_of(outcomes: int, parts: int) -> int:
    """How many of so many outcomes (the first ones) are looked at: all but a `parts`-th part at most. It grows in steps
    of up to that size, so that the times a search looks at its outcomes anew grow with the logarithm of its length."""
    step = 2 ** max(0, (outcomes // parts).bit_length() - 1)
    return outcomes - outcomes % step


def _known_before(outcomes: Mapping[int, Outcome], state: State, batch: int) -> bool:
    """Whether these are the outcomes of all jobs before a batch that have one."""
    of_batch = takewhile(lambda job: job.batch >= batch, map(state.jobs.__getitem__, reversed(state.jobs)))
    since = sum(job.id in state.outcomes for job in of_batch)
    return len(outcomes) == len(state.outcomes) - since and state.outcomes.goes_on_from(outcomes)


def _unseen(state: State, batch: int | None) -> list[Job]:
    """Jobs whose outcomes a choice of this batch does not see: those pending, and with a barrier all of the batch."""
    if batch is None:
        return [state.jobs[job] for job in sorted(state.pending)]
    return list(takewhile(lambda job: job.batch >= batch, map(state.jobs.__getitem__, reversed(state.jobs))))
