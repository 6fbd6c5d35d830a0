"""The driver actor: owns the population and the journal of one run, from its first candidate to the final report.

It stays on the node that holds the run folder, rebuilds itself from the journal when it is restarted, and answers
`status` and `stop` while it works.
"""

from __future__ import annotations

import platform
import socket
import threading
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import ray

import esr_ray
from esr_ray.config.epochs import in_steps
from esr_ray.config.schema import Config
from esr_ray.data.transfer import read_part
from esr_ray.errors import UserError
from esr_ray.evolution.population import State
from esr_ray.metrics import Quality, mean_quality
from esr_ray.native.cpu import cpu_name
from esr_ray.runs.folder import FINAL, RunFolder, create, lock, write_atomically
from esr_ray.runs.history import History, replay
from esr_ray.runs.journal import Journal
from esr_ray.runs.result import closing_line, networks_json, networks_line, result_json
from esr_ray.runs.status import Status
from esr_ray.runtime.final_stage import Kept, Run, check_trainers, train_kept
from esr_ray.runtime.placement import Placement, check_same_devices, decide_placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.recorder import Recorder
from esr_ray.runtime.search_loop import SearchLoop, Stopped, close_interrupted, schedule_retries
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.space.counts import mult_adds_720p, network_cost
from esr_ray.space.space import Space, make_space
from esr_ray.space.user_block import BlockSource, load_blocks
from esr_ray.tasks.super_resolution import cache_dir, open_pictures, plan_pictures, with_checksums
from esr_ray.training.evaluation import measure_bicubic

LOCK_PATIENCE_S = 10.0
"""How long a driver waits for one that is dying to let go of the run folder."""


