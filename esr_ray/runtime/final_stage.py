"""The driver's last stage: what is still to be done for the winner, and the final task that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.evolution.population import Individual
from esr_ray.runs.folder import RunFolder, write_atomically
from esr_ray.runs.history import History
from esr_ray.runs.journal import Journal
from esr_ray.runtime.final_task import submit_final
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.recorder import Recorder
from esr_ray.runtime.search_loop import Stopped
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.training.result import FullyTrained

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
    which differs. Raises UserError where the training fails, Stopped where the user asked for it.
    """
    config, trained = run.setup.config, run.history.trained
    wanted = _identity(config, best)
    kept = run.folder.final_checkpoint
    weights = None
    if trained is not None and kept.is_file() and all(trained[key] == wanted[key] for key in ("arch", "settings")):
        if trained["benchmarks"] == wanted["benchmarks"]:
            return
        weights = kept.read_bytes()
    done = _wait(run, submit_final(run.setup, run.placement, best.candidate.arch, weights, driver), should_stop)
    write_atomically(kept, done.weights)
    event = {
        "id": best.id,
        **wanted,
        "checkpoint": str(kept.relative_to(run.folder.path)),
        "seconds": asdict(done.seconds),
        "curve": done.curve,
        "sets": [asdict(one) for one in done.sets],
    }
    run.history.add(run.journal.append("trained", event))
    run.recorder.board.report(event)


def _identity(config: Config, best: Individual) -> dict[str, Any]:
    """What a full training and its report depend on beside the pictures and the seed, which a run never changes."""
    benchmarks = config.benchmarks if "benchmarks" in config.pipeline else ()
    return {
        "arch": list(best.candidate.arch),
        "settings": config.full_training.model_dump(mode="json"),
        "benchmarks": [one.model_dump(mode="json") for one in benchmarks],
    }


def _wait(run: Run, reference: ray.ObjectRef, should_stop: Callable[[], bool]) -> FullyTrained:
    while not ray.wait([reference], timeout=POLL_S)[0]:
        if should_stop():
            ray.cancel(reference, force=True)
            raise Stopped
    resume = f"go on with --resume {run.folder.path}"
    try:
        done: FullyTrained = ray.get(reference)
        return done
    except RayTaskError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"full training failed: {reason}; the search's results are kept: mend it (full_training may change) and "
            + resume
        ) from None
    except RayError as error:
        raise UserError(f"full training was lost ({type(error).__name__}); {resume}") from None
