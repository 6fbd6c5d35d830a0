"""What is told of a full training to an actor elsewhere, by the first of its trainers."""

from __future__ import annotations

from typing import Any

import ray

from esr_ray.inference.measure import Measured
from esr_ray.training.final import Onlooker
from esr_ray.training.loop import CurvePoint
from esr_ray.training.state import TrainingState, state_bytes


class RemoteOnlooker(Onlooker):
    """Passes everything on to the driver actor."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def progress(self, point: CurvePoint) -> None:
        self.driver.training_progress.remote(point.step, point.loss)

    def state(self, state: TrainingState) -> None:
        # Waited for: a full disk ends the training, and the state before it is still there.
        ray.get(self.driver.keep_state.remote(state_bytes(state)))

    def validated(self, step: int, measured: list[Measured]) -> None:
        # Waited for: the last one would else come when the journal says already that the training is done.
        ray.get(self.driver.validated.remote(step, [one.quality for one in measured], measured[0].sr))
