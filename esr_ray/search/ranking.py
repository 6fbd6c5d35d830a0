"""The order of the candidates: what is known of them at one moment, the best first, with one objective or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from esr_ray.search.evidence import Estimate, Evidence, Floats, estimate, gather
from esr_ray.search.job import Candidate
from esr_ray.search.objectives import OBJECTIVES, Objective
from esr_ray.search.pareto import crowding, first_front, fronts
from esr_ray.search.state import State

WORST = 1e300
"""The cost of what was not measured."""


@dataclass(frozen=True)
class Individual:
    """A candidate that has a result, with its fitness: the greater the better.

    With one objective fitness is its value (of a cost, the negative); with several it is the share of the candidates
    that stand behind it.
    """

    candidate: Candidate
    fitness: float

    @property
    def id(self) -> int:
        return self.candidate.id


@dataclass(frozen=True)
class View:
    """A state as the choices see it: its evidence, the costs of each objective and the order of the candidates.

    Worked out when it is asked for, once. `limits` are the greatest values (latency, memory) that a network may have:
    those within them stand before the others.
    """

    state: State
    evidence: Evidence
    objectives: tuple[Objective, ...]
    limits: tuple[tuple[Objective, float], ...]

    @cached_property
    def estimate(self) -> Estimate:
        return estimate(self.evidence)

    @property
    def ids(self) -> tuple[int, ...]:
        """Candidates that have a result: a row each in all arrays."""
        return self.evidence.ids

    @property
    def row_of(self) -> Mapping[int, int]:
        """The row of each of them."""
        return self.evidence.row_of

    @cached_property
    def costs(self) -> Floats:
        """(n, m), less is better."""
        columns = [
            -self.estimate.mean if one.name == "psnr" else one.costs(self.state, self.ids) for one in self.objectives
        ]
        return np.stack(columns, axis=1) if self.ids else np.zeros((0, len(columns)))

    @cached_property
    def violation(self) -> Floats:
        """By how much each candidate exceeds the limits, relative to them, (n,); 0 within them."""
        total = np.zeros(len(self.ids))
        for objective, limit in self.limits:
            total += np.maximum(0.0, objective.values(self.state, self.ids) / limit - 1)
        return total

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Rows, the best first: by non-dominated front, within it the least crowded first; ties by id."""
        costs, violation = self.costs, self.violation
        if costs.shape[1] == 1:
            return tuple(np.lexsort((np.array(self.ids), costs[:, 0], violation)).tolist())
        found: list[int] = []
        for front in fronts(finite(costs), violation):
            distance = crowding(finite(costs[front]))
            found += front[np.lexsort((np.array(self.ids)[front], -distance))].tolist()
        return tuple(found)

    def best(self, count: int) -> tuple[Individual, ...]:
        """So many of the candidates that have a result, the best first."""
        return self.individuals(self.order[:count])

    def individuals(self, rows: Iterable[int]) -> tuple[Individual, ...]:
        """Candidates by their rows."""
        if self.costs.shape[1] == 1:
            return tuple(Individual(self.state.candidates[self.ids[row]], -float(self.costs[row, 0])) for row in rows)
        places = {row: place for place, row in enumerate(self.order)}
        return tuple(
            Individual(self.state.candidates[self.ids[row]], 1 - places[row] / len(self.order)) for row in rows
        )

    @cached_property
    def front(self) -> tuple[int, ...]:
        """Ids of the non-dominated candidates; of PSNR alone, the best one. The best in the first objective first."""
        if not self.ids:
            return ()
        if self.costs.shape[1] == 1:
            rows = self.order[:1]
        else:
            rows = tuple(int(row) for row in first_front(finite(self.costs), self.violation))
        return tuple(self.ids[row] for row in sorted(rows, key=lambda row: tuple(self.costs[row])))


def view_of(
    state: State,
    objectives: tuple[Objective, ...] = (OBJECTIVES["psnr"],),
    limits: tuple[tuple[Objective, float], ...] = (),
) -> View:
    """The view of a state by itself; an algorithm has one that goes on from state to state."""
    return View(state, gather(state), objectives, limits)


def finite(costs: Floats) -> Floats:
    """The costs, what was not measured being worse than all that was."""
    return np.where(np.isfinite(costs), costs, WORST)
