"""What a network that was not trained yet would be worth, learnt from those that were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from esr_ray.search.evidence import Estimate, Floats

Model = Callable[[Floats], Estimate]
"""Values (k,) of networks by their features (k, F), with their standard errors."""
Predictor = Callable[[Floats, Floats, Floats], Model]
"""What features (n, F), values (n,) and the standard errors of these (n,) teach."""


def ridge(features: Floats, values: Floats, errors: Floats) -> Model:
    """A linear model with an automatic penalty (BayesianRidge of scikit-learn; MacKay 1992)."""
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
