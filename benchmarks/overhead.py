"""What the machinery costs a candidate: empty candidates through our runtime, and through Ray Tune.

    python benchmarks/overhead.py

Nothing is trained: an evaluator gives a made-up result back at once. Ours is the whole search as the driver runs it
(evolution, journal on the disk, TensorBoard, checkpoints, Ray), a child as soon as an actor is free; Ray Tune is a
class with `reuse_actors=True` and random search, without its loggers. Both have as many actors, in one Ray.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Without CSV, JSON and TensorBoard files for each trial, which cost Ray Tune more than all else.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("GLOG_v", "3")

import ray
from common import FOLDER, ROOT, cores, machine, number, parser, say, table

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.metrics import Quality
from esr_ray.runs.artifacts import Artifacts
from esr_ray.runs.board import Board
from esr_ray.runs.events import DevicesCounted, PhaseBegan, RunBegan
from esr_ray.runs.folder import RunFolder, create
from esr_ray.runs.journal import Journal
from esr_ray.runs.log import Log
from esr_ray.runs.population import PopulationFiles
from esr_ray.runs.record import Record
from esr_ray.runs.status import StatusView
from esr_ray.runtime.evaluator import Evaluator, Reply
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.backend import Backend, BackendEvent, Done
from esr_ray.search.job import Job
from esr_ray.search.loop import run_search
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.tasks.make import make_task, space_of
from esr_ray.tasks.pictures import plan_pictures
from esr_ray.training.result import Seconds, Trained

INDIVIDUALS = 20
CURVE = tuple((30 * point, 0.1) for point in range(1, 21))
"""As long as a loss curve of ours."""


def made_up(job: Job) -> Trained:
    """A result that depends on the job alone: a longer training is better, and ranks not quite alike."""
    network, noise = (zlib.crc32(repr(one).encode()) / 2**32 for one in (job.candidate.arch, (job.id, "noise")))
    psnr = 30 + network + 0.3 * math.log10(job.steps) + 0.1 * noise
    return Trained(Quality(psnr, psnr - 2, 0.9), job.candidate.params, Seconds(0, 0, 0), CURVE, b"weights", None)


class Empty(Evaluator):
    """An evaluator that trains nothing."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup, self.device = setup, "nothing"

    def ready(self) -> Any:
        from esr_ray.runtime.evaluator import Ready

        return Ready(self.device, "here", os.getpid(), "nothing")

    def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
        return Reply(made_up(ray.get(references[0])[job_id]), None, 100.0)


class Watched(RayBackend):
    """Notes when each job ended, by the clock and in seconds of this thread."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.ended: list[tuple[float, float]] = []

    def next_event(self, timeout_s: float) -> BackendEvent | None:
        event = super().next_event(timeout_s)
        if isinstance(event, Done):
            self.ended.append((time.perf_counter(), time.thread_time()))
        return event


@dataclass(frozen=True)
class Cost:
    """Milliseconds a candidate: with the start of everything, without it, and of the driver's own processor time."""

    name: str
    candidates: int
    whole: float
    running: float
    driver: float | None = None
    last: tuple[float, float] | None = None
    """Running and driver over the last tenth."""

    def row(self) -> list[str]:
        driver = "-" if self.driver is None else number(self.driver)
        last = "-" if self.last is None else " and ".join(map(number, self.last))
        return [self.name, f"{self.candidates:,}", number(self.whole), number(self.running), driver, last]


def search_config(candidates: int) -> Config:
    """The demo's search without a barrier, of so many candidates, each trained once."""
    individuals = min(INDIVIDUALS, candidates)
    return load_config(
        str(ROOT / "configs" / "demo.yml"),
        [
            "evolution.schedule=steady",
            "evolution.objectives=[psnr]",
            "evolution.promotion=null",
            "evolution.race=null",
            "evolution.predictor=null",
            f"evolution.num_individual={individuals}",
            f"evolution.num_generation={-(-candidates // individuals)}",
            f"evolution.num_elitism={max(1, individuals // 10)}",
        ],
    ).config


def search(config: Config, backend: Backend, folder: RunFolder, devices: int) -> State:
    """A search in a new run folder, put together as in the driver: with its journal, views and files."""
    create(folder, config, {})
    algorithm = make_algorithm(config, space_of(config))
    log = Log(folder.log, config.runtime.max_attempts)
    board = Board(folder.tensorboard, algorithm)
    files, artifacts = PopulationFiles(folder, algorithm), Artifacts(folder, make_task(config.task))
    best = config.evolution.num_elitism
    try:
        with Journal(folder.journal) as journal:
            record = Record(journal)
            record.catch_up([log, board, StatusView(log, algorithm), files])
            record.append(RunBegan(config.seed))
            record.tell(PhaseBegan("search"))
            record.tell(DevicesCounted(devices))

            def keep(done: Done) -> None:
                artifacts.keep(done, algorithm, record.state, best)

            state = run_search(algorithm, record, backend, keep, max_attempts=config.runtime.max_attempts)
            files.write(record.history)
            artifacts.prune(algorithm, state, best)
            return state
    finally:
        backend.cancel()
        board.close()
        log.close()


