"""How a search scales: real evaluators here, and a driver that is made to believe in up to 1,000 devices.

    python benchmarks/scaling.py

1. Real: candidates a minute of the demo's training (fewer steps), with one evaluator and with two; and how long two
   evaluators idle in a whole search with promotion and race, of trainings as long as the demo's, by the times in its
   journal.
2. Simulated: the whole search (evolution, journal, TensorBoard, checkpoints) over devices that exist in a virtual time
   only. A short training takes 15 to 60 s, one of three times the steps three times as long. What the driver really
   takes for an event goes by in virtual time too: devices idle where it is late, where a generation waits for its last
   candidate, and at the end, when there is nothing left to ask for.
3. Ray: the real backend over as many handles, which are a few processes that sleep for many devices at once: what Ray
   costs the driver with so many calls under way.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("GLOG_v", "3")

import overhead
import ray
from common import FOLDER, cores, machine, number, parser, say, table
from overhead import Empty, made_up, search
from simulated import LENGTHS, SHORT_S, SPREAD, Busy, busy, demo_config, search_keys, simulate

from esr_ray.config.schema import Config
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.journal import read_journal
from esr_ray.runtime.evaluator import Reply
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.ray_backend import RayBackend, _Worker
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.backend import Began, Done
from esr_ray.search.events import Failed, Lost
from esr_ray.search.job import Job
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.tasks.make import space_of
from esr_ray.tasks.pictures import open_pictures, plan_pictures

SCHEDULES = ("steady", "generational")


# Real evaluators.


@dataclass(frozen=True)
class Real:
    """Candidates a minute of so many evaluators, and seconds of a candidate."""

    evaluators: int
    per_minute: float
    candidate_s: float


def first_jobs(config: Config, count: int) -> tuple[Job, ...]:
    """What a search asks for first."""
    return make_algorithm(config, space_of(config)).ask(State(), count)


def real(evaluators: int, candidates: int, steps: int) -> Real:
    """Train on evaluators as a search has them; the first candidates, which wait for the start, do not count."""
    config = demo_config(f"evolution.num_individual={candidates}", f"fast_training.steps={steps}")
    plan = plan_pictures(config)
    open_pictures(plan, config)
    backend = RayBackend(WorkerSetup(config, "CPU", plan, ()), Placement("CPU", "CPU", evaluators, ""))
    asked = first_jobs(config, candidates)
    try:
        # Until all train at once.
        while drain(backend, asked[:evaluators])[1] < evaluators:
            continue
        began = time.perf_counter()
        done, _ = drain(backend, asked)
        seconds = time.perf_counter() - began
    finally:
        backend.cancel()
    mean = statistics.mean(one.trained.seconds.total for one in done)
    return Real(evaluators, 60 * candidates / seconds, mean)


def drain(backend: RayBackend, jobs: Sequence[Job]) -> tuple[list[Done], int]:
    """Have jobs done: the results, and how many were under way at once."""
    done: list[Done] = []
    under_way, most = 0, 0
    backend.submit(jobs)
    while len(done) < len(jobs):
        event = backend.next_event(1.0)
        if isinstance(event, Failed | Lost):
            raise RuntimeError(f"job {event.job}: {event.reason}")
        if isinstance(event, Began):
            under_way += 1
            most = max(most, under_way)
        elif isinstance(event, Done):
            under_way -= 1
            done.append(event)
    return done, most


def real_search(schedule: str, evaluators: int, trainings: int, steps: int | None) -> tuple[Busy, int]:
    """How busy evaluators were in a search with the budget of so many short trainings, and the jobs that they did.

    Trainings have the demo's steps unless `steps` are given. Promotion and race are those of a search that is not told
    otherwise: the race is what an evaluator does while the other ends the last long training.
    """
    individuals = min(8, trainings)
    keys = search_keys(schedule, individuals, trainings // individuals)
    as_default = ["evolution.promotion={}", "evolution.race={}"]
    length = [] if steps is None else [f"fast_training.steps={steps}"]
    config = demo_config(*keys, *as_default, *length)
    plan = plan_pictures(config)
    open_pictures(plan, config)
    backend = RayBackend(WorkerSetup(config, "CPU", plan, ()), Placement("CPU", "CPU", evaluators, ""))
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name, "run"))
        search(config, backend, folder, evaluators)
        return busy_of_journal(folder, evaluators)


def busy_of_journal(folder: RunFolder, devices: int) -> tuple[Busy, int]:
    """By the times at which jobs were recorded as started and finished; and how many finished."""
    began: dict[int, float] = {}
    births: set[int] = set()
    spans: list[tuple[float, float]] = []
    for event in read_journal(folder.journal).events:
        if event["event"] == "asked" and event["purpose"] == "birth":
            births.add(event["job"])
        elif event["event"] == "started":
            began[event["job"]] = event["time"]
        elif event["event"] == "finished":
            spans.append((began[event["job"]], event["time"]))
    return busy(devices, spans, max(began[job] for job in births)), len(spans)


# Ray with many calls under way.


class Sleeper(Empty):
    """An actor that is many devices, all of which do nothing for a while."""

    def __init__(self, setup: WorkerSetup, seconds: float) -> None:
        super().__init__(setup)
        self.seconds = seconds

    async def train(self, references: Sequence[Any], job_id: int) -> Reply:
        jobs = await references[0]
        await asyncio.sleep(self.seconds)
        return Reply(made_up(jobs[job_id]), None, 100.0)


class Handles(RayBackend):
    """The real backend, whose evaluators are handles of a few actors."""

    def __init__(self, setup: WorkerSetup, devices: int, processes: int, seconds: float) -> None:
        super().__init__(setup, Placement("CPU", "CPU", devices, ""))
        actor_class = ray.remote(num_cpus=0, max_concurrency=devices)(Sleeper)
        actors = [actor_class.remote(setup, seconds) for _ in range(processes)]
        ray.get([one.ready.remote() for one in actors])
        self._turn = itertools.cycle(actors)

    def _start(self, starts: int = 0) -> _Worker:
        actor = next(self._turn)
        return _Worker(actor, actor.ready.remote(), starts=starts)


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
    asked = first_jobs(config, devices)
    seconds = devices / rate
    backend = Handles(setup, devices, len(cores()), seconds)
    try:
        # Every handle is ready before the clock starts.
        drain(backend, asked)
        began, thread = time.perf_counter(), time.thread_time()
        drain(backend, rounds * asked)
        took, cost = time.perf_counter() - began, time.thread_time() - thread
    finally:
        backend.cancel()
    count = rounds * devices
    return Calls(devices, count / took, rounds * seconds / took, 1e3 * cost / count)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--devices", type=int, nargs="+", default=[8, 64, 250, 1000], help="simulated")
    options_of.add_argument("--work", type=int, default=64, help="short trainings a simulated device")
    options_of.add_argument("--candidates", type=int, default=16, help="real ones")
    options_of.add_argument("--steps", type=int, default=150, help="of a real one")
    options_of.add_argument("--trainings", type=int, default=160, help="budget of the real search, in short trainings")
    options_of.add_argument("--search-steps", type=int, help="of a short training of it (the demo's)")
    options_of.add_argument("--only", choices=("real", "simulated", "ray"), help="one of the three parts")
    options_of.add_argument(
        "--processor-time",
        action="store_true",
        help="let the driver's processor time go by, not that of the clock: where others use the machine",
    )
    options = options_of.parse_args()
    if options.quick:
        options.devices, options.work, options.candidates, options.trainings = [2, 4], 8, 2, 8
        options.steps = options.search_steps = 2
    parts = ("real", "simulated", "ray") if options.only is None else (options.only,)

    # Ray's workers cannot import these files: what they need of them is sent to them.
    for module in (overhead, sys.modules[__name__]):
        ray.cloudpickle.register_pickle_by_value(module)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    print(f"{machine()}; Ray {ray.__version__}; real trainings are {options.steps} steps of the demo")
    closing: list[str] = []
    if {"real", "ray"} & {*parts}:
        ray.init(num_cpus=len(cores()), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    driver_ms = 0.0
    try:
        if "real" in parts:
            closing += real_part(options)
        if "ray" in parts:
            driver_ms += ray_part(options)
    finally:
        ray.shutdown()
    if "simulated" in parts:
        driver_ms += simulated_part(options)
    if driver_ms:
        closing.append(
            f"with {options.devices[-1]:,} devices the driver takes {number(driver_ms)} ms a job: "
            f"of {SHORT_S:.0f} s each it can feed {SHORT_S * 1e3 / driver_ms:,.0f} devices"
        )
    print("; ".join(closing))


def real_part(options: argparse.Namespace) -> list[str]:
    """Print what real evaluators do; what the last line says of them."""
    measured: list[Real] = []
    for count in [1, 2] if len(cores()) > 1 else [1]:
        say(f"real: {count}")
        measured.append(real(count, options.candidates, options.steps))
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
    first, last = measured[0], measured[-1]
    rows = []
    idle = {}
    for schedule in SCHEDULES:
        say(f"real search: {schedule}")
        found, jobs = real_search(schedule, last.evaluators, options.trainings, options.search_steps)
        idle[schedule] = 1 - found.whole
        rows.append([schedule, str(jobs), percent(1 - found.whole), percent(1 - found.births)])
    print(f"\na search on {last.evaluators} evaluators, with promotion and race as by default:\n")
    print(table(["schedule", "jobs", "idle between the first and the last job", "idle until the last birth"], rows))
    efficiency = last.per_minute / (last.evaluators * first.per_minute)
    return [
        f"{last.evaluators} evaluators: efficiency {efficiency:.2f}",
        f"in a steady search they idle {percent(idle['steady'])}",
    ]


def simulated_part(options: argparse.Namespace) -> float:
    """Print what a driver can feed; the milliseconds that it takes for a job with the most devices."""
    rows = []
    driver_ms = 0.0
    clock = time.thread_time if options.processor_time else time.perf_counter
    for schedule, promotion in (("generational", True), ("steady", True), ("steady", False)):
        for count in options.devices:
            lengths = LENGTHS if promotion else "short ones alone"
            say(f"simulated: {count}, {schedule}, {lengths}")
            now = simulate(schedule, promotion, count, options.work, clock)
            driver_ms = 1e3 * now.driver_s / len(now.spans)
            last = max(ended for _, ended in now.spans)
            rows.append(
                [
                    schedule,
                    lengths,
                    f"{count:,}",
                    f"{len(now.spans):,}",
                    percent(now.busy.whole),
                    percent(now.busy.births),
                    number(driver_ms),
                    percent(now.driver_s / last),
                ]
            )
    print(
        f"\nsimulated, {SHORT_S / SPREAD**0.5:.0f} to {SHORT_S * SPREAD**0.5:.0f} s a short training, "
        f"{options.work} short trainings a device:\n"
    )
    head = [
        "schedule",
        "lengths",
        "devices",
        "jobs",
        "devices busy",
        "until the last birth",
        "driver, ms a job",
        "driver busy",
    ]
    print(table(head, rows))
    return driver_ms


def ray_part(options: argparse.Namespace) -> float:
    """Print what Ray costs the driver; the milliseconds that it takes for a job with the most devices."""
    rate, rounds = (20.0, 1) if options.quick else (100.0, 3)
    calls: list[Calls] = []
    for count in options.devices:
        say(f"through Ray: {count}")
        calls.append(through_ray(count, rate, rounds))
    print(f"\nRay with as many calls under way, asked for {rate:.0f} jobs a second:\n")
    rows = [
        [f"{now.devices:,}", number(now.per_second), f"{100 * now.used:.0f} %", number(now.driver_ms)] for now in calls
    ]
    print(table(["devices", "jobs a second", "devices busy", "driver, ms a job"], rows))
    return calls[-1].driver_ms


def percent(part: float) -> str:
    return f"{100 * part:.1f} %"


if __name__ == "__main__":
    main()