@dataclass(frozen=True)
class DriverSetup:
    """What a run is started or resumed with. `path` is the run folder, on the driver's node.

    `nodes_may_join`: Ray is a cluster that was there before, not this machine alone.
    """

    path: str
    config: Config
    blocks: tuple[BlockSource, ...]
    resume: bool
    retry_failed: bool
    nodes_may_join: bool = False


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
        self.recorder: Recorder | None = None
        self._journal: Journal | None = None
        self._begun = False
        self._stop = threading.Event()
        self._cache_dir = Path()

    # Answered at any time, in a concurrency group of their own.

    @ray.method(concurrency_group="control")
    def status(self, since: int) -> Status:
        """Where the run stands; log lines from number `since` on."""
        return Status() if self.recorder is None else self.recorder.status(since)

    @ray.method(concurrency_group="control")
    def stop(self) -> None:
        """Give up what is under way and end; the run can be resumed."""
        self._stop.set()

    # Told by the first of the trainers.

    @ray.method(concurrency_group="control")
    def training_progress(self, step: int, loss: float) -> None:
        """The mean loss of the steps since the last call."""
        if self.recorder is not None:
            self.recorder.training_progress(step, loss)

    @ray.method(concurrency_group="control")
    def keep_state(self, content: bytes) -> None:
        """The content of a state's file. Raises UserError where the disk is full."""
        if self.recorder is not None:
            self.recorder.keep_state(content)

    @ray.method(concurrency_group="control")
    def validated(self, step: int, quality: list[Quality], sr: np.ndarray) -> None:
        """Quality of the validation pictures, and what the network makes of the first."""
        if self.recorder is not None and self._journal is not None:
            self.recorder.validated(self._journal, step, quality, sr)

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
            descriptor = self._take_folder()
        except UserError as error:
            return self._outcome("error", str(error))
        except OSError as error:
            return self._outcome("error", f"{error.filename or self.folder.path}: {error.strerror}")
        # Held by the open descriptor until the process ends: two drivers never write one journal.
        self._descriptor = descriptor
        journal = None
        try:
            journal = self._journal = Journal(self.folder.journal)
            # Also where Ray has restarted this driver.
            self._begun = any(event["event"] == "run" for event in journal.found)
            return self._run(journal)
        except UserError as error:
            hint = (
                "" if self._begun else f" (nothing was done yet: --resume {self.folder.path} --set KEY=VALUE goes on)"
            )
            return self._end(journal, "error", f"{error}{hint}")
        except Stopped:
            return self._end(journal, "stopped", f"stopped; go on with --resume {self.folder.path}")
        except OSError as error:
            # A full or failing disk; the journal's own errors say so themselves.
            return self._end(
                journal,
                "error",
                f"{error.filename or self.folder.path}: {error.strerror}; mend it, then go on with --resume "
                f"{self.folder.path} (nothing that was finished is lost)",
            )
        finally:
            if journal is not None:
                journal.close()
            if self.recorder is not None:
                self.recorder.close()

    def _take_folder(self) -> int:
        fresh = not self.folder.journal.exists()
        if not fresh and not self.setup.resume and not self.restarted:
            raise UserError(
                f"{self.folder.path}: is already a run folder; go on with it by --resume {self.folder.path}"
            )
        self.folder.path.mkdir(parents=True, exist_ok=True)
        descriptor = lock(self.folder, LOCK_PATIENCE_S)
        create(self.folder, self.setup.config, {source.name: source.text for source in self.setup.blocks})
        return descriptor

    def _run(self, journal: Journal) -> Outcome:
        config = self.setup.config
        history = replay(journal.found)
        load_blocks(self.setup.blocks)
        space = make_space(config.space, config.task.scale)
        recorder = Recorder(self.folder, history, config.evolution.num_generation, config.task.scale)
        self.recorder = recorder

        recorder.update(phase="pictures")
        plan = plan_pictures(config)
        pictures = open_pictures(plan, config)
        plan = with_checksums(plan, pictures)
        self._cache_dir = cache_dir(plan)
        config, lengths = in_steps(config, len(pictures.train))
        for note in (*plan.notes, *pictures.notes, *lengths):
            recorder.say(note)
        bicubic = mean_quality([one.quality for one in measure_bicubic(pictures.validation, config.task.scale)])
        recorder.update(bicubic_psnr=bicubic.psnr_y)
        recorder.sample = pictures.validation[0]

        placement = decide_placement(config.runtime, ray.cluster_resources(), self.restarted)
        check_same_devices(config.runtime, placement, None if history.run is None else history.run["hardware"])
        recorder.say(placement.reason)
        for note in check_trainers(config, placement.resource, self.setup.nodes_may_join, self.restarted):
            recorder.say(note)
        self._journal_begin(journal, history, placement, pictures.checksum)
        recorder.catch_up(config.evolution.num_generation * config.evolution.num_individual)
        run = Run(
            self.folder,
            journal,
            history,
            WorkerSetup(config, placement.target, plan, self.setup.blocks, ray.get_runtime_context().current_actor),
            placement,
            recorder,
        )

        closing = self._search_and_train(run, space) if "search" in config.pipeline else self._train_networks(run)
        history.add(journal.append("closed", {"reason": "finished"}))
        recorder.update(phase="finished")
        return self._outcome("finished", closing)

    def _search_and_train(self, run: Run, space: Space) -> str:
        """The search, and what the pipeline wants done with its best network; the closing line."""
        state = self._search(run, space)
        best = state.best
        if best is None:
            raise UserError(
                f"{self.folder.path}: every candidate failed, there is nothing to train; the reasons are in "
                f"{self.folder.population.name}; mend them and go on with --resume {self.folder.path} --retry-failed"
            )
        if "full_training" in run.setup.config.pipeline:
            why = f"candidate {best.id}, the best in fitness ({best.fitness:.3f} dB) of all within the budget"
            self._train(run, Kept(FINAL, best.candidate.arch, best.id, why))
        write_atomically(self.folder.result, result_json(best, run.history).encode())
        return closing_line(best, run.history)

    def _train_networks(self, run: Run) -> str:
        """Train the networks that were given, one after the other; the closing line."""
        config = run.setup.config
        costs: dict[str, tuple[int, int]] = {}
        for index, arch in enumerate(config.networks):
            label = f"network_{index:02d}"
            self._train(run, Kept(label, arch, None, f"{label}, {index + 1} of {len(config.networks)}"))
            cost = network_cost(arch, config.space.base_channels, config.task.scale)
            costs[label] = (cost.params, mult_adds_720p(cost, config.task.scale))
        write_atomically(self.folder.result, networks_json(costs, run.history).encode())
        return networks_line(costs, run.history)

    def _train(self, run: Run, kept: Kept) -> None:
        train_kept(run, kept, ray.get_runtime_context().current_actor, self._stop.is_set)

    def _journal_begin(self, journal: Journal, history: History, placement: Placement, checksum: str) -> None:
        facts: dict[str, Any] = {
            "host": socket.gethostname(),
            "versions": {name: version(name) for name in ("mindspore", "ray", "numpy")}
            | {"esr_ray": esr_ray.__version__},
            "hardware": {
                "cpu": cpu_name(),
                "machine": platform.machine(),
                "placement": placement.reason,
                "resource": placement.resource,
            },
            "pictures": checksum,
            "config": self.setup.config.model_dump(mode="json"),
        }
        self._begun = True
        if history.run is None:
            history.add(journal.append("run", {"seed": self.setup.config.seed, **facts}))
            return
        if history.run["pictures"] != checksum:
            raise UserError(
                f"{self.folder.path}: the pictures are not those that this run began with; bring them back, or begin a "
                "new run"
            )
        history.add(journal.append("resumed", {"restarted": self.restarted, **facts}))
        given_up = close_interrupted(journal, history, "the run was interrupted")
        # A restarted driver is given the same arguments again: what it scheduled then is in the journal.
        retried = schedule_retries(journal, history) if self.setup.retry_failed and not self.restarted else 0
        assert self.recorder is not None
        said = "driver restarted" if self.restarted else "resumed"
        if "search" in self.setup.config.pipeline:
            said += f": {len(history.outcomes)} candidates are done, {given_up} were under way and are trained again"
        self.recorder.say(said + (f", {retried} failed ones too" if retried else ""))

    def _search(self, run: Run, space: Space) -> State:
        recorder = run.recorder
        backend = RayBackend(
            run.setup, run.placement, recorder.say, devices=lambda count: recorder.update(devices=count)
        )
        run.recorder.update(phase="search", devices=run.placement.evaluators)
        config, stopped = run.setup.config, self._stop.is_set
        try:
            state = SearchLoop(config, space, run.journal, run.history, backend, run.recorder, stopped).run()
        except Stopped:
            close_interrupted(run.journal, run.history, "stopped by the user")
            raise
        finally:
            # The final task needs the devices: it would wait for ever for those that evaluators hold.
            backend.cancel()
        run.recorder.update(devices=0, busy=0)
        return state

    def _end(self, journal: Journal | None, kind: str, message: str) -> Outcome:
        if journal is not None:
            try:
                journal.append("closed", {"reason": kind, "message": message})
            except (UserError, OSError) as error:
                # The disk is full, or fails: the message that the user gets says so.
                message = f"{message}; {error}" if kind == "error" else str(error)
        return self._outcome(kind, message)

    def _outcome(self, kind: str, message: str) -> Outcome:
        return Outcome(kind, message, str(self.folder.path), socket.gethostname())
