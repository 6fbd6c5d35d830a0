"""How well the world of benchmarks/search.py fits the table: cross-validated, and whether it looks like the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import table
from numpy.typing import NDArray
from scipy.stats import spearmanr
from search_rows import LENGTHS, Row
from search_surrogate import Fitted, Surrogate, arrange, make_world

Array = NDArray[np.float64]
WORLDS = 30
"""Worlds of which the table's trainings are done again."""
FOLDS = 10
BEST = 10
"""The best tenth is of at least so many networks."""


@dataclass(frozen=True)
class Values:
    """Means over the seeds, in dB: rows are networks, columns LENGTHS; NaN where there is no training."""

    mean: Array
    difference: Array
    """First seed less second, after what the seeds have in common; NaN where there are not two."""
    first: Array
    """Of the first seed alone: what a search sees."""


def gather(rows: Sequence[Row], values: Array) -> Values:
    """Values of the table's trainings (or of the same in a world), by network and length."""
    archs = list(dict.fromkeys(row.arch for row in rows))
    place = {arch: number for number, arch in enumerate(archs)}
    seeds = np.full((len(archs), len(LENGTHS), 2), np.nan)
    for row, value in zip(rows, values, strict=True):
        seeds[place[row.arch], LENGTHS.index(row.length), row.seed] = value
    with np.errstate(all="ignore"):
        difference = seeds[..., 0] - seeds[..., 1]
        counted = np.isfinite(seeds)
        middle = np.array([np.mean(one[np.isfinite(one)]) if np.isfinite(one).any() else 0.0 for one in difference.T])
        # What all networks have of the second seed is none of theirs.
        seeds[..., 1] += middle
        mean = np.where(counted, seeds, 0).sum(2) / counted.sum(2)
    return Values(mean, difference - middle, seeds[..., 0])


def rank(one: Array, other: Array) -> float:
    """Spearman's correlation of those that both have; NaN for less than five."""
    both = np.isfinite(one) & np.isfinite(other)
    return float(spearmanr(one[both], other[both]).statistic) if both.sum() >= 5 else float("nan")


def determination(predicted: Array, values: Array) -> float:
    """R2 of those that have a value; an offset that all have in common does not count."""
    known = np.isfinite(values) & np.isfinite(predicted)
    return float(1 - (values - predicted)[known].var() / values[known].var()) if known.any() else float("nan")


def deviation(predicted: Array, values: Array) -> float:
    """Standard deviation of the error, in dB."""
    return _sd(values - predicted)


def best_tenth(mean: Array) -> NDArray[np.bool_]:
    """Networks of the best tenth of those trained for the longest time."""
    long = mean[:, -1]
    count = max(BEST, round(np.isfinite(long).sum() / 10))
    limit = np.sort(long[np.isfinite(long)])[-count:][0] if np.isfinite(long).any() else np.inf
    return np.asarray(np.nan_to_num(long, nan=-np.inf) >= limit)


def again(world: Surrogate, rows: Sequence[Row]) -> Array:
    """The table's trainings in a world."""
    return np.array([world.observe(row.arch, row.length, row.seed) for row in rows])


STATISTICS: dict[str, Callable[[Values], float]] = {
    "SD of long values, dB": lambda found: _sd(found.mean[:, -1]),
    "SD of short values, dB": lambda found: _sd(found.mean[:, 0]),
    "SD of long values, best tenth, dB": lambda found: _sd(found.mean[best_tenth(found.mean), -1]),
    "SD from seed to seed, long, best tenth, dB": lambda found: _noise(found.difference[best_tenth(found.mean), -1]),
    "SD from seed to seed, long, dB": lambda found: _noise(found.difference[:, -1]),
    "SD from seed to seed, short, best tenth, dB": lambda found: _noise(found.difference[best_tenth(found.mean), 0]),
    "SD from seed to seed, short, dB": lambda found: _noise(found.difference[:, 0]),
    "rank correlation, one short with long": lambda found: rank(found.first[:, 0], found.mean[:, -1]),
    "rank correlation, one short with long, best tenth": lambda found: rank(
        *(values[best_tenth(found.mean)] for values in (found.first[:, 0], found.mean[:, -1]))
    ),
    "rank correlation, one of length 3 with long": lambda found: rank(found.first[:, 1], found.mean[:, -1]),
    "rank correlation of two seeds, long, best tenth": lambda found: rank(
        *((found.mean + sign * found.difference / 2)[best_tenth(found.mean), -1] for sign in (1, -1))
    ),
}


_COVARIANCES: dict[str, Callable[[Fitted], Array]] = {
    "smooth": lambda fitted: fitted.process.smooth,
    "a network's own": lambda fitted: fitted.process.own,
    "noise": lambda fitted: fitted.process.noise,
}


