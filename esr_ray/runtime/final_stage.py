"""The driver's last stage: what is still to be done for a network that is kept, and the doing of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from esr_ray.config.schema import Config
from esr_ray.durable import remove_file, replace_file, write_atomically
from esr_ray.errors import TooFewDevices, UserError
from esr_ray.inference.result import beside
from esr_ray.metrics import FIGURES
from esr_ray.runs.artifacts import Artifacts
from esr_ray.runs.events import CurveFound, PhaseBegan, Reported, Said, TrainingBegan, TrainingEnded
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.history import History
from esr_ray.runs.record import Record
from esr_ray.runtime.placement import Placement, devices_of_cluster
from esr_ray.runtime.rank_table import RankTable, check_devices, read_rank_table
from esr_ray.runtime.remote_errors import reason_of
from esr_ray.runtime.report_task import submit_report
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.runtime.training_group import TRIES, GroupLost, TrainingGroup, number_of_trainers
from esr_ray.search.loop import Stopped
from esr_ray.tasks.make import make_task, network_spec
from esr_ray.training.loop import Progress
from esr_ray.training.result import FullyTrained
from esr_ray.training.settings import PAUSES, completed, deciding_settings
from esr_ray.training.state import TrainingState, state_from_bytes

LOOPBACK = "127.0.0.1"
"""What a Ray of this machine alone calls it."""
POLL_S = 0.5
"""How often a stop is looked for while the task runs."""
TELL_AGAIN_S = 600.0
"""So often the user is told what is waited for."""


@dataclass(frozen=True)
class Run:
    """What the driver's stages work on."""

    folder: RunFolder
    record: Record
    artifacts: Artifacts
    setup: WorkerSetup
    placement: Placement

    @property
    def history(self) -> History:
        return self.record.history

    def say(self, line: str) -> None:
        """Tell the user."""
        self.record.tell(Said(line))


@dataclass(frozen=True)
class Kept:
    """A network to train in full. `label` names its files; `id` is that of a candidate, None for one given by name."""

    label: str
    arch: tuple[str, ...]
    id: int | None
    why: str


def train_kept(run: Run, kept: Kept, driver: Any, should_stop: Callable[[], bool]) -> None:
    """Train a network in full and report on it, as far as the journal does not have that yet.

    A run that was resumed may have another winner, another full training or other benchmarks by now: then that is done
    which differs. Raises UserError where it fails, Stopped where the user asked for that.
    """
    config, history = run.setup.config, run.history
    wanted = {"arch": list(kept.arch), "settings": deciding_settings(config.full_training)}
    trained = history.trained.get(kept.label)
    done = trained is not None and run.folder.checkpoint(kept.label).is_file() and _recorded(trained) == wanted
    if not done:
        _train(run, kept, wanted, driver, should_stop)
    # It would only be gone on from by mistake.
    remove_file(run.folder.state(kept.label))
    benchmarks = config.benchmarks if "benchmarks" in config.pipeline else ()
    sets = [one.model_dump(mode="json") for one in benchmarks]
    reported = history.reported.get(kept.label)
    if reported is None or reported.benchmarks != sets:
        _report(run, kept, sets, should_stop)


