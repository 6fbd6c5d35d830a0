"""Choosing parents from a pool that is ordered, the best first: by tournament and by roulette (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from esr_ray.search.ranking import Individual


class Selection(Protocol):
    """How parents are chosen."""

    def choose(self, pool: Sequence[Individual], count: int, rng: np.random.Generator) -> list[Individual]:
        """`count` different individuals of the pool, or all where it has fewer."""


@dataclass(frozen=True)
class Tournament:
    """Each parent is the best of `size` that are drawn at random from those not chosen yet."""

    size: int = 2

    def choose(self, pool: Sequence[Individual], count: int, rng: np.random.Generator) -> list[Individual]:
        left = list(pool)
        chosen: list[Individual] = []
        for _ in range(min(count, len(left))):
            drawn = rng.choice(len(left), size=min(self.size, len(left)), replace=False)
            # The pool is ordered: the best of them stands first.
            chosen.append(left.pop(int(drawn.min())))
        return chosen


@dataclass(frozen=True)
class Roulette:
    """With probability proportional to fitness - min(fitness); where all that are left are equal, each is as likely."""

    def choose(self, pool: Sequence[Individual], count: int, rng: np.random.Generator) -> list[Individual]:
        left = list(pool)
        chosen: list[Individual] = []
        for _ in range(min(count, len(left))):
            fitness = np.array([one.fitness for one in left])
            weights = fitness - fitness.min()
            total = weights.sum()
            index = int(rng.choice(len(left), p=weights / total if total > 0 else None))
            chosen.append(left.pop(index))
        return chosen
