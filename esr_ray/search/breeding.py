"""How a new candidate is made: at random, from one parent, or from two; never a network that was asked for before."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from esr_ray.search.ranking import Individual
from esr_ray.search.selection import Selection
from esr_ray.search.variation import crossover, mutate
from esr_ray.space.genome import Genome, decode
from esr_ray.space.sample import repair, sample_genome
from esr_ray.space.space import Space
from esr_ray.space.spec import Arch

NOVELTY_TRIES = 30
"""Times that a child is varied anew because its network was already asked for."""


@dataclass(frozen=True)
class Child:
    """A genome, how it was made, and the ids of its parents."""

    genome: Genome
    operator: str
    parents: tuple[int, ...] = ()


class Breeding(Protocol):
    """Makes the children of a pool."""

    def child(self, slot: int, pool: Sequence[Individual], space: Space, rng: np.random.Generator) -> Child:
        """Child number `slot` of its generation; at random where the pool is empty."""


def new_children(make: Callable[[], Child], known: Container[Arch], wanted: int) -> list[Child]:
    """So many different children, of networks that are not known; fewer if NOVELTY_TRIES in a row gave none."""
    children: dict[Arch, Child] = {}
    tries = 0
    while len(children) < wanted and tries < NOVELTY_TRIES:
        child = make()
        arch = decode(child.genome)
        tries += 1
        if arch not in known and arch not in children:
            children[arch], tries = child, 0
    return list(children.values())


def random_child(space: Space, rng: np.random.Generator) -> Child:
    """A child without parents."""
    return Child(sample_genome(space, rng), "random")


def mutant(parent: Individual, rate: float, space: Space, rng: np.random.Generator) -> Child:
    """A parent with some flags flipped and some blocks drawn anew (and its frame, of several), repaired."""
    genome = parent.candidate.genome
    changed = repair(mutate(genome, space, rate, rng), space, rng)
    return Child(changed or genome, "mutation", (parent.id,))


def crossed(pool: Sequence[Individual], selection: Selection, space: Space, rng: np.random.Generator) -> Child:
    """One of two parents with a segment of the other, repaired."""
    one, other = selection.choose(pool, 2, rng)
    genome, _ = crossover(one.candidate.genome, other.candidate.genome, rng)
    return Child(repair(genome, space, rng) or one.candidate.genome, "crossover", (one.id, other.id))


def varied(parents: Sequence[Child], rate: float, space: Space, rng: np.random.Generator) -> Child:
    """A child of children that were never trained, by crossover or mutation, half and half; its parents are theirs."""
    one, other = (parents[int(rng.integers(len(parents)))] for _ in range(2))
    if one is not other and rng.random() < 0.5:
        genome, _ = crossover(one.genome, other.genome, rng)
        theirs = tuple(dict.fromkeys((*one.parents, *other.parents)))
        return Child(repair(genome, space, rng) or one.genome, "crossover", theirs)
    changed = repair(mutate(one.genome, space, rate, rng), space, rng)
    return Child(changed or one.genome, "mutation", one.parents)


@dataclass(frozen=True)
class PaperBreeding:
    """Of a generation of n, 2·(n//4) by crossover and the rest mutants: of elite i where the elite is half the
    generation, else of a random one of the elite (method, "The reference's search")."""

    size: int
    elite: int
    mutation_rate: float
    selection: Selection

    def child(self, slot: int, pool: Sequence[Individual], space: Space, rng: np.random.Generator) -> Child:
        if not pool:
            return random_child(space, rng)
        crossovers = 2 * (self.size // 4) if len(pool) >= 2 else 0
        if slot < crossovers:
            return crossed(pool, self.selection, space, rng)
        elite, index = pool[: self.elite], slot - crossovers
        if self.size // 2 != self.elite or index >= len(elite):
            index = int(rng.integers(len(elite)))
        return mutant(elite[index], self.mutation_rate, space, rng)


@dataclass(frozen=True)
class MixedBreeding:
    """A child by crossover or by mutation, at random, of parents that are selected; some children at random."""

    mutation_rate: float
    selection: Selection
    crossover_share: float = 0.5
    random_share: float = 0.05

    def child(self, slot: int, pool: Sequence[Individual], space: Space, rng: np.random.Generator) -> Child:
        drawn = rng.random()
        if not pool or drawn < self.random_share:
            return random_child(space, rng)
        if len(pool) >= 2 and drawn < self.random_share + self.crossover_share:
            return crossed(pool, self.selection, space, rng)
        return mutant(self.selection.choose(pool, 1, rng)[0], self.mutation_rate, space, rng)
