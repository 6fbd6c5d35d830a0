"""What one enlargement costs on the device that has trained a network: latency with its spread, and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from esr_ray.inference.predictor import Predictor
from esr_ray.training.result import DeviceCost

ROUNDS = 9
"""Enlargements that latency is the median of."""
LEAST_S = 0.2
"""Those of small networks are repeated for so long: the first ones find cold caches."""


@dataclass(frozen=True)
class CostPlan:
    """What is measured: an LR picture of `size` (height, width). `begin_peak` forgets the peak of memory and says what
    is in use (None where that cannot be), `peak` reads it again; both in bytes."""

    size: tuple[int, int]
    begin_peak: Callable[[], int | None]
    peak: Callable[[], int]


def measure_cost(network: Predictor, channels: int, plan: CostPlan) -> DeviceCost:
    """Of a picture of so many channels: median latency in seconds, half the range between its quartiles, and by how
    much memory grew, in MB (None where the peak cannot be told)."""
    lr = np.random.default_rng(0).random((1, channels, *plan.size), np.float32)
    network.compile_predict(lr)
    before = plan.begin_peak()
    network.predict(lr)
    memory = None if before is None else max(0, plan.peak() - before) / 1e6
    seconds: list[float] = []
    while len(seconds) < ROUNDS or sum(seconds) < LEAST_S:
        began = time.perf_counter()
        network.predict(lr)
        seconds.append(time.perf_counter() - began)
    lower, middle, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return DeviceCost(middle, (upper - lower) / 2, memory)
