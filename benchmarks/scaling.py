"""How a search scales: real evaluators here, and a driver that is made to believe in up to 1,000 devices.

    python benchmarks/scaling.py

1. Real: candidates a minute of the demo's training (fewer steps), with one evaluator and with two.
2. Simulated: the whole search (evolution, journal, TensorBoard, checkpoints) over devices that exist in a virtual time
   only, where each candidate takes about 30 s. What the driver really takes for an event goes by in virtual time too:
   devices idle where it is late, and where a generation waits for its last candidate.
3. Ray: the real backend over as many handles, which are a few processes that sleep for many devices at once: what Ray
   costs the driver with so many calls under way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("GLOG_v", "3")

import overhead
import ray
from common import FOLDER, ROOT, cores, machine, number, parser, say, table
from overhead import Empty, made_up

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.evolution.evolve import ask
from esr_ray.evolution.population import Candidate, State
from esr_ray.randomness import generator
from esr_ray.runs.folder import RunFolder, create
from esr_ray.runs.history import replay
from esr_ray.runs.journal import Journal
from esr_ray.runtime.backend import BackendEvent, Failed, Finished, Lost, Started
from esr_ray.runtime.evaluator import Reply
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.ray_backend import RayBackend, _Worker
from esr_ray.runtime.recorder import Recorder
from esr_ray.runtime.search_loop import SearchLoop
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.space.space import make_space
from esr_ray.tasks.super_resolution import open_pictures, plan_pictures

CANDIDATE_S = 30.0
"""What a candidate takes in the simulation, give or take a fifth: the demo's order of magnitude, far below the paper's
25,000 steps."""
GENERATIONS = 3


def demo_config(*overrides: str) -> Config:
    return load_config(str(ROOT / "configs" / "demo.yml"), list(overrides)).config


# Real evaluators.


@dataclass(frozen=True)
class Real:
    """Candidates a minute of so many evaluators, and seconds of a candidate."""

    evaluators: int
    per_minute: float
    candidate_s: float


def real(evaluators: int, candidates: int, steps: int) -> Real:
    """Train on evaluators as a search has them; the first candidates, which wait for the start, do not count."""
    config = demo_config(f"evolution.num_individual={candidates}", f"fast_training.steps={steps}")
    plan = plan_pictures(config)
    open_pictures(plan, config)
    space = make_space(config.space, config.task.scale)
    backend = RayBackend(WorkerSetup(config, "CPU", plan, ()), Placement("CPU", "CPU", evaluators, ""))
    asked = ask(State(), space, config.evolution, config.seed)
    try:
        # Until all train at once.
        while drain(backend, asked[:evaluators])[1] < evaluators:
            continue
        began = time.perf_counter()
        finished, _ = drain(backend, asked)
        seconds = time.perf_counter() - began
    finally:
        backend.cancel()
    mean = statistics.mean(one.trained.seconds.total for one in finished)
    return Real(evaluators, 60 * candidates / seconds, mean)


def drain(backend: RayBackend, candidates: Sequence[Candidate]) -> tuple[list[Finished], int]:
    """Have candidates trained: the results, and how many were under way at once."""
    finished: list[Finished] = []
    under_way, most = 0, 0
    backend.submit(candidates)
    while len(finished) < len(candidates):
        event = backend.next_event(1.0)
        if isinstance(event, Failed | Lost):
            raise RuntimeError(f"candidate {event.id}: {event.reason}")
        if isinstance(event, Started):
            under_way += 1
            most = max(most, under_way)
        elif isinstance(event, Finished):
            under_way -= 1
            finished.append(event)
    return finished, most


# A driver in virtual time.


class Simulated:
    """A backend of devices that only exist in virtual time; the driver's real time goes by in it too."""

    def __init__(self, devices: int, seconds: float) -> None:
        self.seconds, self.devices = seconds, devices
        self.now = 0.0
        self.busy_s = 0.0
        self.driver_s = 0.0
        self.finished = 0
        self._free = list(range(devices))
        self._queue: deque[Candidate] = deque()
        self._running: list[tuple[float, int, Candidate, int]] = []
        self._left = time.perf_counter()

    def submit(self, candidates: Sequence[Candidate]) -> None:
        self._queue.extend(candidates)

    def next_event(self, timeout_s: float) -> BackendEvent | None:
        spent = time.perf_counter() - self._left
        self.driver_s += spent
        self.now += spent
        event = self._next()
        self._left = time.perf_counter()
        return event

    def cancel(self) -> None:
        self._queue.clear()

    def _next(self) -> BackendEvent:
        if self._queue and self._free:
            device, one = self._free.pop(), self._queue.popleft()
            seconds = self.seconds * (0.8 + 0.4 * float(generator(0, "seconds of a candidate", one.id).random()))
            self.busy_s += seconds
            heapq.heappush(self._running, (self.now + seconds, one.id, one, device))
            return Started(one.id, f"device {device}", "simulated")
        ends, _, one, device = heapq.heappop(self._running)
        # In the past where the driver was late to look.
        self.now = max(self.now, ends)
        self._free.append(device)
        self.finished += 1
        return Finished(one.id, f"device {device}", "simulated", made_up(one))


def simulate(devices: int, generations: int) -> Simulated:
    """A search of generations of two candidates a device."""
    individuals = max(4, 2 * devices)
    config = demo_config(
        f"evolution.num_individual={individuals}",
        f"evolution.num_generation={generations}",
        f"evolution.num_elitism={max(2, individuals // 20)}",
    )
    space = make_space(config.space, config.task.scale)
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name, "run"))
        create(folder, config, {})
        with Journal(folder.journal) as journal:
            history = replay(journal.found)
            history.add(journal.append("run", {"seed": config.seed}))
            recorder = Recorder(folder, history, generations, config.task.scale)
            backend = Simulated(devices, CANDIDATE_S)
            SearchLoop(config, space, journal, history, backend, recorder, lambda: False).run()
            recorder.close()
    return backend


