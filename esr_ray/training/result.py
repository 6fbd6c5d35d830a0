"""What a training hands back, as plain data that needs neither Ray nor MindSpore to be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from esr_ray.metrics import Quality


@dataclass(frozen=True)
class Seconds:
    """Where a candidate's time went. Making the network and compiling its graphs counts as compile.

    `start` is what its evaluator took to import what it needs and open the pictures, for its first candidate; later
    ones find that done.
    """

    compile: float
    steps: float
    evaluation: float
    start: float = 0.0

    @property
    def total(self) -> float:
        return self.start + self.compile + self.steps + self.evaluation


@dataclass(frozen=True)
class DeviceCost:
    """What one enlargement costs on the device that was measured: median seconds and the half of the range between
    the quartiles, and memory in MB; None where it was not measured."""

    latency_s: float | None = None
    latency_spread_s: float | None = None
    memory_mb: float | None = None


NOT_MEASURED = DeviceCost()


@dataclass(frozen=True)
class Trained:
    """A finished training. `curve` is (step, mean loss) pairs; `weights` a checkpoint file's content."""

    quality: Quality
    params: int
    seconds: Seconds
    curve: tuple[tuple[int, float], ...]
    weights: bytes = field(repr=False)
    picture: np.ndarray | None = field(default=None, repr=False)
    """The network's output for the first validation picture, uint8 (H, W, 3)."""
    kernels: str = "plain"
    """What computed it: `TrainableNetwork.kernels`."""
    cost: DeviceCost = NOT_MEASURED


@dataclass(frozen=True)
class FullyTrained:
    """A finished full training. `curve`, `weights` and `kernels` as in `Trained`."""

    seconds: Seconds
    curve: tuple[tuple[int, float], ...]
    weights: bytes = field(repr=False)
    kernels: str = "plain"
