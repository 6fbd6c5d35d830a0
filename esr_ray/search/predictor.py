"""What a network that was not trained yet would be worth, learnt from those that were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from esr_ray.search.evidence import Estimate, Floats

Model = Callable[[Floats], Estimate]
"""Values (k,) of networks by their features (k, F), with their standard errors."""


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
        return lambda wanted: Estimate(*model.predict(wanted, return_std=True))


def _weights(errors: Floats) -> Floats:
    """What is surer counts more, but one that is very sure not for all."""
    weights = 1 / (errors**2 + np.median(errors) ** 2)
    return np.asarray(weights / weights.mean())
