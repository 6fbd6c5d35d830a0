"""Latency and memory of networks: as they were measured, and predicted block by block where they were not.

A candidate is measured by the evaluator that trains it. One that was not (it was trained before anybody asked for
latency, say) is predicted from the others: each block costs by its type, for being there and for its convolutions, and
the rest of the network by its mult-adds. The shares are fitted by non-negative least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from esr_ray.search.job import Candidate
from esr_ray.search.state import State
from esr_ray.space.block import parse_block
from esr_ray.space.spec import split_frame
from esr_ray.training.result import DeviceCost

Floats = NDArray[np.float64]


def device_values(state: State, ids: Sequence[int], figure: Callable[[DeviceCost], float | None]) -> Floats:
    """A figure of each candidate (n,): measured (the mean over its trainings), or predicted; infinite where nothing was
    measured at all."""
    measured = {one: value for one in state.jobs_of if (value := _measured(state, one, figure)) is not None}
    missing = [one for one in ids if one not in measured]
    values = dict(measured)
    if missing and measured:
        values.update(zip(missing, predict(state, measured, missing), strict=True))
    return np.array([values.get(one, np.inf) for one in ids])


def predict(state: State, measured: dict[int, float], wanted: Sequence[int]) -> Floats:
    """Figures (k,) of candidates by those that were measured."""
    # Imported late: all begin half a second sooner without.
    from scipy.optimize import nnls

    letters = sorted({name[0] for one in (*measured, *wanted) for name in split_frame(state.candidates[one].arch)[1]})
    known = np.array([_parts(state.candidates[one], letters) for one in measured])
    scale = np.maximum(known.max(0), 1e-12)
    shares, _ = nnls(known / scale, np.array(list(measured.values())))
    return np.array([_parts(state.candidates[one], letters) for one in wanted]) / scale @ shares


def _measured(state: State, candidate: int, figure: Callable[[DeviceCost], float | None]) -> float | None:
    outcomes = (state.outcomes.get(job) for job in state.jobs_of[candidate])
    found = [value for outcome in outcomes if outcome is not None and (value := figure(outcome.cost)) is not None]
    return fmean(found) if found else None


def _parts(candidate: Candidate, letters: Sequence[str]) -> list[float]:
    """What a network costs is a sum of: one, its mult-adds, and for each type the blocks and their convolutions."""
    blocks = [parse_block(name) for name in split_frame(candidate.arch)[1]]
    parts = [1.0, float(candidate.mult_adds)]
    for letter in letters:
        mine = [block for block in blocks if block.letter == letter]
        parts += [float(len(mine)), float(sum(block.convs for block in mine))]
    return parts
