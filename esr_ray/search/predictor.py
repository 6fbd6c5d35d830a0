"""What a network that was not trained yet would be worth, learnt from those that were.

`ridge` is a linear model of the features of networks and of all products of two features. Some seventy features have
2,500 products, so it is computed in its dual form, by the inner products of networks (Bishop 2006, sections 3.5 and
6.1): what it costs depends on how many networks were trained, not on how many products there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from esr_ray.search.evidence import Floats

Model = Callable[[Floats, float], Floats]
"""Values (k,) of networks by their features (k, F), at so many standard errors above what is expected of them."""
Predictor = Callable[[Floats, Floats, Floats], Model]
"""What features (n, F), values (n,) and the standard errors of these (n,) teach."""

HEADROOM = 5.0
"""Values are learnt as the logarithm of how far they are below the best, to which so many times the distance between
the best and the median is added. This bends them a little: near the top networks differ by less, and trainings have
less noise. To bend them much (0.5) makes promotion and fronts worse, which need all networks (benchmarks/README.md)."""
VARIANCES = np.array([1.0, 1.0, 0.3, 0.3])
"""Before anything is known: of the constant, the linear part, the products and the noise, of a total of 1."""
UNSURE = np.array([1.0, 1.5, 1.5, 1.5])
"""How sure these are: standard deviations of their logarithms."""
LEAST = 1e-6
"""Of the noise's variance: keeps the matrices invertible."""


def ridge(features: Floats, values: Floats, errors: Floats) -> Model:
    """Bayesian ridge regression (MacKay 1992) on features and their products, of values on a logarithmic scale.

    The penalties of the linear part and of the products, and the noise, are the likeliest by the data.
    """
    middle, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 1e-12 * np.abs(middle), scale, np.inf)

    def rows(wanted: Floats) -> Floats:
        return np.asarray((wanted - middle) / scale / np.sqrt(features.shape[1]))

    best, median = float(values.max()), float(np.median(values))
    span = max(best - median, 1e-9 * max(1.0, abs(best)))
    top = best + HEADROOM * span
    below = top - values
    learnt = -np.log(below / span)
    centre, spread = float(learnt.mean()), float(learnt.std()) or 1.0
    found = _likeliest(rows(features), (learnt - centre) / spread, 1 / _weights(errors / below))

    def model(wanted: Floats, deviations: float) -> Floats:
        mean, error = found.predicted(rows(wanted))
        return top - span * np.exp(-(centre + spread * (mean + deviations * error)))

    return model


def _weights(errors: Floats) -> Floats:
    """What is surer counts more, but one that is very sure not for all."""
    weights = 1 / (errors**2 + np.median(errors) ** 2)
    return np.asarray(weights / weights.mean())


def _kernel(inner: Floats, variances: Floats) -> Floats:
    """What networks have in common, by their inner products: by the constant, the linear part and the products."""
    return np.asarray(variances[0] + variances[1] * inner + variances[2] * inner**2)


def _covariance(inner: Floats, noise: Floats, variances: Floats) -> Floats:
    """Of the values of trainings, (n, n)."""
    return np.asarray(_kernel(inner, variances) + np.diag(variances[3] * noise + LEAST))


@dataclass(frozen=True)
class _Fitted:
    """`rows` (n, F) with the `values` (n,) that they teach; `variances` (4,) of the parts and of the noise, which is
    `noise` (n,) times as large in each value."""

    rows: Floats
    values: Floats
    noise: Floats
    variances: Floats

    @cached_property
    def inverse(self) -> Floats:
        """Of the covariance of the values, (n, n)."""
        return np.linalg.inv(_covariance(self.rows @ self.rows.T, self.noise, self.variances))

    def predicted(self, rows: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, both (k,), of what trainings of networks with these rows (k, F) would give."""
        to_known = _kernel(rows @ self.rows.T, self.variances)
        weighed = to_known @ self.inverse
        left = np.maximum(_kernel((rows**2).sum(1), self.variances) - (weighed * to_known).sum(1), 0.0)
        return weighed @ self.values, np.sqrt(left + self.variances[3])


def _likeliest(rows: Floats, values: Floats, noise: Floats) -> _Fitted:
    """The variances under which the values (n,) of the rows (n, F) are likeliest, their priors counted in."""
    # Imported late: a search without a predictor need not wait for it.
    from scipy.optimize import minimize

    inner = rows @ rows.T
    parts = [np.ones_like(inner), inner, inner**2, np.diag(noise)]

    def loss(logarithms: Floats) -> tuple[float, Floats]:
        """The negative logarithm of the likelihood, and its gradient (Bishop 2006, equations 6.69 and 6.70)."""
        variances = _exp(logarithms)
        covariance = _covariance(inner, noise, variances)
        inverse = np.linalg.inv(covariance)
        weights = inverse @ values
        pull = inverse - np.outer(weights, weights)
        gradient = variances * np.array([(pull * part).sum() for part in parts]) / 2
        off = (logarithms - np.log(VARIANCES)) / UNSURE
        value = (values @ weights + np.linalg.slogdet(covariance)[1] + off @ off) / 2
        return float(value), gradient + off / UNSURE

    found = minimize(loss, np.log(VARIANCES), jac=True, method="L-BFGS-B", options={"maxiter": 40})
    return _Fitted(rows, values, noise, _exp(found.x))


def _exp(logarithms: Floats) -> Floats:
    """Variances by their logarithms, within what numbers can hold, wherever a step of the optimiser leads."""
    return np.asarray(np.exp(np.clip(logarithms, -25, 25)))
