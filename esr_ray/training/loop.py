"""The steps of one training: batches by step number, losses, and the check that it has not diverged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from esr_ray.config.schema import TrainingConfig
from esr_ray.data.crops import ALL, Share
from esr_ray.data.store import PicturePair
from esr_ray.tasks.task import Task
from esr_ray.training.batches import training_batch
from esr_ray.training.network import TrainableNetwork

CURVE_POINTS = 20
"""Points of the loss curve that are kept, each the mean over the steps since the one before."""
CHECK_STEPS = 200
"""At least so often the loss is looked at, and reported, in a long training."""


class Diverged(Exception):
    """The loss became NaN or infinite; the message says at which step."""


@dataclass(frozen=True)
class CurvePoint:
    """Mean loss (L1, or L2 after `l2_from`, of values in 0..1) over the steps up to and including `step` (from 1)."""

    step: int
    loss: float


@dataclass(frozen=True)
class Progress:
    """How far a training is: steps done, the loss curve, the losses since its last point, and the seconds it took."""

    steps: int = 0
    curve: tuple[CurvePoint, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Visit:
    """Something that is done after every so many steps, and after the last."""

    every: int
    call: Callable[[Progress], None]

    def is_due(self, step: int, steps: int) -> bool:
        return step % self.every == 0 or step == steps


def train(
    network: TrainableNetwork,
    pairs: Sequence[PicturePair],
    config: TrainingConfig,
    task: Task,
    seed: int,
    report: Callable[[CurvePoint], None] | None = None,
    share: Share = ALL,
    begun: Progress | None = None,
    visits: Sequence[Visit] = (),
) -> tuple[CurvePoint, ...]:
    """Train for `config.steps`; the loss curve.

    Crops depend on (seed, step) alone, so every candidate of a run sees the same ones in the same order. `report` is
    told the mean loss at each point of the curve and every CHECK_STEPS. `share` is this process's part of each batch;
    a training that goes on from a state says with `begun` how far it was. Raises Diverged where the loss is no number.
    """
    started = time.perf_counter()
    begun = begun or Progress()
    curve, since_point = list(begun.curve), list(begun.losses)
    pending: list[Any] = []
    every = max(1, config.steps // CURVE_POINTS)
    for step in range(begun.steps + 1, config.steps + 1):
        pending.append(network.step(*training_batch(task, pairs, config, seed, step, share)))
        point = step % every == 0 or step == config.steps
        due = [visit for visit in visits if visit.is_due(step, config.steps)]
        if not (point or due or step % CHECK_STEPS == 0):
            continue
        losses = [float(loss) for loss in pending]
        pending.clear()
        if not all(math.isfinite(loss) for loss in losses):
            raise Diverged(f"diverged: the loss was no number within steps {step - len(losses) + 1} to {step}")
        since_point += losses
        if report is not None:
            report(CurvePoint(step, fmean(losses)))
        if point:
            curve.append(CurvePoint(step, fmean(since_point)))
            since_point.clear()
        for visit in due:
            seconds = begun.seconds + time.perf_counter() - started
            visit.call(Progress(step, tuple(curve), tuple(since_point), seconds))
    return tuple(curve)
