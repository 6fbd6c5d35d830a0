"""What a network that was not trained yet would be worth: predicted from those that were, to choose among children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from esr_ray.search.evidence import Floats
from esr_ray.search.pareto import fronts
from esr_ray.search.ranking import View, finite
from esr_ray.space.counts import Arch
from esr_ray.space.features import feature_matrix
from esr_ray.space.space import Space

LEAST = 16
"""Trained candidates before which nothing is predicted."""


class Predictor(Protocol):
    """Learns values from features."""

    def predict(self, features: Floats, values: Floats, errors: Floats, wanted: Floats) -> Floats:
        """Values (k,) of networks with the features `wanted` (k, F), learnt from `features` (n, F), `values` (n,) and
        their standard errors."""


@dataclass(frozen=True)
class Ridge:
    """A linear model with an automatic penalty (BayesianRidge of scikit-learn; MacKay 1992)."""

    def predict(self, features: Floats, values: Floats, errors: Floats, wanted: Floats) -> Floats:
        # Imported late: a search without a predictor need not wait for it.
        from sklearn.linear_model import BayesianRidge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), BayesianRidge())
        model.fit(features, values, bayesianridge__sample_weight=1 / (errors**2 + np.median(errors) ** 2))
        return np.asarray(model.predict(wanted))


@dataclass(frozen=True)
class Trees:
    """A forest of extremely randomised trees (scikit-learn; Geurts, Ernst and Wehenkel 2006)."""

    trees: int = 100

    def predict(self, features: Floats, values: Floats, errors: Floats, wanted: Floats) -> Floats:
        from sklearn.ensemble import ExtraTreesRegressor

        model = ExtraTreesRegressor(self.trees, min_samples_leaf=2, max_features=0.5, random_state=0)
        model.fit(features, values, sample_weight=1 / (errors**2 + np.median(errors) ** 2))
        return np.asarray(model.predict(wanted))


@dataclass(frozen=True)
class Screening:
    """Of `proposals` children, the one that the predictor thinks best is taken."""

    predictor: Predictor
    proposals: int

    def is_ready(self, view: View) -> bool:
        """Whether there is enough to learn from."""
        return len(view.ids) >= LEAST

    def best(self, archs: Sequence[Arch], view: View, space: Space) -> int:
        """The index of the network to train: the best predicted PSNR, or with several objectives the first by
        non-dominated sorting among the children and the front (ties by PSNR)."""
        known = [view.state.candidates[one].arch for one in view.ids]
        features = feature_matrix([*known, *archs], space)
        predicted = self.predictor.predict(
            features[: len(known)], view.estimate.mean, view.estimate.error, features[len(known) :]
        )
        names = [one.name for one in view.objectives]
        if names == ["psnr"] or "psnr" not in names:
            return int(np.argmax(predicted))
        columns = []
        for name in names:
            exact = {
                "params": lambda arch: space.cost(arch).params,
                "mult_adds": lambda arch: space.cost(arch).mult_adds,
            }
            if name == "psnr":
                columns.append(-predicted)
            elif name in exact:
                columns.append(np.array([exact[name](arch) for arch in archs], float))
        costs = np.stack(columns, axis=1)
        first = fronts(finite(costs))[0]
        return int(first[int(np.argmax(predicted[first]))])