def _recorded(trained: TrainingEnded) -> dict[str, Any]:
    """What was trained, to compare with what is wanted."""
    settings = {key: value for key, value in trained.settings.items() if key not in PAUSES}
    return {"arch": list(trained.arch), "settings": completed(settings)}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What has changed, in words; empty where nothing has."""
    changed = [key for key in {**before, **now} if now.get(key) != before.get(key)]
    return ", ".join(f"{key} is {now.get(key)} and was {before.get(key)}" for key in changed)


def _train(run: Run, kept: Kept, wanted: dict[str, Any], driver: Any, should_stop: Callable[[], bool]) -> None:
    steps = run.setup.config.full_training.steps
    run.record.tell(PhaseBegan("full training", kept.label, steps))
    checkpoint, before = run.folder.checkpoint(kept.label), run.history.trained.get(kept.label)
    if before is not None and checkpoint.is_file():
        old = replace_file(checkpoint, checkpoint.with_name(f"{kept.label}.before.ckpt"))
        was, now = ({**one["settings"], "arch": one["arch"]} for one in (_recorded(before), wanted))
        differs = _differences(was, now)
        run.say(f"full training: begins anew, {differs}; the network that was trained is kept as {old.name}")
    run.say(f"full training: {kept.why}, {steps} steps: {' '.join(kept.arch)}")
    done = _train_across(run, kept, driver, should_stop)
    write_atomically(checkpoint, done.weights)
    place = str(checkpoint.relative_to(run.folder.path))
    run.record.append(
        TrainingEnded(kept.id, kept.arch, wanted["settings"], place, done.seconds, done.curve, done.kernels, kept.label)
    )
    run.say(f"full training: done in {done.seconds.total:.0f} s (compile {done.seconds.compile:.1f})")


def _train_across(run: Run, kept: Kept, driver: Any, should_stop: Callable[[], bool]) -> FullyTrained:
    """Train on all devices, again from the last state where a process or node dies."""

    def check() -> None:
        if should_stop():
            raise Stopped

    resume = f"go on with --resume {run.folder.path}"
    tries, tried = 0, None
    begun, progress = _state(run, kept)
    for point in progress.curve:
        run.record.tell(CurveFound(point.step, point.loss, kept.label))
    while True:
        # Looked at each time: of a node that died the devices are gone too.
        group = TrainingGroup(run.setup, run.placement, *_members(run, check))
        try:
            if progress.steps:
                run.say(f"full training: goes on after step {progress.steps}")
            run.record.append(TrainingBegan(progress.steps, group.count, kept.label))
            # A training of weeks may lose many processes; one that comes no further is ended.
            tries, tried = (tries if begun == tried else 0) + 1, begun
            return group.train(kept.arch, begun, driver, run.say, check)
        except GroupLost as error:
            if tries == TRIES:
                raise UserError(f"the full training was lost {TRIES} times, at last: {error}; {resume}") from None
            begun, progress = _state(run, kept)
            place = "from its last state" if progress.steps else "anew"
            run.say(f"full training: lost: {error}; it is begun again {place}")
        except UserError as error:
            raise UserError(
                f"the full training failed: {error}; what was finished is kept: mend it (full_training may change) and "
                f"{resume}"
            ) from None
        finally:
            group.close()


def who_trains(config: Config, resource: str) -> tuple[int, RankTable | None]:
    """How many devices train together, and the rank table that says who they are, by what Ray has now.

    Raises TooFewDevices where it has fewer than are asked for, UserError for a rank table that is wrong.
    """
    batch_size = config.full_training.batch_size
    if config.runtime.rank_table is None:
        return number_of_trainers(config.runtime.trainers, devices_of_cluster(resource), batch_size), None
    table = read_rank_table(Path(config.runtime.rank_table))
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("NPU")]
    if [node["NodeManagerAddress"] for node in nodes] == [LOOPBACK]:
        table = table.of_this_machine(LOOPBACK)
    try:
        check_devices(table, {node["NodeManagerAddress"]: int(node["Resources"]["NPU"]) for node in nodes})
    except TooFewDevices as error:
        if resource != "NPU":
            # None that joined would be used.
            raise UserError(str(error)) from None
        raise
    if resource != "NPU":
        raise UserError(f"runtime.rank_table: {table.path} is of NPUs, and the run is on {resource}s; set it to null")
    count = len(table.ranks)
    if batch_size % count:
        raise UserError(
            f"full_training.batch_size: {batch_size} cannot be divided among the {count} devices of {table.path}"
        )
    return count, table


def check_trainers(config: Config, resource: str, nodes_may_join: bool, under_way: bool = False) -> tuple[str, ...]:
    """What to tell the user of `who_trains` before anything runs: devices that must still come, if any.

    Raises UserError where it is sure to fail: what is wrong should not be heard only after a search of days. A run that
    is `under_way` was checked when it began: nodes that have gone meanwhile are waited for.
    """
    if "full_training" not in config.pipeline:
        return ()
    try:
        who_trains(config, resource)
    except TooFewDevices as error:
        if not nodes_may_join or ("search" not in config.pipeline and not under_way):
            raise
        return (f"{error}; the full training, when it begins, waits for them to join",)
    return ()


def _members(run: Run, check: Callable[[], None]) -> tuple[int, RankTable | None]:
    """`who_trains`, once there are devices enough, and a word to the user where some stay idle."""
    config, resource = run.setup.config, run.placement.resource
    resume = f"--resume {run.folder.path}"
    told = -TELL_AGAIN_S
    while True:
        try:
            count, table = who_trains(config, resource)
            break
        except TooFewDevices as error:
            # A node that has died may come back.
            if time.monotonic() - told > TELL_AGAIN_S:
                told = time.monotonic()
                run.say(f"full training: waits for nodes to join: {error} (stop this, and go on with {resume})")
        except UserError as error:
            raise UserError(
                f"the full training could not begin: {error}; what was finished is kept: go on with {resume}"
            ) from None
        check()
        time.sleep(POLL_S)
    available = devices_of_cluster(resource)
    if table is None and count < available and config.runtime.trainers == "auto":
        run.say(
            f"full training: {count} of {available} devices are used: full_training.batch_size "
            f"{config.full_training.batch_size} cannot be divided evenly among more"
        )
    return count, table


def _state(run: Run, kept: Kept) -> tuple[bytes | None, Progress]:
    """The content of the state to go on from, where it is of this training, and how far that is."""
    path = run.folder.state(kept.label)
    if not path.is_file():
        return None, Progress()
    content = path.read_bytes()
    state: TrainingState = state_from_bytes(content, str(path))
    config = run.setup.config
    ours = {**deciding_settings(config.full_training), "network": network_spec(kept.arch, config)}
    differs = _differences({**completed(state.settings), "network": state.spec}, ours)
    if differs:
        old = replace_file(path, path.with_name(f"{kept.label}.before.npz"))
        run.say(f"full training: begins anew, {differs}; the state at step {state.progress.steps} is {old.name}")
        return None, Progress()
    return content, state.progress


def _report(run: Run, kept: Kept, benchmarks: list[dict[str, Any]], should_stop: Callable[[], bool]) -> None:
    run.record.tell(PhaseBegan("report"))
    weights = run.folder.checkpoint(kept.label).read_bytes()
    began = time.monotonic()
    network, baseline = _wait(run, submit_report(run.setup, run.placement, weights), should_stop)
    seconds = time.monotonic() - began
    judged_by = make_task(run.setup.config.task).judged_by
    run.record.append(Reported(benchmarks, seconds, beside(network, baseline), kept.label, baseline.name, judged_by))
    for ours, theirs in zip(network.sets, baseline.sets, strict=True):
        figure, without = (getattr(one.mean, judged_by) for one in (ours, theirs))
        unit = FIGURES[judged_by].unit
        run.say(f"{ours.name}: {figure:.2f}{unit}, {baseline.name} {without:.2f} ({figure - without:+.2f})")


def _wait(run: Run, reference: ray.ObjectRef, should_stop: Callable[[], bool]) -> Any:
    while not ray.wait([reference], timeout=POLL_S)[0]:
        if should_stop():
            ray.cancel(reference, force=True)
            raise Stopped
    resume = f"go on with --resume {run.folder.path}"
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise UserError(
            f"the report failed: {reason_of(error)}; what was finished is kept: mend it and {resume}"
        ) from None
    except RayError as error:
        raise UserError(f"the report was lost ({type(error).__name__}); {resume}") from None
