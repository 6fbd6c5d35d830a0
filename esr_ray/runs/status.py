"""What a person who watches a run wants to know, as plain data that crosses processes, and the view that keeps it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace

from esr_ray.runs.events import (
    BaselineMeasured,
    DevicesCounted,
    Event,
    Finished,
    Notice,
    PhaseBegan,
    Progressed,
)
from esr_ray.runs.history import History
from esr_ray.runs.log import Log
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.front import FrontRow, front_rows


@dataclass(frozen=True)
class Status:
    """Where a run stands. `lines` are those of its log since the number asked for; times are in seconds.

    `spent` of `budget` steps of training were asked for in the search; `trained` jobs have a result. `winner` is the id
    of one of the front, `confidence` that in it. `network` is the label of what is trained in full. `process` is the
    driver's: where it is another one, the driver was restarted and numbers its lines anew. `judged_by` names the figure
    that fitness is.
    """

    phase: str = "starting"
    candidates: int = 0
    trained: int = 0
    failed: int = 0
    spent: int = 0
    budget: int = 0
    devices: int = 0
    busy: int = 0
    front: tuple[FrontRow, ...] = ()
    winner: int | None = None
    confidence: float | None = None
    baseline: tuple[str, float] | None = None
    judged_by: str = "psnr_y"
    network: str = ""
    step: int = 0
    steps: int = 0
    eta_s: float | None = None
    lines: tuple[str, ...] = ()
    next_line: int = 0
    process: int = 0


class StatusView:
    """A view that can say where the run stands, from any thread."""

    def __init__(self, log: Log, algorithm: Algorithm | None) -> None:
        self.log, self.algorithm = log, algorithm
        self._status = Status()
        self._history: History | None = None
        self._lock = threading.Lock()
        self._trained_s, self._trained_steps = 0.0, 0
        self._began: tuple[float, int] | None = None

    def see(self, event: Event | Notice, history: History) -> None:
        self._history = history
        match event:
            case PhaseBegan():
                self._began = None
                self._update(phase=event.name, network=event.network, step=0, steps=event.steps)
            case DevicesCounted():
                self._update(devices=event.count)
            case BaselineMeasured():
                self._update(baseline=(event.name, event.fitness), judged_by=event.by)
            case Progressed():
                if self._began is None:
                    # A training that goes on from a state did the steps before in another process.
                    self._began = (time.monotonic(), event.step)
                self._update(step=event.step)
            case Finished():
                self._trained_s += event.seconds.total
                self._trained_steps += history.state.jobs[event.job].steps
                self._update(trained=self._status.trained + 1)

    def status(self, since: int) -> Status:
        """Where the run stands, with the log lines from number `since` on."""
        with self._lock:
            status = self._status
        lines, next_line = self.log.read(since)
        status = replace(status, lines=lines, next_line=next_line, process=os.getpid())
        if self._history is not None:
            status = self._of_search(status, self._history)
        return replace(status, eta_s=self._eta(status))

    def _of_search(self, status: Status, history: History) -> Status:
        state, algorithm = history.state, self.algorithm
        status = replace(status, candidates=len(state.candidates), failed=len(state.failed))
        status = replace(status, busy=len(history.under_way))
        if algorithm is None:
            return status
        verdict = algorithm.verdict(state)
        return replace(
            status,
            spent=state.spent_steps,
            budget=algorithm.budget.total_steps,
            front=front_rows(algorithm, state),
            winner=None if verdict is None else verdict.winner.candidate.id,
            confidence=None if verdict is None else verdict.confidence,
        )

    def _eta(self, status: Status) -> float | None:
        if status.phase == "search" and self._trained_steps and status.devices:
            left = max(0, status.budget - self._trained_steps)
            return left * self._trained_s / self._trained_steps / status.devices
        if status.phase == "full training" and self._began is not None and status.step > self._began[1]:
            step_s = (time.monotonic() - self._began[0]) / (status.step - self._began[1])
            return step_s * (status.steps - status.step)
        return None

    def _update(self, **changes: object) -> None:
        with self._lock:
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]