def _sd(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def _noise(difference: Array) -> float:
    return float(np.sqrt(np.nanmean(difference**2) / 2)) if np.isfinite(difference).any() else float("nan")


def report(rows: Sequence[Row], fitted: Fitted, others: bool) -> None:
    """Print what the module says."""
    shape = fitted.process.shape
    measured = gather(rows, np.array([row.psnr_y for row in rows]))
    worlds = [make_world(fitted, 1000 + number) for number in range(WORLDS)]
    observed = [gather(rows, again(world, rows)) for world in worlds]
    archs = list(dict.fromkeys(row.arch for row in rows))
    truths = [world.values(archs) for world in worlds]

    counts = [sum(row.length == length for row in rows) for length in LENGTHS]
    print(f"{len(rows)} trainings of {len(archs)} networks; {counts} of lengths {LENGTHS}")
    print(f"from {np.round(shape.floors, 2)} to {np.round(shape.ceilings, 2)} dB; covariances on the stretched scale:")
    for name, matrix in _COVARIANCES.items():
        print(f"{name}: {np.round(matrix(fitted), 4).tolist()}")
    print(f"seeds in common {fitted.seed_spread:.4f}; reaches {np.round(shape.reaches, 1)}")
    both = np.isfinite(measured.difference[:, [0, -1]]).all(1)
    if both.sum() > 4:
        alike = np.corrcoef(measured.difference[both][:, [0, -1]].T)[0, 1]
        print(
            f"correlation of the noise of one seed in short and in long trainings: {alike:.2f} ({both.sum()} networks)"
        )

    head = [
        "cross-validated",
        "R2 (ceiling)",
        "rank corr. (ceiling)",
        "best tenth (ceiling)",
        "error there, dB (least)",
    ]
    lines = [_cross_validated(place, fitted, rows, measured, observed, truths) for place in range(len(LENGTHS))]
    print("\n" + table([*head, "calibration"], lines))
    lines = [
        [name, f"{statistic(measured):.3f}", _spread([statistic(one) for one in observed])]
        for name, statistic in STATISTICS.items()
    ]
    print("\n" + table(["of the table's trainings", "measured", f"in {WORLDS} worlds: mean (5-95 %)"], lines))
    if others:
        print("\n" + table(["ten folds, length 1", "R2", "rank corr.", "best tenth"], _others(rows, fitted, measured)))


def _spread(values: Sequence[float]) -> str:
    low, high = np.nanpercentile(values, [5, 95])
    return f"{np.nanmean(values):.3f} ({low:.3f} to {high:.3f})"


def _predicted(fitted: Fitted, rows: Sequence[Row], folds: NDArray[np.int64]) -> tuple[Array, Array]:
    """Means over the seeds of what the process predicts without the fold; and squared errors by what it expects."""
    process = fitted.process
    data, left = process.data, process.left_out(folds)
    expected = left.variance + np.diag(process.noise)[data.length]
    predicted = dict(
        zip(
            zip(data.network, data.length, data.effect, strict=True),
            process.shape.psnr(left.mean, data.length),
            strict=True,
        )
    )
    _, _, pairs, _, _ = arrange(rows, fitted.space)
    place = {arch: number for number, arch in enumerate(dict.fromkeys(row.arch for row in rows))}
    values = [
        predicted[place[row.arch], LENGTHS.index(row.length), pairs.index((row.length, row.seed))] for row in rows
    ]
    ratio = (process.z - left.mean) ** 2 / expected
    calibration = np.array([ratio[data.length == length].mean() for length in range(len(LENGTHS))])
    return gather(rows, np.array(values)).mean, calibration


def _cross_validated(
    place: int,
    fitted: Fitted,
    rows: Sequence[Row],
    measured: Values,
    observed: Sequence[Values],
    truths: Sequence[Array],
) -> list[str]:
    folds = np.arange(len(fitted.process.data.features))
    predicted, calibration = _predicted(fitted, rows, folds)
    top = best_tenth(measured.mean)
    values = measured.mean[:, place]

    def ceiling(score: Callable[[Array, Array], float], best: bool) -> float:
        """What the truth itself scores against such noisy values."""
        found = []
        for seen, truth in zip(observed, truths, strict=True):
            chosen = best_tenth(seen.mean) if best else np.ones(len(truth), bool)
            found.append(score(truth[chosen, place], seen.mean[chosen, place]))
        return float(np.nanmean(found))

    return [
        f"length {LENGTHS[place]}, {np.isfinite(values).sum()} networks",
        f"{determination(predicted[:, place], values):.2f} ({ceiling(determination, False):.2f})",
        f"{rank(predicted[:, place], values):.2f} ({ceiling(rank, False):.2f})",
        f"{rank(predicted[top, place], values[top]):.2f} ({ceiling(rank, True):.2f})",
        f"{deviation(predicted[top, place], values[top]):.3f} ({ceiling(deviation, True):.3f})",
        f"{calibration[place]:.2f}",
    ]


def _others(rows: Sequence[Row], fitted: Fitted, measured: Values) -> list[list[str]]:
    """Other kinds of model in the same ten folds, each fitted to the first seed of the short trainings."""
    try:
        from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures
    except ImportError:
        return [["other kinds: scikit-learn is not installed", "-", "-", "-"]]
    features, values = fitted.process.data.features, measured.first[:, 0]
    folds = np.random.default_rng(0).permutation(len(values)) % FOLDS
    known, top = np.isfinite(values), best_tenth(measured.mean)
    kinds: dict[str, Any] = {
        "ridge": RidgeCV(np.logspace(-1, 4, 12)),
        "ridge on pairs of features": make_pipeline(PolynomialFeatures(2), RidgeCV(np.logspace(2, 6, 9))),
        "boosted trees": GradientBoostingRegressor(
            n_estimators=400, learning_rate=0.05, max_depth=4, subsample=0.6, max_features=0.3, random_state=0
        ),
        "extremely random trees": ExtraTreesRegressor(400, max_features=0.5, min_samples_leaf=2, random_state=0),
    }
    predictions = {"Gaussian process, all lengths": _predicted(fitted, rows, folds)[0][:, 0]}
    for name, model in kinds.items():
        predicted = np.full(len(values), np.nan)
        for fold in range(FOLDS):
            train, test = known & (folds != fold), folds == fold
            predicted[test] = model.fit(features[train], values[train]).predict(features[test])
        predictions[name] = predicted
    return [
        [name, *(f"{number:.3f}" for number in (determination(p, values), rank(p, values), rank(p[top], values[top])))]
        for name, p in predictions.items()
    ]
