"""What a search optimises: each objective is a column of costs over the candidates, all to be made small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from esr_ray.metrics import Quality
from esr_ray.search.device_figures import device_values
from esr_ray.search.evidence import Floats, estimate, gather
from esr_ray.search.job import Candidate
from esr_ray.search.state import State
from esr_ray.training.result import DeviceCost


@dataclass(frozen=True)
class Objective:
    """One objective: `values` (n,) of the candidates with these ids, in `unit`; the greater the better where
    `maximised`."""

    name: str
    unit: str
    maximised: bool
    values: Callable[[State, tuple[int, ...]], Floats]

    def costs(self, state: State, ids: tuple[int, ...]) -> Floats:
        """The values, such that less is better."""
        values = self.values(state, ids)
        return -values if self.maximised else values


def _of_quality(figure: Callable[[Quality], float]) -> Callable[[State, tuple[int, ...]], Floats]:
    def values(state: State, ids: tuple[int, ...]) -> Floats:
        evidence = gather(state, figure)
        return estimate(evidence).mean[[evidence.row_of[one] for one in ids]]

    return values


def _of_candidate(figure: Callable[[Candidate], float]) -> Callable[[State, tuple[int, ...]], Floats]:
    return lambda state, ids: np.array([figure(state.candidates[one]) for one in ids], float)


def _of_device(figure: Callable[[DeviceCost], float | None]) -> Callable[[State, tuple[int, ...]], Floats]:
    return lambda state, ids: device_values(state, ids, figure)


OBJECTIVES = {
    one.name: one
    for one in (
        Objective("psnr", "dB", True, _of_quality(lambda quality: quality.fitness)),
        Objective("ssim", "", True, _of_quality(lambda quality: quality.ssim_y)),
        Objective("params", "parameters", False, _of_candidate(lambda candidate: candidate.params)),
        Objective("mult_adds", "mult-adds", False, _of_candidate(lambda candidate: candidate.mult_adds)),
        Objective("latency", "s", False, _of_device(lambda cost: cost.latency_s)),
        Objective("memory", "MB", False, _of_device(lambda cost: cost.memory_mb)),
    )
}
"""By the name that a configuration gives; quality is that of the estimate after the longest training."""
