"""The backend on Ray: one evaluator actor a device, genomes in the object store, results taken as they finish."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from esr_ray.errors import NodeTrouble, UserError
from esr_ray.runtime.evaluator import Evaluator, Ready, Reply
from esr_ray.runtime.placement import Placement, devices_of_cluster, ray_options
from esr_ray.runtime.remote_errors import reason_of, says_what_to_do
from esr_ray.runtime.setup import WorkerSetup, worker_environment
from esr_ray.search.backend import BackendEvent, Began, Done
from esr_ray.search.events import Failed, Lost
from esr_ray.search.job import Job

START_TRIES = 3
"""Times in a row that an evaluator may fail to start before it is given up, and with the last one the search."""
DEADLINE_FACTOR = 10
LEAST_DEADLINE_S = 600.0
"""Without candidate_timeout_s a step may take ten times as long as in the slowest job so far, and a job ten minutes."""
LOOK_S = 5.0
"""How often the cluster is asked for devices that have come or gone."""
PATIENCE_S = 30.0
"""After so many seconds in which no evaluator has started, the user is told what is waited for."""


@dataclass
class _Worker:
    """An evaluator: what it is doing (`future`, of `ready` or of `train`), and since when.

    `starts` counts how often it has failed to start.
    """

    actor: Any
    future: ray.ObjectRef | None
    ready: Ready | None = None
    job: int | None = None
    since: float = 0.0
    starts: int = 0


class RayBackend:
    """Implements `esr_ray.search.backend.Backend`. Must live in the process that owns the genomes (the driver)."""

    def __init__(
        self,
        setup: WorkerSetup,
        placement: Placement,
        say: Callable[[str], None] = lambda line: None,
        evaluator: type[Evaluator] = Evaluator,
        devices: Callable[[int], None] = lambda count: None,
    ) -> None:
        """`say` is told what a user should know, `devices` how many there are where that has changed."""
        self.setup, self.placement, self.say, self.devices = setup, placement, say, devices
        self._actor_class = ray.remote(evaluator).options(
            **ray_options(placement),
            max_restarts=0,
            runtime_env={"env_vars": worker_environment(threads=1)},
        )
        self._queue: deque[tuple[int, ray.ObjectRef]] = deque()
        self._events: deque[BackendEvent] = deque()
        # Devices on which none starts, of so many that Ray had then.
        self._given_up, self._devices_then = 0, 0
        self._told = ""
        self._slowest_step_s = 0.0
        self._steps: dict[int, int] = {}
        self._waiting_since = 0.0
        self._workers: list[_Worker] = []
        self._kernels: set[str] = set()
        self._looked = time.monotonic()

    def free(self) -> int:
        if not self._workers:
            return self.placement.evaluators
        busy = sum(worker.job is not None for worker in self._workers)
        return max(0, len(self._workers) - busy - len(self._queue))

    def submit(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        if not self._workers:
            # Not before there is something to train: a run that only has its report to make needs none.
            self._workers = [self._start() for _ in range(self.placement.evaluators)]
            self._waiting_since = time.monotonic()
            self._devices_then = devices_of_cluster(self.placement.resource)
        reference = ray.put({one.id: one for one in jobs})
        self._queue.extend((one.id, reference) for one in jobs)
        self._steps.update({one.id: one.steps for one in jobs})

    def stop(self, job: int) -> None:
        self._queue = deque(one for one in self._queue if one[0] != job)
        for worker in list(self._workers):
            if worker.job == job:
                # A training cannot be interrupted: its process ends, and another one takes the device.
                ray.kill(worker.actor)
                self._replace(worker)

    def next_event(self, timeout_s: float) -> BackendEvent | None:
        if not self._events:
            self._follow_devices()
            self._dispatch()
        if not self._events:
            self._wait(timeout_s)
            self._give_up_late()
            self._say_waiting()
        return self._events.popleft() if self._events else None

    def cancel(self) -> None:
        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers.clear()
        self._queue.clear()

    def _start(self, starts: int = 0) -> _Worker:
        actor = self._actor_class.remote(self.setup)
        return _Worker(actor, actor.ready.remote(), starts=starts)

    def _follow_devices(self) -> None:
        """Start evaluators on devices that have joined; give up those that wait for one that has gone."""
        if not self.placement.follows or not self._workers or time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        kind = self.placement.resource
        count = devices_of_cluster(kind)
        if count != self._devices_then:
            # Perhaps a node that was mended.
            self._given_up, self._devices_then = 0, count
        count -= self._given_up
        before = len(self._workers)
        if count > before:
            self._workers += [self._start() for _ in range(count - before)]
            self.say(f"{count - before} {kind}s have joined: {count} evaluators")
        waiting = [worker for worker in self._workers if worker.ready is None]
        # At least one stays, to be told of: perhaps a node comes back.
        for worker in waiting[: max(0, before - max(1, count))]:
            ray.kill(worker.actor)
            self._workers.remove(worker)
        if len(self._workers) < before:
            self.say(f"{before - len(self._workers)} {kind}s have gone: {len(self._workers)} evaluators")
        if len(self._workers) != before:
            self.devices(len(self._workers))

    def _dispatch(self) -> None:
        for worker in self._workers:
            if worker.ready is not None and worker.future is None and self._queue:
                job, reference = self._queue.popleft()
                worker.job, worker.since = job, time.monotonic()
                # Nested in a list: Ray resolves a reference at top level before the call.
                worker.future = worker.actor.train.remote([reference], job)
                self._events.append(Began(job, worker.ready.device, worker.ready.node))

    def _wait(self, timeout_s: float) -> None:
        futures = {worker.future: worker for worker in self._workers if worker.future is not None}
        if not futures:
            time.sleep(timeout_s)
            return
        done, _ = ray.wait(list(futures), num_returns=1, timeout=timeout_s)
        for future in done:
            worker = futures[future]
            worker.future = None
            if worker.ready is None:
                self._started(worker, future)
            else:
                self._replied(worker, future)

    def _started(self, worker: _Worker, future: ray.ObjectRef) -> None:
        try:
            worker.ready = ready = ray.get(future)
            if ready.kernels not in self._kernels:
                self._kernels.add(ready.kernels)
                self.say(f"evaluators compute with {ready.kernels}")
        except RayError as error:
            reason = reason_of(error)
            if worker.starts + 1 < START_TRIES:
                self._say_once(f"an evaluator did not start: {reason}; trying again")
                self._replace(worker, worker.starts + 1)
                return
            if not says_what_to_do(error):
                reason += "; check that esr_ray and its dependencies are installed alike on every node"
            if len(self._workers) == 1:
                raise UserError(f"evaluators cannot start ({START_TRIES} tries): {reason}") from None
            # One node among others: they go on without it.
            self._workers.remove(worker)
            self._given_up += 1
            self.devices(len(self._workers))
            self._say_once(f"an evaluator did not start in {START_TRIES} tries, the others go on without it: {reason}")

    def _replied(self, worker: _Worker, future: ray.ObjectRef) -> None:
        job, ready = worker.job, worker.ready
        assert job is not None
        assert ready is not None
        worker.job = None
        try:
            reply: Reply = ray.get(future)
        except RayTaskError as error:
            if not isinstance(error.cause, MemoryError | OSError | RayError | NodeTrouble):
                self._events.append(Failed(job, reason_of(error)))
                return
            # Trouble of the node: elsewhere, or in a new process, it may succeed.
            self._events.append(Lost(job, f"{ready.device} of {ready.node}: {reason_of(error)}"))
            ray.kill(worker.actor)
            self._replace(worker)
            return
        except RayError as error:
            self._events.append(Lost(job, f"{ready.device} of {ready.node}: {_died(error)}"))
            self._replace(worker)
            # Perhaps the node has died: its idle ones would cost what is given to them an attempt each.
            for other in list(self._workers):
                if other.ready is not None and other.ready.node == ready.node and other.future is None:
                    ray.kill(other.actor)
                    self._replace(other)
            return
        if reply.trained is None:
            self._events.append(Failed(job, reply.reason or "no reason given"))
        else:
            self._events.append(Done(job, ready.device, ready.node, reply.trained))
            step_s = (time.monotonic() - worker.since) / self._steps[job]
            self._slowest_step_s = max(self._slowest_step_s, step_s)
        if reply.rss_mb > self.setup.config.runtime.memory_limit_mb:
            self.say(
                f"evaluator on {ready.device} of {ready.node} has grown to {reply.rss_mb:,.0f} MB "
                "(runtime.memory_limit_mb): replaced"
            )
            ray.kill(worker.actor)
            self._replace(worker)

    def _say_waiting(self) -> None:
        """Tell once that no evaluator starts: the cluster may be in use."""
        if any(worker.ready is not None for worker in self._workers):
            self._waiting_since = float("inf")
        elif time.monotonic() - self._waiting_since > PATIENCE_S:
            self._waiting_since = float("inf")
            kind = self.placement.resource
            free = int(ray.available_resources().get(kind, 0))
            self.say(f"waiting for evaluators to start: {free} of the {kind}s that Ray has are free now")

    def _give_up_late(self) -> None:
        for worker in list(self._workers):
            if worker.job is None or worker.future is None:
                continue
            limit = self._deadline_s(self._steps[worker.job])
            if limit is not None and time.monotonic() - worker.since > limit:
                self._events.append(
                    Failed(worker.job, f"passed its deadline of {limit:.0f} s (runtime.candidate_timeout_s)")
                )
                ray.kill(worker.actor)
                self._replace(worker)

    def _deadline_s(self, steps: int) -> float | None:
        """Seconds that a job of so many steps may take: those configured for a short one and as much more as it is
        longer, or many times what the slowest took so far."""
        config = self.setup.config
        configured = config.runtime.candidate_timeout_s
        if configured is not None:
            return configured * max(1.0, steps / config.fast_training.steps)
        if not self._slowest_step_s:
            return None
        return max(LEAST_DEADLINE_S, DEADLINE_FACTOR * self._slowest_step_s * steps)

    def _replace(self, worker: _Worker, starts: int = 0) -> None:
        self._workers[self._workers.index(worker)] = self._start(starts)

    def _say_once(self, line: str) -> None:
        """Several evaluators of a node have the same to say."""
        if line != self._told:
            self._told = line
            self.say(line)


def _died(error: RayError) -> str:
    """Why an actor died, in a line."""
    if isinstance(error, RayActorError):
        return "its process died"
    return f"{type(error).__name__}"
