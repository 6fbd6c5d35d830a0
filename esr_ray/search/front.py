"""What a search has found so far, for people: the networks of the front, each with its figures and their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from esr_ray.search.algorithm import Algorithm
from esr_ray.search.objectives import OBJECTIVES
from esr_ray.search.pareto import knee, spread_over
from esr_ray.search.ranking import View, finite
from esr_ray.search.state import State


@dataclass(frozen=True)
class FrontRow:
    """One network: PSNR on Y in dB as estimated after the longest training, with its standard error.

    It rests on `trainings` of `steps`, its longest. SSIM is estimated likewise if it is an objective, else that of the
    last training. Latency and memory are there where they were measured; where the search goes by them and others were,
    they are `predicted`.
    """

    id: int
    arch: tuple[str, ...]
    psnr: float
    error: float
    steps: int
    trainings: int
    params: int
    mult_adds: int
    ssim: float
    latency_s: float | None = None
    latency_spread_s: float | None = None
    memory_mb: float | None = None
    predicted: tuple[str, ...] = ()


def front_rows(algorithm: Algorithm, state: State) -> tuple[FrontRow, ...]:
    """The non-dominated networks by what is known, the best in PSNR first.

    The network that won the race is always among them.
    """
    view = shown_view(algorithm, state)
    ids = set(view.front)
    verdict = algorithm.verdict(state)
    if verdict is not None:
        ids.add(verdict.winner.candidate.id)
    return tuple(sorted((row_of(view, one) for one in ids), key=lambda row: (-row.psnr, row.id)))


def shown_view(algorithm: Algorithm, state: State) -> View:
    """What is known, with the objectives that a front is shown of: beside a single one there are mult-adds."""
    view = algorithm.view(state)
    if len(view.objectives) > 1:
        return view
    return replace(view, objectives=(*view.objectives, OBJECTIVES["mult_adds"]))


def row_of(view: View, candidate_id: int) -> FrontRow:
    """One candidate that has a result."""
    row, state = view.row_of[candidate_id], view.state
    candidate = state.candidates[candidate_id]
    column = int(view.evidence.longest[row])
    outcomes = [state.outcomes[job] for job in state.jobs_of[candidate_id] if job in state.outcomes]
    measured = [one for one in outcomes if one.quality is not None]
    names = [one.name for one in view.objectives]
    ssim = measured[-1].quality.ssim_y if measured[-1].quality is not None else float("nan")
    if "ssim" in names:
        ssim = -float(view.costs[row, names.index("ssim")])
    cost = next((one.cost for one in reversed(measured) if one.cost.latency_s is not None), measured[-1].cost)
    gone_by = {*names, *(one.name for one, _ in view.limits)}
    latency = _predicted("latency", view, candidate_id) if cost.latency_s is None and "latency" in gone_by else None
    memory = _predicted("memory", view, candidate_id) if cost.memory_mb is None and "memory" in gone_by else None
    return FrontRow(
        candidate_id,
        candidate.arch,
        float(view.estimate.mean[row]),
        float(view.estimate.error[row]),
        view.evidence.lengths[column],
        int(view.evidence.count[row, column]),
        candidate.params,
        candidate.mult_adds,
        ssim,
        cost.latency_s if latency is None else latency,
        cost.latency_spread_s,
        cost.memory_mb if memory is None else memory,
        tuple(name for name, value in (("latency", latency), ("memory", memory)) if value is not None),
    )


def _predicted(name: str, view: View, candidate_id: int) -> float | None:
    """A figure by the networks that were measured; None where none was."""
    (value,) = OBJECTIVES[name].values(view.state, (candidate_id,))
    return float(value) if np.isfinite(value) else None


def chosen(algorithm: Algorithm, state: State, which: str) -> tuple[int, ...]:
    """Candidates that `full_training.networks` means: `best`, the front's `knee`, or N spread over it (`front:N`)."""
    verdict = algorithm.verdict(state)
    if verdict is None:
        return ()
    best = verdict.winner.candidate.id
    view = shown_view(algorithm, state)
    front = [*view.front]
    if which == "best" or len(front) < 2:
        return (best,)
    costs = finite(np.array([view.costs[view.row_of[one]] for one in front]))
    if which == "knee":
        return (front[knee(costs)],)
    return tuple(front[index] for index in spread_over(costs, int(which.removeprefix("front:"))))