# Ray with many calls under way.


class Sleeper(Empty):
    """An actor that is many devices, all of which do nothing for a while."""

    def __init__(self, setup: WorkerSetup, seconds: float) -> None:
        super().__init__(setup)
        self.seconds = seconds

    async def train(self, references: Sequence[Any], candidate_id: int) -> Reply:
        candidates = await references[0]
        await asyncio.sleep(self.seconds)
        return Reply(made_up(candidates[candidate_id]), None, 100.0)


class Handles(RayBackend):
    """The real backend, whose evaluators are handles of a few actors."""

    def __init__(self, setup: WorkerSetup, devices: int, processes: int, seconds: float) -> None:
        super().__init__(setup, Placement("CPU", "CPU", devices, ""))
        actor_class = ray.remote(num_cpus=0, max_concurrency=devices)(Sleeper)
        actors = [actor_class.remote(setup, seconds) for _ in range(processes)]
        ray.get([one.ready.remote() for one in actors])
        self._turn = itertools.cycle(actors)

    def _start(self) -> _Worker:
        actor = next(self._turn)
        return _Worker(actor, actor.ready.remote())


@dataclass(frozen=True)
class Calls:
    """Candidates a second over so many handles, the share of their time that they were in use, the driver's cost."""

    devices: int
    per_second: float
    used: float
    driver_ms: float


def through_ray(devices: int, rate: float, rounds: int) -> Calls:
    """`rounds` candidates for each device, which sleeps so long that all devices need `rate` candidates a second."""
    config = demo_config(f"evolution.num_individual={max(4, devices)}")
    setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
    space = make_space(config.space, config.task.scale)
    asked = ask(State(), space, config.evolution, config.seed)
    seconds = devices / rate
    backend = Handles(setup, devices, len(cores()), seconds)
    try:
        # Every handle is ready before the clock starts.
        drain(backend, asked[:devices])
        began, thread = time.perf_counter(), time.thread_time()
        drain(backend, rounds * asked[:devices])
        took, cost = time.perf_counter() - began, time.thread_time() - thread
    finally:
        backend.cancel()
    count = rounds * devices
    return Calls(devices, count / took, rounds * seconds / took, 1e3 * cost / count)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64, 250, 1000], help="simulated")
    options_of.add_argument("--candidates", type=int, default=16, help="real ones")
    options_of.add_argument("--steps", type=int, default=150, help="of a real one")
    options = options_of.parse_args()
    devices, candidates, steps, rate, rounds = options.devices, options.candidates, options.steps, 100.0, 3
    if options.quick:
        devices, candidates, steps, rate, rounds = [2, 4], 2, 2, 20.0, 1
    evaluators = [1, 2] if len(cores()) > 1 else [1]

    # Ray's workers cannot import these files: what they need of them is sent to them.
    for module in (overhead, sys.modules[__name__]):
        ray.cloudpickle.register_pickle_by_value(module)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    measured: list[Real] = []
    calls: list[Calls] = []
    ray.init(num_cpus=len(cores()), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        for count in evaluators:
            say(f"real: {count}")
            measured.append(real(count, candidates, steps))
        for count in devices:
            say(f"through Ray: {count}")
            calls.append(through_ray(count, rate, rounds))
    finally:
        ray.shutdown()
    simulated: list[Simulated] = []
    for count in devices:
        say(f"simulated: {count}")
        simulated.append(simulate(count, GENERATIONS))

    print(f"{machine()}; Ray {ray.__version__}; real candidates are {steps} steps of the demo")
    rows = [
        [
            str(now.evaluators),
            number(now.per_minute),
            f"{now.candidate_s:.2f}",
            f"{now.per_minute / (now.evaluators * measured[0].per_minute):.2f}",
        ]
        for now in measured
    ]
    print(table(["real evaluators", "candidates a minute", "seconds of a candidate", "efficiency"], rows))
    print(f"\nsimulated, {CANDIDATE_S:.0f} s a candidate, {GENERATIONS} generations of two candidates a device:\n")
    rows = [
        [
            f"{now.devices:,}",
            f"{now.finished:,}",
            number(1e3 * now.driver_s / now.finished),
            f"{100 * now.driver_s / now.now:.1f} %",
            f"{100 * now.busy_s / (now.devices * now.now):.0f} %",
        ]
        for now in simulated
    ]
    print(table(["devices", "candidates", "driver, ms a candidate", "driver busy", "devices busy"], rows))
    print(f"\nRay with as many calls under way, asked for {rate:.0f} candidates a second:\n")
    rows = [
        [f"{now.devices:,}", number(now.per_second), f"{100 * now.used:.0f} %", number(now.driver_ms)] for now in calls
    ]
    print(table(["devices", "candidates a second", "devices busy", "driver, ms a candidate"], rows))
    first, last = measured[0], measured[-1]
    cost = 1e3 * simulated[-1].driver_s / simulated[-1].finished + calls[-1].driver_ms
    print(
        f"{last.evaluators} evaluators: efficiency {last.per_minute / (last.evaluators * first.per_minute):.2f}; with "
        f"{devices[-1]:,} devices the driver takes {number(cost)} ms a candidate: of {CANDIDATE_S:.0f} s each "
        f"it can feed {CANDIDATE_S * 1e3 / cost:,.0f} devices"
    )


if __name__ == "__main__":
    main()
