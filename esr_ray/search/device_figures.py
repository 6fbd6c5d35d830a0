"""Latency and memory of networks: as they were measured, and predicted block by block where they were not.

A candidate is measured by the evaluator that trains it. One that was not (it was trained before anybody asked for
latency, or is only proposed) is predicted from the others: each block costs by its type, for being there and for its
convolutions, and the rest of the network by its mult-adds. The shares are fitted by non-negative least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from esr_ray.search.job import Candidate
from esr_ray.search.state import State
from esr_ray.space.block import parse_block
from esr_ray.space.spec import Arch, split_frame
from esr_ray.training.result import DeviceCost

Floats = NDArray[np.float64]
Figure = Callable[[DeviceCost], float | None]
Network = tuple[Arch, int]
"""A network's name and its mult-adds for a 1280x720 output."""
MOST = 400
"""Proposed networks are predicted from so many candidates, the last ones: it is asked for at each child."""


DEVICE_FIGURES: dict[str, Figure] = {
    "latency": lambda cost: cost.latency_s,
    "memory": lambda cost: cost.memory_mb,
}
"""By the names of the objectives."""


def device_values(state: State, ids: Sequence[int], figure: Figure) -> Floats:
    """A figure of each candidate (n,): measured (the mean over its trainings), or predicted; infinite where nothing was
    measured at all."""
    measured = {one: value for one in state.jobs_of if (value := _measured(state, one, figure)) is not None}
    missing = [one for one in ids if one not in measured]
    values = dict(measured)
    if missing and measured:
        predicted = _fitted(state, measured)([_network(state.candidates[one]) for one in missing])
        values.update(zip(missing, predicted, strict=True))
    return np.array([values.get(one, np.inf) for one in ids])


def foreseen(state: State, figure: Figure) -> Callable[[Sequence[Network]], Floats] | None:
    """Predicts a figure (k,) of networks that need not be candidates; None where nothing was measured."""
    found = ((one, _measured(state, one, figure)) for one in reversed(state.jobs_of))
    measured = dict(islice(((one, value) for one, value in found if value is not None), MOST))
    return _fitted(state, measured) if measured else None


def was_measured(state: State, figure: Figure) -> bool:
    """Whether any candidate has that figure."""
    return any(figure(outcome.cost) is not None for outcome in state.outcomes.values())


def _fitted(state: State, measured: Mapping[int, float]) -> Callable[[Sequence[Network]], Floats]:
    """Predicts figures by those of the candidates that were measured."""
    # Imported late: all begin half a second sooner without.
    from scipy.optimize import nnls

    networks = [_network(state.candidates[one]) for one in measured]
    letters = sorted({name[0] for arch, _ in networks for name in split_frame(arch)[1]})
    known = np.array([_parts(one, letters) for one in networks])
    scale = np.maximum(known.max(0), 1e-12)
    shares, _ = nnls(known / scale, np.array(list(measured.values())))
    return lambda wanted: np.array([_parts(one, letters) for one in wanted]).reshape(-1, len(scale)) / scale @ shares


def _measured(state: State, candidate: int, figure: Figure) -> float | None:
    outcomes = (state.outcomes.get(job) for job in state.jobs_of[candidate])
    found = [value for outcome in outcomes if outcome is not None and (value := figure(outcome.cost)) is not None]
    return fmean(found) if found else None


def _network(candidate: Candidate) -> Network:
    return candidate.arch, candidate.mult_adds


def _parts(network: Network, letters: Sequence[str]) -> list[float]:
    """What a network costs is a sum of: one, its mult-adds, and for each type the blocks and their convolutions."""
    arch, mult_adds = network
    blocks = [parse_block(name) for name in split_frame(arch)[1]]
    parts = [1.0, float(mult_adds)]
    for letter in letters:
        mine = [block for block in blocks if block.letter == letter]
        parts += [float(len(mine)), float(sum(block.convs for block in mine))]
    return parts
