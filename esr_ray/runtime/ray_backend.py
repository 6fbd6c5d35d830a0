"""The backend on Ray: one evaluator actor a device, genomes in the object store, results taken as they finish."""

from __future__ import annotations

import time
from collections import defaultdict, deque
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
from esr_ray.search.blame import Device
from esr_ray.search.events import Failed, Lost
from esr_ray.search.job import Job
from esr_ray.space.counts import OUTPUT_PIXELS

START_TRIES = 3
"""Times in a row that an evaluator may fail to start before it is given up, and with the last one the search."""
DEADLINE_FACTOR = 10
LEAST_DEADLINE_S = 600.0
"""Without candidate_timeout_s a step may take ten times as long as in the slowest job so far, and a job ten minutes."""
SLOWEST_DEVICE = 1e9
"""Mult-adds per second that any device has: until the first result, they are what a deadline is reckoned from."""
PASSES = 3
"""A step of training is forward, and backward for activations and for weights."""
LOOK_S = 5.0
"""How often the cluster is asked for devices that have come or gone."""
PATIENCE_S = 30.0
"""After so many seconds in which no evaluator has started, the user is told what is waited for."""
FIRST_RESULT_S = 120.0
"""After so many seconds without a first result, too; and again after twice as many."""


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
        self._jobs: dict[int, Job] = {}
        # Devices: those given up, those that trained what they were given last, and by job those that lost it.
        self._lossy: set[Device] = set()
        self._trained: set[Device] = set()
        self._lost_on: defaultdict[int, set[Device]] = defaultdict(set)
        self._only_on: dict[int, Device] = {}
        self._last_loss = ""
        self._tell_after_s = FIRST_RESULT_S
        self._waiting_since = 0.0
        self._workers: list[_Worker] = []
        self._kernels: set[str] = set()
        self._looked = time.monotonic()

    def free(self) -> int:
        if not self._workers:
            return self.placement.evaluators
        useful = [worker for worker in self._workers if not self._is_lossy(worker)]
        busy = sum(worker.job is not None for worker in useful)
        return max(0, len(useful) - busy - len(self._queue))

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
        self._jobs.update({one.id: one for one in jobs})

    def submit_on(self, job: Job, device: str, node: str) -> None:
        self._jobs[job.id], self._only_on[job.id] = job, (device, node)
        self._queue.appendleft((job.id, ray.put({job.id: job})))

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
            self._check_useful()
            self._lose_where_gone()
            self._dispatch()
        if not self._events:
            self._wait(timeout_s)
            self._give_up_late()
            self._say_waiting()
        return self._events.popleft() if self._events else None

    def give_up(self, device: str, node: str, reason: str) -> None:
        # Its evaluator stays, idle: Ray would give the device to the next one that is started.
        self._lossy.add((device, node))
        self.say(f"{device} of {node} loses what it is given ({reason}): nothing more is trained there")
        self._last_loss = reason
        self._check_useful()

    def _is_lossy(self, worker: _Worker) -> bool:
        return _place(worker) in self._lossy

    def _check_useful(self) -> None:
        if self._workers and all(self._is_lossy(worker) for worker in self._workers):
            raise UserError(
                f"no device is left: each lost one candidate after the other, at last: {self._last_loss}; see what is "
                "wrong there (memory, temporary folder, disk?)"
            )

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
            if worker.ready is None or worker.future is not None or self._is_lossy(worker):
                continue
            given = next((one for one in self._queue if self._fits(one[0], worker)), None)
            if given is not None:
                self._queue.remove(given)
                job, reference = given
                worker.job, worker.since = job, time.monotonic()
                # Nested in a list: Ray resolves a reference at top level before the call.
                worker.future = worker.actor.train.remote([reference], job)
                self._events.append(Began(job, worker.ready.device, worker.ready.node))

    def _lose_where_gone(self) -> None:
        """End jobs that are for a device that is there no more, unless one of those that are starting may be it."""
        waiting = [one for one in self._queue if one[0] in self._only_on]
        if not waiting or any(worker.ready is None for worker in self._workers):
            return
        places = {_place(worker) for worker in self._workers}
        for one in waiting:
            if self._only_on[one[0]] not in places:
                self._queue.remove(one)
                self._events.append(Lost(one[0], "its device has gone"))

    def _fits(self, job: int, worker: _Worker) -> bool:
        """Whether a job is tried here. One that was lost goes where others were trained meanwhile, or at least
        elsewhere."""
        if job in self._only_on:
            return _place(worker) == self._only_on[job]
        if job not in self._lost_on:
            return True
        lost_on = self._lost_on[job]
        places = {place for one in self._workers if (place := _place(one)) is not None}
        useful = places - self._lossy
        elsewhere = useful - lost_on
        bad_nodes = {node for _, node in lost_on}
        other_nodes = {place for place in elsewhere if place[1] not in bad_nodes}
        if not elsewhere and any(one.ready is None for one in self._workers):
            # Perhaps those that are starting are elsewhere.
            return False
        best = elsewhere & self._trained or other_nodes or elsewhere or useful
        return _place(worker) in best

    def _lose(self, job: int, ready: Ready, reason: str) -> None:
        self._lost_on[job].add((ready.device, ready.node))
        self._trained.discard((ready.device, ready.node))
        self._events.append(Lost(job, reason))

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
            self._lose(job, ready, f"{ready.device} of {ready.node}: {reason_of(error)}")
            ray.kill(worker.actor)
            self._replace(worker)
            return
        except RayError as error:
            self._lose(job, ready, f"{ready.device} of {ready.node}: {_died(error)}")
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
            self._trained.add((ready.device, ready.node))
            if job not in self._only_on:
                # Most of such a job of one step is not its step.
                step_s = (time.monotonic() - worker.since) / self._jobs[job].steps
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
            if worker.job is None or worker.future is None or worker.ready is None:
                continue
            limit, took = self._deadline_s(self._jobs[worker.job]), time.monotonic() - worker.since
            if took > limit:
                reason = f"passed its deadline of {limit:.0f} s (runtime.candidate_timeout_s)"
                # The user's own deadline says what a candidate may take; ours, that something may be wrong there. A job
                # that is to show whether it is says so by either.
                if self.setup.config.runtime.candidate_timeout_s is not None and worker.job not in self._only_on:
                    self._events.append(Failed(worker.job, reason))
                else:
                    self._lose(worker.job, worker.ready, f"{worker.ready.device} of {worker.ready.node}: {reason}")
                ray.kill(worker.actor)
                self._replace(worker)
            elif not self._slowest_step_s and took > self._tell_after_s:
                self._tell_after_s *= 2
                self.say(
                    f"no training has ended yet: candidate {self._jobs[worker.job].candidate.id} has been trained for "
                    f"{took:.0f} s on {worker.ready.device} of {worker.ready.node}, and is given up after "
                    f"{limit:.0f} s (runtime.candidate_timeout_s)"
                )

    def _deadline_s(self, job: Job) -> float:
        """Seconds that a job may take: those configured for a short one and as much more as it is longer, or many times
        what the slowest took so far; before there is one, what the slowest device would need."""
        config = self.setup.config
        configured = config.runtime.candidate_timeout_s
        if configured is not None:
            return configured * max(1.0, job.steps / config.fast_training.steps)
        if self._slowest_step_s:
            return max(LEAST_DEADLINE_S, DEADLINE_FACTOR * self._slowest_step_s * job.steps)
        training = config.fast_training
        per_pixel = job.candidate.mult_adds / OUTPUT_PIXELS * config.task.scale**2
        step_s = PASSES * per_pixel * training.batch_size * training.crop_size**2 / SLOWEST_DEVICE
        return LEAST_DEADLINE_S + job.steps * step_s

    def _replace(self, worker: _Worker, starts: int = 0) -> None:
        self._workers[self._workers.index(worker)] = self._start(starts)

    def _say_once(self, line: str) -> None:
        """Several evaluators of a node have the same to say."""
        if line != self._told:
            self._told = line
            self.say(line)


def _place(worker: _Worker) -> Device | None:
    """The device of a worker; None for one that has not started yet."""
    return None if worker.ready is None else (worker.ready.device, worker.ready.node)


def _died(error: RayError) -> str:
    """Why an actor died, in a line."""
    if isinstance(error, RayActorError):
        return "its process died"
    return f"{type(error).__name__}"
