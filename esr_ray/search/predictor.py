"""What a network that was not trained yet would be worth: predicted from those that were, to choose among children."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from esr_ray.search.evidence import Floats
from esr_ray.search.pareto import first_front, hypervolume
from esr_ray.search.ranking import View
from esr_ray.space.counts import Arch, mult_adds_720p
from esr_ray.space.features import feature_matrix
from esr_ray.space.space import Space

LEAST = 16
"""Trained candidates before which nothing is predicted."""

Model = Callable[[Floats], Floats]
"""Values (k,) of networks by their features (k, F)."""


class Predictor(Protocol):
    """Learns values from features."""

    def fit(self, features: Floats, values: Floats, errors: Floats) -> Model:
        """What `features` (n, F), `values` (n,) and their standard errors teach."""


@dataclass(frozen=True)
class Ridge:
    """A linear model with an automatic penalty (BayesianRidge of scikit-learn; MacKay 1992)."""

    def fit(self, features: Floats, values: Floats, errors: Floats) -> Model:
        # Imported late: a search without a predictor need not wait for it.
        from sklearn.linear_model import BayesianRidge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), BayesianRidge())
        model.fit(features, values, bayesianridge__sample_weight=_weights(errors))
        return lambda wanted: np.asarray(model.predict(wanted))


@dataclass(frozen=True)
class Trees:
    """A forest of extremely randomised trees (scikit-learn; Geurts, Ernst and Wehenkel 2006)."""

    trees: int = 100

    def fit(self, features: Floats, values: Floats, errors: Floats) -> Model:
        from sklearn.ensemble import ExtraTreesRegressor

        model = ExtraTreesRegressor(self.trees, min_samples_leaf=2, max_features=0.5, random_state=0)
        model.fit(features, values, sample_weight=_weights(errors))
        return lambda wanted: np.asarray(model.predict(wanted))


def _weights(errors: Floats) -> Floats:
    """What is surer counts more, but one that is very sure not for all."""
    return 1 / (errors**2 + np.median(errors) ** 2)


@dataclass(frozen=True)
class Screening:
    """Of `proposals` children, the one that the predictor thinks best is trained."""

    predictor: Predictor
    proposals: int

    def fit(self, view: View, space: Space) -> Model | None:
        """What the candidates of a view teach; None where they are too few."""
        if len(view.ids) < LEAST:
            return None
        archs = [view.state.candidates[one].arch for one in view.ids]
        return self.predictor.fit(feature_matrix(archs, space), view.estimate.mean, view.estimate.error)

    def best(self, archs: Sequence[Arch], model: Model, view: View, space: Space) -> int:
        """The index of the network to train: the best predicted PSNR; if parameters or mult-adds are objectives too,
        the one that would add most to the hypervolume of the front."""
        predicted = model(feature_matrix(archs, space))
        names = [one.name for one in view.objectives]
        exact = [name for name in names if name in ("params", "mult_adds")]
        if not exact or "psnr" not in names:
            return int(np.argmax(predicted))
        children = np.stack([-predicted, *([_cost(name, arch, space) for arch in archs] for name in exact)], axis=1)
        known = view.costs[:, [names.index(name) for name in ("psnr", *exact)]]
        worst, spread = known.max(0), np.maximum(np.ptp(known, axis=0), 1e-12)
        front = (known[first_front(known)] - worst) / spread
        # Beyond the worst known in anything a child adds nothing.
        grown = [hypervolume(np.vstack([front, child]), np.zeros(len(worst))) for child in (children - worst) / spread]
        return int(np.lexsort((-predicted, -np.array(grown)))[0])


def _cost(name: str, arch: Arch, space: Space) -> float:
    cost = space.cost(arch)
    return float(cost.params if name == "params" else mult_adds_720p(cost, space.scale))
