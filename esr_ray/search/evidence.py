"""What the trainings say of each candidate: an estimate of its value after the longest training, with its error.

A candidate may have been trained for a short time, for longer ones, or with several seeds; all of it is evidence. The
estimate goes up the lengths as a Kalman filter does (Kalman 1960): what is known at one length is carried to the next
by a regression over the candidates that have both, and is then corrected by what was measured there. Noise from seed to
seed, the regressions and what they leave unexplained are taken from the search's own results, with weak priors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esr_ray.metrics import Quality
from esr_ray.search.growing import Growing
from esr_ray.search.job import Outcome
from esr_ray.search.state import State

Floats = NDArray[np.float64]

NOISE_SHARE = 0.3
"""Before seeds were repeated: noise as a part of the spread of the better half."""
PRIOR_COUNT = 3.0
"""What a prior weighs, in candidates."""
PRIOR_SLOPE = 0.7
"""Of a longer training's value on a shorter one's, before anything was trained at both lengths."""


@dataclass(frozen=True)
class Evidence:
    """Results of the candidates that have one, in the order of their first: `ids` (n,), `lengths` in steps ascending
    (L,), `count` (n, L) trainings, their `mean` (n, L) (0 where there is none), and `noise` (L,): the standard
    deviation of one training, known from repeated ones with `freedom` (L,) degrees. `row_of` has the row of each id."""

    ids: tuple[int, ...]
    row_of: Mapping[int, int]
    lengths: tuple[int, ...]
    count: Floats
    mean: Floats
    noise: Floats
    freedom: Floats

    @property
    def noise_freedom(self) -> Floats:
        """Degrees with which `noise` (L,) is known, its prior among them."""
        return self.freedom + PRIOR_COUNT

    @property
    def at_longest(self) -> NDArray[np.bool_]:
        """Which candidates (n,) were trained for the longest length."""
        return self.trained_for(None)

    def trained_for(self, steps: int | None) -> NDArray[np.bool_]:
        """Which candidates (n,) were trained for at least so many steps; where nobody was, and without a number, for
        the longest length."""
        return np.asarray((self.count[:, self.column(steps) :] > 0).any(1))

    @property
    def longest(self) -> NDArray[np.intp]:
        """The column of each candidate's longest training (n,)."""
        return np.asarray(len(self.lengths) - 1 - np.argmax(self.count[:, ::-1] > 0, axis=1))

    def column(self, steps: int | None) -> int:
        """Of the shortest length that has so many steps, or else the longest one."""
        last = max(0, len(self.lengths) - 1)
        return last if steps is None else min(int(np.searchsorted(self.lengths, steps)), last)


@dataclass(frozen=True)
class Estimate:
    """Of each candidate's value after the longest training: mean and standard error, both (n,)."""

    mean: Floats
    error: Floats


class Gatherer:
    """Gathers the evidence of one figure of quality (the PSNR that networks are judged by, without another) from state
    after state.

    Of a state that goes on from the one before only what is new is looked at: thousands of candidates are asked after
    at every result.
    """

    def __init__(self, figure: Callable[[Quality], float] = lambda quality: quality.fitness) -> None:
        self.figure = figure
        self._begin()

    def _begin(self) -> None:
        self._seen: Growing[int, Outcome] = Growing()
        self._ids: list[int] = []
        self._row_of: dict[int, int] = {}
        self._lengths: tuple[int, ...] = ()
        # With room for more candidates.
        self._count, self._mean = np.zeros((64, 0)), np.zeros((64, 0))
        # Of repeated trainings, by length: squared deviations from their means, and degrees of freedom.
        self._squares, self._freedom = np.zeros(0), np.zeros(0)

    def gather(self, state: State) -> Evidence:
        """The evidence of a state."""
        for job_id in self._new(state.outcomes):
            quality = state.outcomes[job_id].quality
            if quality is not None:
                job = state.jobs[job_id]
                self._add(job.candidate.id, job.steps, self.figure(quality))
        count, mean = self._count[: len(self._ids)].copy(), self._mean[: len(self._ids)].copy()
        noise = [
            _noise(mean[count[:, column] > 0, column], self._squares[column], self._freedom[column])
            for column in range(len(self._lengths))
        ]
        freedom = self._freedom.copy()
        return Evidence(tuple(self._ids), dict(self._row_of), self._lengths, count, mean, np.array(noise), freedom)

    def _add(self, candidate: int, steps: int, value: float) -> None:
        if steps not in self._lengths:
            lengths = tuple(sorted((*self._lengths, steps)))
            at = lengths.index(steps)
            self._count, self._mean = (np.insert(one, at, 0.0, axis=1) for one in (self._count, self._mean))
            self._squares, self._freedom = (np.insert(one, at, 0.0) for one in (self._squares, self._freedom))
            self._lengths = lengths
        if candidate not in self._row_of:
            self._row_of[candidate] = len(self._ids)
            self._ids.append(candidate)
            if len(self._ids) > len(self._count):
                self._count, self._mean = (np.vstack([one, np.zeros_like(one)]) for one in (self._count, self._mean))
        row, column = self._row_of[candidate], self._lengths.index(steps)
        count, before = self._count[row, column] + 1, self._mean[row, column]
        mean = before + (value - before) / count
        if count > 1:
            # Welford 1962.
            self._squares[column] += (value - before) * (value - mean)
            self._freedom[column] += 1
        self._count[row, column], self._mean[row, column] = count, mean

    def _new(self, outcomes: Growing[int, Outcome]) -> list[int]:
        """Jobs whose outcomes were not looked at yet; all, where these do not go on from those before."""
        if not outcomes.goes_on_from(self._seen):
            self._begin()
        # In the order of the jobs, as with a barrier, the new ones need not be the last.
        last = outcomes.after(len(self._seen))
        new = last if not any(job in self._seen for job in last) else [job for job in outcomes if job not in self._seen]
        self._seen = outcomes
        return new


