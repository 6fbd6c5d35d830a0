"""What a search optimises: each objective is a column of costs over the candidates, all to be made small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from esr_ray.metrics import Quality
from esr_ray.search.device_figures import DEVICE_FIGURES, Figure, device_values, foreseen
from esr_ray.search.evidence import Floats, estimate, gather
from esr_ray.search.job import Candidate
from esr_ray.search.state import State
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.space import Space
from esr_ray.space.spec import Arch

Foresight = Callable[[Sequence[Arch]], Floats]
"""Values (k,) of networks that were never trained."""


@dataclass(frozen=True)
class Objective:
    """One objective: `values` (n,) of the candidates with these ids, in `unit`; the greater the better where
    `maximised`. `foreseen` says what networks of a space cost before they are trained, None where nothing is known of
    that yet; quality is foreseen by a predictor alone."""

    name: str
    unit: str
    maximised: bool
    values: Callable[[State, tuple[int, ...]], Floats]
    foreseen: Callable[[State, Space], Foresight | None] = lambda state, space: None

    def costs(self, state: State, ids: tuple[int, ...]) -> Floats:
        """The values, such that less is better."""
        values = self.values(state, ids)
        return -values if self.maximised else values


def _of_quality(figure: Callable[[Quality], float]) -> Callable[[State, tuple[int, ...]], Floats]:
    def values(state: State, ids: tuple[int, ...]) -> Floats:
        evidence = gather(state, figure)
        return estimate(evidence).mean[[evidence.row_of[one] for one in ids]]

    return values


def _counted(
    name: str, unit: str, figure: Callable[[Candidate], float], of: Callable[[Arch, Space], float]
) -> Objective:
    """What every network has by its name."""
    return Objective(
        name,
        unit,
        False,
        lambda state, ids: np.array([figure(state.candidates[one]) for one in ids], float),
        lambda state, space: lambda archs: np.array([of(arch, space) for arch in archs], float),
    )


def _measured(name: str, unit: str, figure: Figure) -> Objective:
    """What devices tell."""

    def ahead(state: State, space: Space) -> Foresight | None:
        found = foreseen(state, figure)
        if found is None:
            return None
        return lambda archs: found([(arch, _mult_adds(arch, space)) for arch in archs])

    return Objective(name, unit, False, lambda state, ids: device_values(state, ids, figure), ahead)


def _params(arch: Arch, space: Space) -> int:
    return space.cost(arch).params


def _mult_adds(arch: Arch, space: Space) -> int:
    return mult_adds_720p(space.cost(arch), space.scale)


OBJECTIVES = {
    one.name: one
    for one in (
        Objective("psnr", "dB", True, _of_quality(lambda quality: quality.fitness)),
        Objective("ssim", "", True, _of_quality(lambda quality: quality.ssim_y)),
        _counted("params", "parameters", lambda candidate: candidate.params, _params),
        _counted("mult_adds", "mult-adds", lambda candidate: candidate.mult_adds, _mult_adds),
        _measured("latency", "s", DEVICE_FIGURES["latency"]),
        _measured("memory", "MB", DEVICE_FIGURES["memory"]),
    )
}
"""By the name that a configuration gives; quality is that of the estimate after the longest training."""
