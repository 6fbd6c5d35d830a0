"""Measuring a network on pictures: fitness, the test set and benchmarks all come from here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from esr_ray.data.store import PicturePair
from esr_ray.inference.predictor import Predictor
from esr_ray.metrics import Quality, quality
from esr_ray.tasks.task import Baseline, Task

BATCH = 8
"""Pictures of one size that are predicted at once, at most; the last batch is filled up: one shape is compiled."""
BATCH_PIXELS = 2**18
"""LR pixels that are predicted at once, at most (but always one picture): a wide block keeps 1 KB for each."""


@dataclass(frozen=True)
class Measured:
    """One picture: its name, its quality, and the network's output as uint8 (H, W, 3)."""

    name: str
    quality: Quality
    sr: np.ndarray


def shapes_of(pairs: Sequence[PicturePair]) -> dict[tuple[int, int], list[int]]:
    """Indices of the pairs by LR size, as they are predicted together."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, pair in enumerate(pairs):
        height, width = pair.lr.shape[:2]
        groups.setdefault((height, width), []).append(index)
    return groups


def batches(pairs: Sequence[PicturePair], task: Task) -> Iterator[tuple[list[int], np.ndarray]]:
    """What is predicted together: indices, and the input (B, C, h, w) with the last picture repeated to fill up."""
    for (height, width), indices in shapes_of(pairs).items():
        size = max(1, min(BATCH, len(indices), BATCH_PIXELS // (height * width)))
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            filled = part + [part[-1]] * (size - len(part))
            yield part, np.stack([task.degraded(pairs[index]) for index in filled])


def compile_for(network: Predictor, pairs: Sequence[PicturePair], task: Task) -> None:
    """Make the network ready for every size among the pairs."""
    compiled = set()
    for _, lr in batches(pairs, task):
        if lr.shape not in compiled:
            compiled.add(lr.shape)
            network.compile_predict(lr)


def measure(network: Predictor, pairs: Sequence[PicturePair], task: Task) -> list[Measured]:
    """Predict every picture and compare it with its HR: output clipped and rounded to 8 bits, without the border.

    Raises ValueError where the output is not finite.
    """
    results: dict[int, Measured] = {}
    for indices, lr in batches(pairs, task):
        output = network.predict(lr)
        for place, index in enumerate(indices):
            pair = pairs[index]
            sr = task.complete(output[place], pair.lr)
            results[index] = Measured(pair.name, quality(sr, pair.hr, task.border, task.judged_by, task.score), sr)
    return [results[index] for index in range(len(pairs))]


def measure_baseline(pairs: Sequence[PicturePair], task: Task, baseline: Baseline | None = None) -> list[Measured]:
    """The same measure of what there is without a network; of the task's first baseline, if none is given."""
    baseline = baseline or task.baseline
    results = []
    for pair in pairs:
        sr = baseline.of(pair)
        results.append(Measured(pair.name, quality(sr, pair.hr, task.border, task.judged_by, task.score), sr))
    return results
