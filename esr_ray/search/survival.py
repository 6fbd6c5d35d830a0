"""Which candidates may be parents: the best of all, or the last generation beside an archive of the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from esr_ray.search.ranking import Individual, View


class Survival(Protocol):
    """Chooses the pool of parents."""

    def pool(self, view: View) -> tuple[Individual, ...]:
        """The parents, the best first."""


@dataclass(frozen=True)
class Best:
    """The best of all that were ever trained (with several objectives: by front and crowding, as in NSGA-II)."""

    size: int

    def pool(self, view: View) -> tuple[Individual, ...]:
        return view.best(self.size)


@dataclass(frozen=True)
class EliteAndChildren:
    """An archive of the `elite` best, and the last generation of `size` (paper, section 3.3)."""

    elite: int
    size: int

    def pool(self, view: View) -> tuple[Individual, ...]:
        # Candidates are numbered in the order of their birth.
        pool = set(sorted(view.ids)[-self.size :]) | {one.id for one in view.best(self.elite)}
        return view.individuals(row for row in view.order if view.ids[row] in pool)
