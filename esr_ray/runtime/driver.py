"""The driver actor: owns the population and the journal of one run, from its first candidate to the final report.

It stays on the node that holds the run folder, rebuilds itself from the journal when it is restarted, and answers
`status` and `stop` while it works.
"""

from __future__ import annotations

import platform
import socket
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import ray

import esr_ray
from esr_ray.config.epochs import in_steps
from esr_ray.config.schema import Config
from esr_ray.cores import why_fewer
from esr_ray.data.transfer import read_part
from esr_ray.durable import Held, write_atomically
from esr_ray.errors import UserError
from esr_ray.inference.measure import measure_baseline
from esr_ray.metrics import FIGURES, Quality, mean_quality
from esr_ray.native.cpu import cpu_name
from esr_ray.runs.artifacts import Artifacts
from esr_ray.runs.board import Board
from esr_ray.runs.events import (
    BaselineMeasured,
    Closed,
    DevicesCounted,
    Lost,
    PhaseBegan,
    Progressed,
    Resumed,
    Retried,
    RunBegan,
    Said,
    Validated,
)
from esr_ray.runs.folder import FINAL, RunFolder, check_record, create, lock, sweep
from esr_ray.runs.journal import Journal
from esr_ray.runs.log import Log
from esr_ray.runs.population import PopulationFiles
from esr_ray.runs.record import Record
from esr_ray.runs.result import closing_line, front_lines, networks_json, networks_line, result_json, winner_lines
from esr_ray.runs.status import Status, StatusView
from esr_ray.runtime.final_stage import Kept, Run, check_trainers, train_kept
from esr_ray.runtime.placement import Placement, check_same_devices, decide_placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.backend import Done
from esr_ray.search.front import chosen, row_of
from esr_ray.search.loop import Stopped, run_search
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.space.counts import mult_adds_720p, spec_cost
from esr_ray.tasks.make import make_task, network_spec, space_of
from esr_ray.tasks.pictures import cache_dir, keep_cache_within, open_pictures, plan_pictures, with_checksums
from esr_ray.tasks.user_files import UserFile, load_files

MAX_RESTARTS = 5
"""So often Ray may restart a driver without a result in between."""
LOCK_PATIENCE_S = 10.0
"""How long a driver waits for one that is dying to let go of the run folder."""


