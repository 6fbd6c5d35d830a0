"""What networks promise before they are trained: by the predictor of fitness, and by what they would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esr_ray.search.evidence import Floats
from esr_ray.search.objectives import Foresight
from esr_ray.search.pareto import first_front, hypervolume
from esr_ray.search.predictor import Model
from esr_ray.search.ranking import View
from esr_ray.space.features import feature_matrix
from esr_ray.space.space import Space
from esr_ray.space.spec import Arch

OPTIMISM = 2.0
"""Standard errors that are added to a prediction: of networks that promise the same, the less known one is trained."""


@dataclass(frozen=True)
class Promise:
    """By what networks are compared that were not trained.

    The first thing is that they keep the `limits`, then what they would add to the hypervolume of the `front` (f, m),
    and then their PSNR. The front is of minus the PSNR and `costs`: less is better, and `worst` and `spread` (m,) are
    those of all that is known.
    """

    model: Model
    space: Space
    limits: tuple[tuple[Foresight, float], ...]
    costs: tuple[Foresight, ...]
    front: Floats
    worst: Floats
    spread: Floats

    def of(self, archs: Sequence[Arch]) -> Floats:
        """A row for each network (n, 3), all the more the better: minus its violation of the limits, what it would add
        to the hypervolume (0 where no cost is an objective), and its PSNR in dB, predicted with some optimism (an upper
        confidence bound)."""
        promised = np.zeros((len(archs), 3))
        if not archs:
            return promised
        for foresight, limit in self.limits:
            promised[:, 0] -= np.maximum(0.0, foresight(archs) / limit - 1)
        predicted = promised[:, 2] = self.model(feature_matrix(archs, self.space), OPTIMISM)
        if self.costs:
            costs = [foresight(archs) for foresight in self.costs]
            children = np.stack([-predicted, *costs], axis=1)
            # Beyond the worst known in anything a child adds nothing.
            promised[:, 1] = [
                hypervolume(np.vstack([self.front, child]), np.zeros(len(self.worst)))
                for child in (children - self.worst) / self.spread
            ]
        return promised


def promise_by(model: Model, view: View, space: Space) -> Promise:
    """By what is known in a view. Latency and memory are predicted by the candidates that were measured; before any
    was, they say nothing. PSNR stands for SSIM too."""
    limits = [(one.foreseen(view.state, space), limit) for one, limit in view.limits]
    costs = [(place, one.foreseen(view.state, space)) for place, one in enumerate(view.objectives)]
    known_costs = [(place, foresight) for place, foresight in costs if foresight is not None]
    worst = spread = np.zeros(0)
    front = np.zeros((0, 0))
    if known_costs:
        rows = np.flatnonzero(view.violation <= view.violation.min())
        known = np.stack([-view.estimate.mean[rows], *(view.costs[rows, place] for place, _ in known_costs)], axis=1)
        worst, spread = known.max(0), np.maximum(np.ptp(known, axis=0), 1e-12)
        front = (known[first_front(known)] - worst) / spread
    return Promise(
        model,
        space,
        tuple((foresight, limit) for foresight, limit in limits if foresight is not None),
        tuple(foresight for _, foresight in known_costs),
        front,
        worst,
        spread,
    )


def best_first(promised: Floats) -> NDArray[np.intp]:
    """Places of networks by what they promise (n, m): by the first column, of equal ones by the next."""
    return np.lexsort(-promised.T[::-1])