def gather(state: State, figure: Callable[[Quality], float] = lambda quality: quality.fitness) -> Evidence:
    """The evidence of a state for one figure of quality, the PSNR that networks are judged by without another."""
    return Gatherer(figure).gather(state)


def _noise(values: Floats, squares: float, freedom: float) -> float:
    """Standard deviation from seed to seed: pooled over repeated trainings, with a prior from the spread of values."""
    prior = NOISE_SHARE**2 * _upper_variance(values)
    return float(np.sqrt((squares + PRIOR_COUNT * prior) / (freedom + PRIOR_COUNT)))


def _upper_variance(values: Floats) -> float:
    """Of the better half around the median: bad networks, of which there may be many, say nothing of the good ones."""
    middle = np.median(values)
    upper = values[values >= middle] - middle
    return float(max(np.mean(upper**2), 1e-12))


def estimate(evidence: Evidence, extra: Floats | None = None) -> Estimate:
    """Of every candidate; with `extra` (n, L) trainings that are under way, whose results are taken to be as expected
    (the error shrinks, the mean stays)."""
    count, means = evidence.count, evidence.mean
    if not len(evidence.ids):
        return Estimate(np.zeros(0), np.zeros(0))
    first = means[count[:, 0] > 0, 0]
    mean = np.full(len(count), np.median(first))
    variance = np.full(len(count), max(_upper_variance(first) - evidence.noise[0] ** 2, evidence.noise[0] ** 2))
    for length in range(len(evidence.lengths)):
        has = count[:, length] > 0
        squared = evidence.noise[length] ** 2
        if length:
            mean, variance = _carried(mean, variance, has, means[has, length], squared / count[has, length])
        gain = np.where(has, variance / (variance + squared / np.maximum(count[:, length], 1)), 0.0)
        mean = mean + gain * (means[:, length] - mean)
        variance = variance * (1 - gain)
        if extra is not None:
            variance = 1 / (1 / variance + extra[:, length] / squared)
    return Estimate(mean, np.sqrt(variance))


def _carried(
    mean: Floats, variance: Floats, has: NDArray[np.bool_], values: Floats, noise: Floats
) -> tuple[Floats, Floats]:
    """Estimates at one length carried to the next, by a regression of `values` there (those that `has`, of variance
    `noise`) on the estimates."""
    known = mean[has]
    x, y = known - known.mean(), values - values.mean()
    spread = _upper_variance(mean)
    slope = float((x @ y + PRIOR_COUNT * spread * PRIOR_SLOPE) / (x @ x + PRIOR_COUNT * spread))
    # Of a few noisy pairs it may come out negative: then the worst would be expected to be the best.
    slope = max(slope, 0.0)
    left = y - slope * x
    residual = float((left @ left + PRIOR_COUNT * spread / 4) / (len(y) + PRIOR_COUNT))
    unexplained = max(residual - float(noise.mean()), 0.1 * float(noise.mean()))
    return values.mean() + slope * (mean - known.mean()), slope**2 * variance + unexplained
