"""Choosing parents: tournament and roulette, each without replacement (method, "The reference's search")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from esr_ray.evolution.population import Individual


def fitness_of(individual: Individual) -> float:
    """Fitness of an individual that did not fail."""
    if individual.fitness is None:
        raise ValueError(f"individual {individual.id} failed: it has no fitness")
    return individual.fitness


def tournament(pool: Sequence[Individual], count: int, size: int, rng: np.random.Generator) -> list[Individual]:
    """`count` different individuals: each the best of `size` drawn at random from those not chosen yet."""
    left = list(pool)
    chosen: list[Individual] = []
    for _ in range(min(count, len(left))):
        drawn = rng.choice(len(left), size=min(size, len(left)), replace=False)
        winner = max((left[int(index)] for index in drawn), key=lambda one: (fitness_of(one), -one.id))
        chosen.append(winner)
        left.remove(winner)
    return chosen


def roulette(pool: Sequence[Individual], count: int, rng: np.random.Generator) -> list[Individual]:
    """`count` different individuals with probability proportional to fitness - min(fitness).

    Where all that are left are equal, each is as likely.
    """
    left = list(pool)
    chosen: list[Individual] = []
    for _ in range(min(count, len(left))):
        fitness = np.array([fitness_of(one) for one in left])
        weights = fitness - fitness.min()
        total = weights.sum()
        index = int(rng.choice(len(left), p=weights / total if total > 0 else None))
        chosen.append(left.pop(index))
    return chosen