def ours(candidates: int, actors: int) -> Cost:
    """A search in a new run folder, in this process as in the driver's."""
    config = search_config(candidates)
    setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
    backend = Watched(setup, Placement("CPU", "CPU", actors, ""), evaluator=Empty)
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        search(config, backend, RunFolder(Path(name, "run")), actors)
        whole = time.perf_counter() - began
    ended = backend.ended
    count, tail = len(ended), max(2, len(ended) // 10)

    def rate(part: Sequence[tuple[float, float]]) -> tuple[float, float]:
        (clock, thread), (later, more) = part[0], part[-1]
        return 1e3 * (later - clock) / (len(part) - 1), 1e3 * (more - thread) / (len(part) - 1)

    # From the end of the random ones on: what is before is start.
    running, driver = rate(ended[min(config.evolution.num_individual, count // 2) - 1 :])
    return Cost("ours", count, 1e3 * whole / count, running, driver, rate(ended[-tail:]))


def tune(candidates: int, actors: int) -> Cost:
    """Ray Tune with a class that ends in its first step."""
    from ray import tune

    class Nothing(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.psnr = config["psnr"]

        def step(self) -> dict[str, Any]:
            return {"psnr": self.psnr, "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.psnr = new_config["psnr"]
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            return None

        def load_checkpoint(self, checkpoint: Any) -> None:
            return None

    first: list[float] = []

    class FirstResult(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            if not first:
                first.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as name:
        tuner = tune.Tuner(
            tune.with_resources(Nothing, {"cpu": 1}),
            param_space={"psnr": tune.uniform(30, 31)},
            tune_config=tune.TuneConfig(num_samples=candidates, max_concurrent_trials=actors, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=name, verbose=0, callbacks=[FirstResult()]),
        )
        began = time.perf_counter()
        results = tuner.fit()
        ended = time.perf_counter()
    if results.num_errors or len(results) != candidates:
        raise RuntimeError(f"Ray Tune ended with {len(results)} results and {results.num_errors} errors")
    return Cost(
        "Ray Tune", candidates, 1e3 * (ended - began) / candidates, 1e3 * (ended - first[0]) / max(1, candidates - 1)
    )


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--candidates", type=int, nargs="+", default=[100, 1000, 10_000])
    options_of.add_argument("--tune-most", type=int, default=1000, help="most that Ray Tune is given; 0: without it")
    options = options_of.parse_args()
    numbers = [10, 30] if options.quick else sorted(options.candidates)
    actors = len(cores())
    with_tune = options.tune_most > 0
    try:
        importlib.import_module("ray.tune")
    except ImportError as error:
        say(f"without Ray Tune ({error}): pip install 'ray[tune]' 'pyarrow<20'")
        with_tune = False
    # Ray's workers find this file's classes in it.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=actors, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    costs: list[Cost] = []
    try:
        # Ray's first workers start here, for both alike.
        ours(2, actors)
        for count in numbers:
            say(f"ours: {count:,} candidates")
            costs.append(ours(count, actors))
            if with_tune and count <= options.tune_most:
                say(f"Ray Tune: {count:,} candidates")
                costs.append(tune(count, actors))
    finally:
        ray.shutdown()
    print(f"{machine()}; {actors} actors; Ray {ray.__version__}; milliseconds a candidate")
    head = ["runtime", "candidates", "with start", "without", "driver's processor time", "in the last tenth"]
    print(table(head, [one.row() for one in costs]))
    own = {one.candidates: one for one in costs if one.name == "ours"}
    least, most = own[min(own)], own[max(own)]
    flat = f"{most.running / least.running:.2f} times from {least.candidates:,} to {most.candidates:,} candidates"
    theirs = [one for one in costs if one.name == "Ray Tune"]
    if theirs:
        other = theirs[-1]
        mine = min(own.values(), key=lambda one: abs(one.candidates - other.candidates))
        print(
            f"ours costs a candidate {number(mine.running)} ms, Ray Tune {number(other.running)}: "
            f"{other.running / mine.running:.1f} times as much; ours grows {flat}"
        )
    else:
        print(
            f"ours costs a candidate {number(most.running)} ms (Ray Tune is not there to compare with); it grows {flat}"
        )


if __name__ == "__main__":
    main()
