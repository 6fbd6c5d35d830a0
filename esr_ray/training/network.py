"""The small interface through which training sees a network, whatever computes it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from esr_ray.config.schema import TrainingConfig
from esr_ray.inference.predictor import Predictor
from esr_ray.space.spec import NetworkSpec


class TrainableNetwork(Predictor, Protocol):
    """One network with its optimizer. Pictures are float32, RGB in [0, 1]."""

    def compile(self, lr: np.ndarray, hr: np.ndarray) -> None:
        """Make ready to train on batches (B, 3, h, w) and (B, 3, scale·h, scale·w)."""

    def step(self, lr: np.ndarray, hr: np.ndarray) -> Any:
        """One optimizer step; the loss, which `float()` reads (and may have to wait for)."""

    def parameters(self) -> dict[str, np.ndarray]:
        """The weights that are evaluated, by name."""

    def state(self) -> dict[str, np.ndarray]:
        """All that training goes on from: weights, Adam's moments, averages, and `steps` done (int64 scalar)."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state of the same network; raises ValueError where it is of another one."""

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Take weights over, all by name."""


class NetworkMaker(Protocol):
    """Makes networks under training, with initial weights keyed by the seed."""

    def __call__(self, spec: NetworkSpec, config: TrainingConfig, seed: int) -> TrainableNetwork: ...
