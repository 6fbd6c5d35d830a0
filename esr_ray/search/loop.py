"""The loop: ask for as many jobs as devices are free, have them trained, record how each ended; until nothing is left.

Knows neither Ray nor time: the same loop runs under Ray, in a simulator and in a test's process.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from esr_ray.search.algorithm import Algorithm
from esr_ray.search.backend import Backend, Began, Done
from esr_ray.search.blame import is_control
from esr_ray.search.events import Asked, Dropped, Failed, Finished, Lost, Record, Started, asked_event
from esr_ray.search.losses import Losses
from esr_ray.search.state import State

POLL_S = 0.5
"""How often a stop is looked for while jobs are under way."""


class Stopped(Exception):
    """The user asked for a stop; the run can be resumed."""


def run_search(
    algorithm: Algorithm,
    record: Record,
    backend: Backend,
    keep: Callable[[Done], None] = lambda done: None,
    should_stop: Callable[[], bool] = lambda: False,
    max_attempts: int = 1,
) -> State:
    """Search until the algorithm asks for nothing more; the state then.

    `keep` is given each result before its record: a job that the record calls finished has its weights on the disk. A
    job that is lost is tried `max_attempts` times, see `Losses`. Raises Stopped where the user asked for that, and
    UserError where no device is left that can train; the search goes on from its record then.
    """
    losses = Losses(record, backend, max_attempts)
    backend.submit([record.state.jobs[job] for job in sorted(record.state.pending)])
    while True:
        if should_stop():
            raise Stopped
        # Where nothing is under way an outcome cannot be waited for, whatever the backend calls free.
        _ask(algorithm, record, backend, backend.free() if record.state.pending else max(1, backend.free()))
        for job in algorithm.unneeded(record.state):
            backend.stop(job)
            record.append(Dropped(job))
        if not record.state.pending:
            return record.state
        event = backend.next_event(POLL_S)
        if event is not None and is_control(event.job):
            losses.control(event)
        elif event is None or event.job not in record.state.pending:
            # The second result of a job that was given up: the first one stands.
            continue
        elif isinstance(event, Began):
            losses.began(event)
            record.append(Started(event.job, event.device, event.node, record.attempts(event.job) + 1), sync=False)
        elif isinstance(event, Lost):
            record.append(event)
            losses.lost(event)
        else:
            if isinstance(event, Done):
                losses.trained(event)
            record.append(event if isinstance(event, Failed) else _ended(event, record.state, keep))


def _ask(algorithm: Algorithm, record: Record, backend: Backend, free: int) -> None:
    jobs = algorithm.ask(record.state, free)
    for number, job in enumerate(jobs, 1):
        event: Asked = asked_event(job, record.state.candidates)
        record.append(event, sync=number == len(jobs))
    backend.submit(jobs)


def _ended(done: Done, state: State, keep: Callable[[Done], None]) -> Finished | Failed:
    candidate, trained = state.jobs[done.job].candidate, done.trained
    if trained.params != candidate.params:
        return Failed(
            done.job, f"the built network has {trained.params:,} parameters, the count says {candidate.params:,}"
        )
    quality = trained.quality
    if not math.isfinite(quality.fitness):
        # One such value would make the estimates of all candidates NaN.
        return Failed(done.job, f"its {quality.by} is {quality.fitness}, which is not a finite number")
    keep(done)
    return Finished(
        done.job,
        candidate.id,
        quality.psnr_y,
        quality.psnr_rgb,
        quality.ssim_y,
        trained.seconds,
        trained.curve,
        trained.kernels,
        done.device,
        done.node,
        trained.cost,
        quality.by,
        quality.score,
    )
