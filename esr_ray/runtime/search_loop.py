"""The search itself: ask, train what the journal does not have yet, tell; generation after generation.

Knows a backend by three verbs, and neither Ray nor time: the same loop runs under Ray and in a test's process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.evolution.evolve import ask, tell, with_late
from esr_ray.evolution.population import Candidate, State
from esr_ray.runs.history import History, candidate_event
from esr_ray.runs.journal import Event, Journal
from esr_ray.runtime.backend import Backend, Failed, Finished, Lost, Started
from esr_ray.space.space import Space

POLL_S = 0.5
"""How often a stop is looked for while candidates are under way."""


class Stopped(Exception):
    """The user asked for a stop; the run can be resumed."""


class Watcher(Protocol):
    """Who is told what happens, to show it."""

    def asked(self, generation: int, candidates: Sequence[Candidate], to_train: int) -> None: ...

    def started(self, event: Started) -> None: ...

    def keep_weights(self, result: Finished) -> None: ...

    def finished(self, result: Finished, event: Event) -> None: ...

    def failed(self, candidate_id: int, reason: str) -> None: ...

    def lost(self, event: Lost, attempt: int, again: bool) -> None: ...

    def told(self, state: State) -> None: ...


class SearchLoop:
    """One run of a search over its journal."""

    def __init__(
        self,
        config: Config,
        space: Space,
        journal: Journal,
        history: History,
        backend: Backend,
        watcher: Watcher,
        should_stop: Callable[[], bool],
    ) -> None:
        self.config, self.space = config, space
        self.journal, self.history = journal, history
        self.backend, self.watcher, self.should_stop = backend, watcher, should_stop
        # Which of a candidate's outcomes evolution was told last: the first, or that of a later retry.
        self._told_try: dict[int, int] = {}

    def run(self) -> State:
        """Search to the last generation; the state after it.

        Raises Stopped where the user asked for it, and UserError where the journal does not fit the configuration.
        """
        state = State()
        for generation in range(self.config.evolution.num_generation):
            state = self._tell_retried(state)
            candidates = ask(state, self.space, self.config.evolution, self.config.seed)
            self._journal_asked(candidates)
            to_train = [one for one in candidates if one.same_as is None]
            self.watcher.asked(generation, candidates, sum(not self.history.attempts(one.id) for one in to_train))
            self._train(dict.fromkeys(to_train, 0))
            trained_as = {one.id if one.same_as is None else one.same_as for one in candidates}
            fitness = {one: self._fitness(one) for one in trained_as}
            state = tell(state, candidates, fitness, self.config.evolution)
            self.watcher.told(state)
        late = self._tell_retried(state)
        if late is not state:
            self.watcher.told(late)
        return late

    def _fitness(self, candidate_id: int) -> float | None:
        return self.history.attempts(candidate_id)[self._told_try.get(candidate_id, 0)].fitness

    def _tell_retried(self, state: State) -> State:
        """Train again what failed in earlier generations and was to be tried again before this one."""
        retried = [one for one, before in self.history.retries if before == state.generation]
        if not retried:
            return state
        for one in retried:
            self._told_try[one] = self._told_try.get(one, 0) + 1
        candidates = {self.history.candidates[one]: self._told_try[one] for one in retried}
        self._train(candidates)
        late = [(one, self._fitness(one.id)) for one in candidates]
        return with_late(state, late, self.config.evolution)

    def _journal_asked(self, candidates: Sequence[Candidate]) -> None:
        for one in candidates:
            known = self.history.candidates.get(one.id)
            if known is None:
                self._append("asked", candidate_event(one), sync=False)
            elif known != one:
                raise UserError(
                    f"{self.journal.path}: candidate {one.id} was {' '.join(known.arch)} there and is "
                    f"{' '.join(one.arch)} now: another version of esr_ray or NumPy chose it; resume with the versions "
                    "that the journal's first line names"
                )
        self.journal.sync()

    def _train(self, needed: Mapping[Candidate, int]) -> None:
        """Train the candidates whose outcome number `needed[candidate]` the journal does not have."""
        waiting = {one.id: one for one, index in needed.items() if len(self.history.attempts(one.id)) <= index}
        if not waiting:
            return
        losses: dict[int, int] = {}
        self.backend.submit(sorted(waiting.values(), key=lambda one: one.id))
        while waiting:
            if self.should_stop():
                raise Stopped
            event = self.backend.next_event(POLL_S)
            if event is None or event.id not in waiting:
                # The second result of a candidate that was given up: the first one stands.
                continue
            if isinstance(event, Started):
                attempt = self.history.starts.get(event.id, 0) + 1
                content = {"id": event.id, "device": event.device, "node": event.node, "attempt": attempt}
                self._append("started", content, sync=False)
                self.watcher.started(event)
            elif isinstance(event, Lost):
                losses[event.id] = losses.get(event.id, 0) + 1
                self._lost(event, losses[event.id], waiting)
            else:
                self._ended(event)
                del waiting[event.id]

    def _ended(self, event: Finished | Failed) -> None:
        if isinstance(event, Failed):
            self._append("failed", {"id": event.id, "reason": event.reason})
            self.watcher.failed(event.id, event.reason)
            return
        candidate, trained = self.history.candidates[event.id], event.trained
        if trained.params != candidate.params:
            reason = f"the built network has {trained.params:,} parameters, the count says {candidate.params:,}"
            self._append("failed", {"id": event.id, "reason": reason})
            self.watcher.failed(event.id, reason)
            return
        # Before the record: a candidate that the journal calls finished has its weights on the disk.
        self.watcher.keep_weights(event)
        record = self._append(
            "finished",
            {
                "id": event.id,
                **asdict(trained.quality),
                "params": trained.params,
                "mult_adds": candidate.mult_adds,
                "seconds": asdict(trained.seconds),
                "curve": trained.curve,
                "kernels": trained.kernels,
                "device": event.device,
                "node": event.node,
            },
        )
        self.watcher.finished(event, record)

    def _lost(self, event: Lost, losses: int, waiting: dict[int, Candidate]) -> None:
        again = losses < self.config.runtime.max_attempts
        self._append("lost", {"id": event.id, "reason": event.reason})
        self.watcher.lost(event, losses, again)
        if again:
            self.backend.submit([waiting[event.id]])
            return
        reason = f"lost {losses} times (runtime.max_attempts), the last: {event.reason}"
        self._append("failed", {"id": event.id, "reason": reason})
        self.watcher.failed(event.id, reason)
        del waiting[event.id]

    def _append(self, kind: str, content: Mapping[str, Any], sync: bool = True) -> Event:
        event = self.journal.append(kind, content, sync)
        self.history.add(event)
        return event


def schedule_retries(journal: Journal, history: History) -> int:
    """Journal that every failed candidate is to be tried again before the next generation; how many they are.

    One whose retry is in the journal already, but was interrupted, is counted and not scheduled twice.
    """
    scheduled = Counter(one for one, _ in history.retries)
    for one in history.failed:
        if scheduled[one] < len(history.attempts(one)):
            journal_event = journal.append("retry", {"id": one, "before_generation": history.next_generation})
            history.add(journal_event)
    return len(history.failed)


def close_interrupted(journal: Journal, history: History, reason: str) -> int:
    """Journal as lost what was under way when a run ended; how many candidates that were."""
    under_way = sorted(history.under_way)
    for one in under_way:
        history.add(journal.append("lost", {"id": one, "reason": reason}))
    return len(under_way)
