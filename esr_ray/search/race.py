"""Who won: the best few are trained with further seeds until one is the best with a stated confidence.

The next training goes to the candidate whose result is expected to raise the value of the one that is named most: the
knowledge gradient for independent normal beliefs (Frazier, Powell and Dayanik 2008).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from esr_ray.randomness import generator
from esr_ray.search.evidence import Floats, estimate
from esr_ray.search.job import Candidate, Job
from esr_ray.search.ranking import View
from esr_ray.search.state import State

DRAWS = 4096
"""Of the values that the candidates may really have, to find how sure the winner is."""
FINALISTS = 16
"""As many of the best are looked at: the others have no chance."""
REPEATED = 4
"""So many trainings must repeat others with further seeds before a race is decided: until then the noise is a guess."""


@dataclass(frozen=True)
class Standing:
    """A candidate at the end of a search: the mean of its longest trainings as `measured` in dB, how many they are, its
    estimated value in dB with standard error, and the probability that it is the best within the tolerance."""

    candidate: Candidate
    measured: float
    value: float
    error: float
    trainings: int
    probability: float


@dataclass(frozen=True)
class Verdict:
    """Who won, how sure that is, and who else might have: `finalists` are ordered by estimated value, the winner first.

    `noise` is the standard deviation of one training from seed to seed in dB, by its length in steps; where no training
    was repeated (`repeated` is 0) it is only assumed, as a part of the spread.
    """

    finalists: tuple[Standing, ...]
    noise: tuple[tuple[int, float], ...]
    repeated: int

    @property
    def winner(self) -> Standing:
        return self.finalists[0]

    @property
    def confidence(self) -> float:
        """The probability that nobody is better than the winner by more than the tolerance."""
        return self.winner.probability


@dataclass(frozen=True)
class Race:
    """Trainings of `steps` with further seeds, until the winner is sure with `confidence`: until nobody is better by
    more than `tolerance` dB with that probability."""

    steps: int
    confidence: float
    tolerance: float

    def next(self, view: View, state: State, base_seed: int, unseen: Iterable[Job]) -> tuple[Candidate, int] | None:
        """The candidate to train once more, and the seed; None where the race is decided or nobody is there.

        `unseen` are trainings whose outcomes the view does not have: they are taken to end as expected.
        """
        if not view.ids or self.decided(view):
            return None
        evidence = view.evidence
        extra = np.zeros_like(evidence.count)
        if self.steps in evidence.lengths:
            column = evidence.lengths.index(self.steps)
            for job in unseen:
                row = view.row_of.get(job.candidate.id)
                if row is not None and job.steps == self.steps:
                    extra[row, column] += 1
        now = estimate(evidence, extra)
        best = _first(now.mean, view.violation <= view.violation.min())
        noise = evidence.noise[evidence.lengths.index(self.steps)] if self.steps in evidence.lengths else 0.0
        gain = knowledge_gradient(now.mean[best], now.error[best], noise)
        one = view.ids[int(best[int(np.argmax(gain))])]
        used = {state.jobs[job].seed for job in state.jobs_of[one] if state.jobs[job].steps == self.steps}
        seed = next(seed for seed in range(base_seed, base_seed + len(used) + 1) if seed not in used)
        return state.candidates[one], seed

    def decided(self, view: View) -> bool:
        """Whether the winner is sure."""
        column = view.evidence.column(self.steps)
        if len(view.ids) > 1 and view.evidence.freedom[column:].sum() < REPEATED:
            return False
        verdict = judge(view, self.tolerance, self.steps)
        return verdict is not None and verdict.confidence >= self.confidence


def knowledge_gradient(mean: Floats, error: Floats, noise: float) -> Floats:
    """What one more training of each candidate (n,) is expected to add to the greatest mean, in the unit of `mean`."""
    from scipy.special import ndtr

    if len(mean) == 1:
        return np.ones(1)
    change = error**2 / np.sqrt(error**2 + noise**2 + 1e-18)
    order = np.sort(mean)
    rival = np.where(mean == order[-1], order[-2], order[-1])
    z = -np.abs(mean - rival) / np.maximum(change, 1e-12)
    return np.asarray(change * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)))


def judge(view: View, tolerance: float, steps: int | None = None) -> Verdict | None:
    """Who would win by what is known; None where nobody has a result.

    Only candidates that were trained for `steps` can win, or for longer (without a number, and where nobody was: for
    the longest length), and of these the feasible ones first. All others are rivals all the same: what a shorter
    training leaves open counts against the winner.
    """
    evidence, found = view.evidence, view.estimate
    if not view.ids:
        return None
    trained = evidence.trained_for(steps)
    least = view.violation[trained].min()
    able = trained & (view.violation <= least)
    rows = _first(found.mean, able)
    rivals = _first(found.mean, ~able & (view.violation <= least))
    freedom = float(evidence.noise_freedom[evidence.column(steps)])
    longest = evidence.longest
    everyone = np.concatenate([rows, rivals])
    probability = _within(found.mean[everyone], found.error[everyone], freedom, tolerance)[: len(rows)]
    return Verdict(
        tuple(
            Standing(
                view.state.candidates[view.ids[row]],
                float(evidence.mean[row, longest[row]]),
                float(found.mean[row]),
                float(found.error[row]),
                int(evidence.count[row, longest[row]]),
                float(chance),
            )
            for row, chance in zip(rows, probability, strict=True)
        ),
        tuple(zip(evidence.lengths, map(float, evidence.noise), strict=True)),
        int(evidence.freedom.sum()),
    )


def _first(mean: Floats, able: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the best FINALISTS of those that are able to win, the best first."""
    rows = np.flatnonzero(able)
    return np.asarray(rows[np.argsort(-mean[rows], kind="stable")][:FINALISTS])


def _within(mean: Floats, error: Floats, freedom: float, tolerance: float) -> Floats:
    """The probability of each to be the best of all, or less than the tolerance below it, by drawn values.

    The noise that all errors rest on is known with `freedom` degrees: together the values are Student's.
    """
    drawn = mean + error * _scales(freedom)[:, None] * _draws()[:, : len(mean)]
    best = drawn.max(1, keepdims=True)
    return np.asarray((drawn >= best - tolerance).mean(0))


@cache
def _draws() -> Floats:
    return generator(0, "race").standard_normal((DRAWS, 2 * FINALISTS))


@cache
def _scales(freedom: float) -> Floats:
    """By how much the true noise may exceed the estimate."""
    from scipy.special import gammaincinv

    chi_squared = 2 * gammaincinv(freedom / 2, generator(0, "race noise").random(DRAWS))
    return np.asarray(np.sqrt(freedom / chi_squared))
