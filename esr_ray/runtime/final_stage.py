"""The driver's last stage: what is still to be done for the winner, and the final task that does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from esr_ray.errors import UserError
from esr_ray.evolution.population import Individual
from esr_ray.runs.folder import RunFolder, write_atomically
from esr_ray.runs.history import History
from esr_ray.runs.journal import Journal
from esr_ray.runtime.final_task import submit_report, submit_training
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.recorder import Recorder
from esr_ray.runtime.search_loop import Stopped
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.training.result import FullyTrained, SetReport

POLL_S = 0.5
"""How often a stop is looked for while the task runs."""


@dataclass(frozen=True)
class Run:
    """What the driver's stages work on."""

    folder: RunFolder
    journal: Journal
    history: History
    setup: WorkerSetup
    placement: Placement
    recorder: Recorder


def train_winner(run: Run, best: Individual, driver: Any, should_stop: Callable[[], bool]) -> None:
    """Train the winner in full and report on it, as far as the journal does not have that yet.

    A run that was resumed may have another winner, another full training or other benchmarks by now: then that is done
    which differs. Raises UserError where it fails, Stopped where the user asked for that.
    """
    config, history = run.setup.config, run.history
    wanted = {"arch": list(best.candidate.arch), "settings": config.full_training.model_dump(mode="json")}
    kept = run.folder.final_checkpoint
    trained = history.trained
    if trained is None or not kept.is_file() or any(trained[key] != wanted[key] for key in wanted):
        _train(run, best, wanted, driver, should_stop)
    benchmarks = config.benchmarks if "benchmarks" in config.pipeline else ()
    sets = [one.model_dump(mode="json") for one in benchmarks]
    if history.reported is None or history.reported["benchmarks"] != sets:
        _report(run, sets, should_stop)


def _train(run: Run, best: Individual, wanted: dict[str, Any], driver: Any, should_stop: Callable[[], bool]) -> None:
    steps = run.setup.config.full_training.steps
    run.recorder.update(phase="full training", step=0, steps=steps)
    run.recorder.say(
        f"full training: candidate {best.id}, the best in fitness ({best.fitness:.3f} dB) of all within the budget, "
        f"{steps} steps: {' '.join(best.candidate.arch)}"
    )
    reference = submit_training(run.setup, run.placement, best.candidate.arch, driver)
    done: FullyTrained = _wait(run, reference, "full training", should_stop)
    write_atomically(run.folder.final_checkpoint, done.weights)
    event = {
        "id": best.id,
        **wanted,
        "checkpoint": str(run.folder.final_checkpoint.relative_to(run.folder.path)),
        "seconds": asdict(done.seconds),
        "curve": done.curve,
        "kernels": done.kernels,
    }
    run.history.add(run.journal.append("trained", event))
    run.recorder.say(f"full training: done in {done.seconds.total:.0f} s (compile {done.seconds.compile:.1f})")


def _report(run: Run, benchmarks: list[dict[str, Any]], should_stop: Callable[[], bool]) -> None:
    run.recorder.update(phase="report")
    weights = run.folder.final_checkpoint.read_bytes()
    began = time.monotonic()
    done: tuple[SetReport, ...] = _wait(
        run, submit_report(run.setup, run.placement, weights), "the report", should_stop
    )
    event = {"benchmarks": benchmarks, "seconds": time.monotonic() - began, "sets": [asdict(one) for one in done]}
    run.history.add(run.journal.append("reported", event))
    for one in done:
        gain = one.network.psnr_y - one.bicubic.psnr_y
        run.recorder.say(f"{one.name}: {one.network.psnr_y:.2f} dB, bicubic {one.bicubic.psnr_y:.2f} ({gain:+.2f})")
    run.recorder.board.report(event)


def _wait(run: Run, reference: ray.ObjectRef, what: str, should_stop: Callable[[], bool]) -> Any:
    while not ray.wait([reference], timeout=POLL_S)[0]:
        if should_stop():
            ray.cancel(reference, force=True)
            raise Stopped
    resume = f"go on with --resume {run.folder.path}"
    try:
        return ray.get(reference)
    except RayTaskError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"{what} failed: {reason}; what was finished is kept: mend it (full_training may change) and {resume}"
        ) from None
    except RayError as error:
        raise UserError(f"{what} was lost ({type(error).__name__}); {resume}") from None