@dataclass(frozen=True)
class DriverSetup:
    """What a run is started or resumed with. `path` is the run folder, on the driver's node.

    `nodes_may_join`: Ray is a cluster that was there before, not this machine alone. `notes` are what to tell of the
    networks that the search begins or goes on with.
    """

    path: str
    config: Config
    files: tuple[UserFile, ...]
    resume: bool
    retry_failed: bool
    nodes_may_join: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How the run ended: finished, stopped (resumable), or error (with the user's message)."""

    kind: str
    message: str
    folder: str
    host: str


class Driver:
    """Becomes a Ray actor in `esr_ray.runtime.client`."""

    def __init__(self, setup: DriverSetup) -> None:
        self.setup = setup
        self.folder = RunFolder(Path(setup.path))
        self.restarted = ray.get_runtime_context().was_current_actor_reconstructed
        self._status: StatusView | None = None
        self._record: Record | None = None
        self._artifacts: Artifacts | None = None
        # Of the full training that is under way.
        self._label = FINAL
        self._begun = False
        self._stop = threading.Event()
        self._cache_dir = Path()

    # Answered at any time, in a concurrency group of their own.

    @ray.method(concurrency_group="control")
    def status(self, since: int) -> Status:
        """Where the run stands; log lines from number `since` on."""
        return Status() if self._status is None else self._status.status(since)

    @ray.method(concurrency_group="control")
    def stop(self) -> None:
        """Give up what is under way and end; the run can be resumed."""
        self._stop.set()

    # Told by the first of the trainers.

    @ray.method(concurrency_group="control")
    def training_progress(self, step: int, loss: float) -> None:
        """The mean loss of the steps since the last call."""
        if self._record is not None:
            self._record.tell(Progressed(step, loss, self._label))

    @ray.method(concurrency_group="control")
    def keep_state(self, content: bytes) -> None:
        """The content of a state's file. Raises UserError where the disk is full."""
        if self._artifacts is not None:
            self._artifacts.keep_state(self._label, content)

    @ray.method(concurrency_group="control")
    def validated(self, step: int, quality: list[Quality], sr: np.ndarray) -> None:
        """Quality of the validation pictures, and what the network makes of the first."""
        if self._record is None or self._artifacts is None:
            return
        self._record.append(Validated(step, **asdict(mean_quality(quality)), network=self._label))
        compared = self._artifacts.compared(sr, step, self._label)
        if compared is not None:
            self._record.tell(compared)

    @ray.method(concurrency_group="control")
    def picture_part(self, checksum: str, suffix: str, offset: int) -> bytes:
        """A part of a store of decoded pictures, for a node that does not have it."""
        return read_part(self._cache_dir, checksum, suffix, offset)

    # The run.

    # Called again by Ray where the driver was killed and restarted; the other methods are not worth it.
    @ray.method(max_task_retries=-1)
    def run(self) -> Outcome:
        """Search, train the winner, report. What the user can mend is an outcome, not an exception."""
        try:
            held = self._take_folder()
        except UserError as error:
            return self._outcome("error", str(error))
        except OSError as error:
            return self._outcome("error", f"{error.filename or self.folder.path}: {error.strerror}")
        # Until the process ends: two drivers never write one journal.
        self._held = held
        with ExitStack() as closing:
            try:
                journal = closing.enter_context(Journal(self.folder.journal))
                self._record = Record(journal)
                # Also where Ray has restarted this driver.
                self._begun = self._record.history.run is not None
                return self._run(self._record, closing)
            except UserError as error:
                place = self.folder.path
                if not self._begun:
                    hint = f" (nothing was done yet: --resume {place} --set KEY=VALUE goes on)"
                else:
                    hint = "" if "--resume" in str(error) else f"; mend it, then go on with --resume {place}"
                return self._end("error", f"{error}{hint}")
            except Stopped:
                return self._end("stopped", f"stopped; go on with --resume {self.folder.path}")
            except OSError as error:
                # A full or failing disk; the journal's own errors say so themselves.
                return self._end(
                    "error",
                    f"{error.filename or self.folder.path}: {error.strerror}; mend it, then go on with --resume "
                    f"{self.folder.path} (nothing that was finished is lost)",
                )

    def _take_folder(self) -> Held:
        fresh = not self.folder.journal.exists()
        if not fresh and not self.setup.resume and not self.restarted:
            raise UserError(
                f"{self.folder.path}: is already a run folder; go on with it by --resume {self.folder.path}"
            )
        self.folder.path.mkdir(parents=True, exist_ok=True)
        held = lock(self.folder, LOCK_PATIENCE_S)
        sweep(self.folder)
        check_record(self.folder)
        if not self.folder.config.exists():
            self._write_config()
        return held

    def _write_config(self) -> None:
        create(self.folder, self.setup.config, {file.place: file.text for file in self.setup.files})

    def _run(self, record: Record, closing: ExitStack) -> Outcome:
        config, history = self.setup.config, record.history
        load_files(self.setup.files)
        log = Log(self.folder.log, config.runtime.max_attempts)
        closing.callback(log.close)
        # Of the past it only takes note.
        record.catch_up([log])
        self._status = StatusView(log, None)
        record.views.append(self._status)

        record.tell(PhaseBegan("pictures"))
        plan = plan_pictures(config, None if history.run is None else history.run.pictures)
        pictures = open_pictures(plan, config)
        plan = with_checksums(plan, pictures)
        self._cache_dir = cache_dir(plan)
        removed = keep_cache_within(plan, config)
        config, lengths = in_steps(config, len(pictures.train))
        for note in (*self.setup.notes, *plan.notes, *pictures.notes, *lengths):
            record.tell(Said(note))
        if removed:
            record.tell(Said(f"{removed / 1e6:,.0f} MB of older decoded pictures removed (runtime.cache_limit_gb)"))
        task = make_task(config.task)
        baseline = mean_quality([one.quality for one in measure_baseline(pictures.validation, task)])
        record.tell(BaselineMeasured(task.baseline.name, baseline.fitness, baseline.by))
        artifacts = self._artifacts = Artifacts(self.folder, task)
        artifacts.sample = pictures.validation[0]

        placement = decide_placement(config.runtime, ray.cluster_resources(), self.restarted)
        check_same_devices(config.runtime, placement, None if history.run is None else history.run.hardware)
        record.tell(Said(placement.reason))
        if not self.setup.nodes_may_join and (fewer := why_fewer()) is not None:
            record.tell(Said(fewer))
        for note in check_trainers(config, placement.resource, self.setup.nodes_may_join, self.restarted):
            record.tell(Said(note))
        algorithm = None
        if "search" in config.pipeline:
            algorithm = make_algorithm(config, space_of(config))
        self._begin(record, placement, pictures.checksum)
        board = Board(self.folder.tensorboard, algorithm, self.folder.pictures, task.judged_by)
        closing.callback(board.close)
        record.views.remove(self._status)
        self._status = StatusView(log, algorithm)
        record.catch_up([board, self._status])
        record.tell(BaselineMeasured(task.baseline.name, baseline.fitness, baseline.by))
        here = ray.get_runtime_context()
        setup = WorkerSetup(config, placement.target, plan, self.setup.files, here.current_actor, here.get_node_id())
        run = Run(self.folder, record, artifacts, setup, placement)

        closing_line = self._train_networks(run) if algorithm is None else self._search_and_train(run, algorithm)
        record.append(Closed("finished"))
        record.tell(PhaseBegan("finished"))
        return self._outcome("finished", closing_line)

    def _search_and_train(self, run: Run, algorithm: Algorithm) -> str:
        """The search, and what the pipeline wants done with its best networks; the closing line."""
        record = run.record
        state = self._search(run, algorithm)
        verdict = algorithm.verdict(state)
        if verdict is None:
            raise UserError(
                f"{self.folder.path}: every candidate failed, there is nothing to train; the last one: "
                f"{_last_failure(state)}; the others are in {self.folder.population.name}; go on with --resume "
                f"{self.folder.path} --retry-failed once that is mended, or give other keys of fast_training (but its "
                "length) by --set"
            )
        for line in (*front_lines(algorithm, state), *winner_lines(algorithm, state)):
            record.tell(Said(line))
        labels: dict[str, int] = {}
        if "full_training" in run.setup.config.pipeline:
            labels = self._train_chosen(run, algorithm, state)
        result = result_json(algorithm, verdict, labels, record.history)
        write_atomically(self.folder.result, result.encode())
        return closing_line(verdict, state.judged_by)

    def _train_chosen(self, run: Run, algorithm: Algorithm, state: State) -> dict[str, int]:
        """Train what `full_training.networks` names; the candidates by label."""
        which = run.setup.config.full_training.networks
        ids = chosen(algorithm, state, which)
        if which.startswith("front:") and len(ids) < int(which.removeprefix("front:")):
            run.record.tell(Said(f"full_training.networks is {which}, and the front has {len(ids)}: all are trained"))
        labels = {FINAL if len(ids) == 1 else f"front_{place:02d}": one for place, one in enumerate(ids)}
        view, unit = algorithm.view(state), FIGURES[state.judged_by].unit
        for label, one in labels.items():
            row = row_of(view, one)
            why = f"candidate {one}, {which} of the search ({row.psnr:.3f} ± {row.error:.3f}{unit})"
            self._train(run, Kept(label, row.arch, one, why))
        return labels

    def _train_networks(self, run: Run) -> str:
        """Train the networks that were given, one after the other; the closing line."""
        config = run.setup.config
        costs: dict[str, tuple[int, int]] = {}
        for index, arch in enumerate(config.networks):
            label = f"network_{index:02d}"
            self._train(run, Kept(label, arch, None, f"{label}, {index + 1} of {len(config.networks)}"))
            cost = spec_cost(network_spec(arch, config))
            costs[label] = (cost.params, mult_adds_720p(cost, config.task.scale))
        write_atomically(self.folder.result, networks_json(costs, run.record.history).encode())
        return networks_line(costs, run.record.history)

    def _train(self, run: Run, kept: Kept) -> None:
        self._label = kept.label
        train_kept(run, kept, ray.get_runtime_context().current_actor, self._stop.is_set)

    def _begin(self, record: Record, placement: Placement, checksum: str) -> None:
        """Write what the run depends on, and what a run that is resumed does with what was under way or failed."""
        facts: dict[str, Any] = {
            "host": socket.gethostname(),
            "versions": {name: version(name) for name in ("mindspore", "ray", "numpy", "scipy")}
            | {"esr_ray": esr_ray.__version__},
            "hardware": {
                "cpu": cpu_name(),
                "machine": platform.machine(),
                "placement": placement.reason,
                "resource": placement.resource,
            },
            "pictures": checksum,
            "config": self.setup.config.model_dump(mode="json"),
            "files": {file.place: file.digest for file in self.setup.files} or None,
        }
        history = record.history
        if self.restarted and history.restarts >= MAX_RESTARTS:
            raise UserError(
                f"the driver died {history.restarts + 1} times, and nothing was finished in between; see what kills it "
                f"(memory?), then go on with --resume {self.folder.path}"
            )
        if history.run is not None and history.run.pictures != checksum:
            raise UserError(
                f"{self.folder.path}: the pictures are not those that this run began with; bring them back, or begin a "
                "new run"
            )
        # Only now: a resume that is refused leaves the run as it was.
        self._write_config()
        self._begun = True
        if history.run is None:
            record.append(RunBegan(self.setup.config.seed, **facts))
            return
        record.append(Resumed(self.restarted, **facts))
        given_up = _close_interrupted(record, "the run was interrupted")
        said = "driver restarted" if self.restarted else "resumed"
        if "search" in self.setup.config.pipeline:
            said += f": {len(record.state.outcomes)} trainings are done, {given_up} were under way and are done again"
        # A restarted driver is given the same arguments again: what was to be retried then is in the record.
        if self.setup.retry_failed and not self.restarted:
            failed = sorted(record.state.failed)
            for job in failed:
                record.append(Retried(job))
            said += f", {len(failed)} failed ones too"
        record.tell(Said(said))

    def _search(self, run: Run, algorithm: Algorithm) -> State:
        record, artifacts, config = run.record, run.artifacts, run.setup.config
        backend = RayBackend(
            run.setup,
            run.placement,
            lambda line: record.tell(Said(line)),
            devices=lambda count: record.tell(DevicesCounted(count)),
        )
        files = PopulationFiles(self.folder, algorithm)
        record.views.append(files)
        best = config.evolution.num_elitism

        def keep(done: Done) -> None:
            compared = artifacts.keep(done, algorithm, record.state, best)
            if compared is not None:
                record.tell(compared)

        record.tell(PhaseBegan("search"))
        record.tell(DevicesCounted(run.placement.evaluators))
        try:
            return run_search(algorithm, record, backend, keep, self._stop.is_set, config.runtime.max_attempts)
        except Stopped:
            _close_interrupted(record, "stopped by the user")
            raise
        finally:
            # The final task needs the devices: it would wait for ever for those that evaluators hold.
            backend.cancel()
            record.views.remove(files)
            files.write(record.history)
            artifacts.prune(algorithm, record.state, best)
            record.tell(DevicesCounted(0))

    def _end(self, kind: str, message: str) -> Outcome:
        if self._record is not None:
            try:
                self._record.append(Closed(kind, message))
            except (UserError, OSError) as error:
                # The disk is full, or fails: the message that the user gets says so.
                message = f"{message}; {error}" if kind == "error" else str(error)
        return self._outcome(kind, message)

    def _outcome(self, kind: str, message: str) -> Outcome:
        return Outcome(kind, message, str(self.folder.path), socket.gethostname())


def _last_failure(state: State) -> str:
    job = max(state.failed)
    return f"candidate {state.jobs[job].candidate.id}: {state.outcomes[job].reason}"


def _close_interrupted(record: Record, reason: str) -> int:
    """Record as lost what was under way when a run ended; how many attempts that were."""
    under_way = sorted(record.history.under_way)
    for job in under_way:
        record.append(Lost(job, reason))
    return len(under_way)
