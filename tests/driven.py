"""The real driver in a test's own process, with what evaluators and trainers make made up."""

import json
import os
from collections import Counter
from types import SimpleNamespace

from worlds import FirstInFirstOut, Killed, World, records

from esr_ray import durable
from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.metrics import Quality
from esr_ray.runs.events import Reported, TrainingBegan
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.record import read_history
from esr_ray.runtime import final_stage
from esr_ray.runtime.driver import Driver, DriverSetup
from esr_ray.tasks.make import network_spec
from esr_ray.training.loop import CurvePoint, Progress
from esr_ray.training.result import FullyTrained, Seconds
from esr_ray.training.settings import deciding_settings
from esr_ray.training.state import TrainingState, state_bytes

STEPS = 4
"""Of the full training; a state is kept after each."""


class Died(BaseException):
    """The process or the machine is dead."""


class Mortal(durable.Disk):
    """A disk that dies at its call number `last` (from 0), before it is made; of a write the first `part` bytes are
    made. It remembers what a loss of power would leave."""

    def __init__(self, last=None, part=0):
        self.last, self.part = last, part
        self.calls = []
        self.contents, self.names = {}, {}

    def _live(self, call, path):
        if len(self.calls) == self.last:
            raise Died
        if self.last is not None and len(self.calls) > self.last:
            # Whatever is tried after death, such as to clean up, is not done.
            raise Died
        self.calls.append((call, path))

    def write(self, file, content):
        if len(self.calls) == self.last and self.part:
            file.write(content[: self.part])
            file.flush()
        self._live("write", file.name)
        return super().write(file, content)

    def sync(self, file):
        self._live("sync", file.name)
        super().sync(file)
        with open(file.name, "rb") as now:
            self.contents[os.fstat(file.fileno()).st_ino] = now.read()

    def truncate(self, file, size):
        self._live("truncate", file.name)
        super().truncate(file, size)

    def replace(self, old, new):
        self._live("replace", new)
        super().replace(old, new)

    def remove(self, path):
        self._live("remove", path)
        super().remove(path)

    def sync_folder(self, path):
        self._live("sync_folder", path)
        super().sync_folder(path)
        self.names[str(path)] = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(path)}

    def without_power(self, folder, to):
        """What is left of a folder, written to another."""
        to.mkdir()
        for name, (inode, is_folder) in self.names.get(str(folder), {}).items():
            if is_folder:
                self.without_power(folder / name, to / name)
            else:
                (to / name).write_bytes(self.contents.get(inode, b""))


class Run:
    """A run of the real driver, with the search's and the full training's results made up.

    `backend(world)` is what the search has its candidates trained by. The configuration is the case's, with a full
    training of STEPS.
    """

    def __init__(self, case, monkeypatch, backend=FirstInFirstOut):
        self.case, self.patch, self.backend = case, monkeypatch, backend
        self.world = World()
        self.trained_steps = Counter()
        monkeypatch.setattr("esr_ray.runs.artifacts.Artifacts.compared", lambda *given: None)
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        # JSON is YAML, and written in a hundredth of the time.
        monkeypatch.setattr(
            "esr_ray.runs.folder.dump_config", lambda config: json.dumps(config.model_dump(mode="json"), indent=1)
        )
        case.set("full_training.steps", STEPS).set("benchmarks", [])
        self.config = absolute_paths(check_config(case.content, "my.yml"))
        self.folder = RunFolder(case.path / "runs" / "first")
        monkeypatch.setattr("ray.get_runtime_context", lambda: ray_context(None))
        monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
        monkeypatch.setattr("esr_ray.runtime.driver.check_trainers", lambda *arguments: ())
        monkeypatch.setattr("esr_ray.runtime.driver.RayBackend", lambda *given, **keys: self.backend(self.world))
        monkeypatch.setattr(
            "esr_ray.runtime.driver.Board", lambda *given: SimpleNamespace(see=_see, close=lambda: None)
        )
        monkeypatch.setattr(final_stage, "_train_across", self._train)
        monkeypatch.setattr(final_stage, "_report", _report)

    def drive(self, disk, resume, retry_failed=False):
        """One process of the run: its outcome, or None if it died."""
        self.patch.setattr(durable, "disk", disk)
        driver = Driver(DriverSetup(str(self.folder.path), self.config, (), resume, retry_failed))
        self.patch.setattr("ray.get_runtime_context", lambda: ray_context(driver))
        try:
            return driver.run()
        except (Died, Killed):
            return None
        finally:
            if hasattr(driver, "_held"):
                driver._held.release()

    def _train(self, run, kept, driver, should_stop):
        """As trainers do it: a state after each step, from which the next one goes on."""
        _, progress = final_stage._state(run, kept)
        run.record.append(TrainingBegan(progress.steps, 1, kept.label))
        config = run.setup.config
        spec, settings = network_spec(kept.arch, config), deciding_settings(config.full_training)
        for step in range(progress.steps + 1, STEPS + 1):
            self.trained_steps[step] += 1
            done = Progress(step, (CurvePoint(step, 1 / step),), (), 1.0)
            driver.keep_state(state_bytes(TrainingState(spec, settings, {}, done)))
            driver.validated(step, [Quality(30 + step, 28, 0.9)], None)
        curve = tuple((step, 1 / step) for step in range(1, STEPS + 1))
        return FullyTrained(Seconds(0.0, 1.0, 0.0), curve, b"trained weights", "made up")


def ray_context(driver):
    return SimpleNamespace(
        was_current_actor_reconstructed=False, current_actor=driver, get_node_id=lambda: "the only one"
    )


def _see(event, history):
    """Shows nothing."""


def _report(run, kept, benchmarks, should_stop):
    figures = {"psnr_y": 30.0, "ssim_y": 0.9, "psnr_rgb": 28.0, "ssim_rgb": 0.9}
    sets = [{"name": "test", "network": figures, "baseline": figures}]
    run.record.append(Reported(benchmarks, 1.0, sets, kept.label))


def results(folder):
    """What must not depend on what happened on the way."""
    history = read_history(folder.journal)
    trained = {label: (one.id, one.arch, one.curve, one.checkpoint) for label, one in history.trained.items()}
    weights = {path.name: path.read_bytes() for path in folder.checkpoints.iterdir()}
    return records(folder.journal), trained, sorted(history.reported), weights, folder.result.read_bytes()
