"""Searches that benchmarks/search.py compares, all by short trainings but where it is said.

Each is a function (world, budget in device seconds, seed) -> Named. Networks outside the budget of the space are
repaired before they are trained, for all alike, but for the reference's loop, which has its own repair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from search_rows import Arch
from search_world import LONGEST, Contender, Log, Named, World, until_spent

from esr_ray.randomness import generator
from esr_ray.space.genome import Genome, decode
from esr_ray.space.sample import repair, sample_genome
from esr_ray.space.space import Space

INDIVIDUALS, ELITES, REFERENCE_RATE = 8, 4, 0.05
"""The reference's."""
POPULATION, SAMPLE = 30, 10
"""Of regularised evolution."""
STARTS = 10
"""Random networks from the best of which a local search starts."""
LONGER = 3
"""Short trainings that a longer one costs."""
SHORT_PART = 0.6
"""Of the budget, where the rest goes to long trainings of the best."""


def random_search(world: World, budget_s: float, seed: int) -> Named:
    """Random networks until the budget is spent."""
    log, rng = Log(world, seed), generator(seed, "random search")
    with until_spent():
        while True:
            log.observe(decode(sample_genome(world.space, rng)))
    return log.named()


def changed(genome: Genome, space: Space, rng: np.random.Generator) -> Genome:
    """One node changed: a flag flipped or an active node's block drawn anew; repaired, and another network."""
    while True:
        node = int(rng.integers(space.node_num))
        if not genome.active[node] or rng.random() < 0.25:
            flags = tuple(flag != (place == node) for place, flag in enumerate(genome.active))
            proposal = replace(genome, active=flags)
        else:
            names = tuple(
                space.vocabulary.draw(rng) if place == node else name for place, name in enumerate(genome.blocks)
            )
            proposal = replace(genome, blocks=names)
        repaired = repair(proposal, space, rng)
        if repaired is not None and decode(repaired) != decode(genome):
            return repaired


def regularised_evolution(
    world: World, budget_s: float, seed: int, population: int = POPULATION, sample: int = SAMPLE
) -> Named:
    """Real et al. 2019: the oldest of the population goes; the best of a sample has a child by one mutation."""
    log, rng = Log(world, seed), generator(seed, "regularised evolution")
    alive: deque[tuple[float, Genome]] = deque(maxlen=population)
    with until_spent():
        while len(alive) < population:
            genome = sample_genome(world.space, rng)
            alive.append((log.observe(decode(genome)), genome))
        while True:
            drawn = rng.choice(len(alive), size=sample, replace=False)
            _, parent = max((alive[int(place)] for place in drawn), key=lambda one: one[0])
            child = changed(parent, world.space, rng)
            alive.append((log.observe(decode(child)), child))
    return log.named()


def local_search(world: World, budget_s: float, seed: int, starts: int = STARTS) -> Named:
    """White et al. 2021: neighbours in random order, moving to the first that is better; again where none is."""
    log, rng = Log(world, seed), generator(seed, "local search")
    with until_spent():
        while True:
            drawn = [sample_genome(world.space, rng) for _ in range(starts)]
            value, here = max(((log.observe(decode(genome)), genome) for genome in drawn), key=lambda one: one[0])
            while (step := _better_neighbour(here, value, log, world.space, rng)) is not None:
                value, here = step
    return log.named()


def _better_neighbour(
    here: Genome, value: float, log: Log, space: Space, rng: np.random.Generator
) -> tuple[float, Genome] | None:
    """The first better one of all that differ in one node's block or flag and keep the constraints."""
    nodes = range(space.node_num)
    flips = [replace(here, active=tuple(flag != (at == node) for at, flag in enumerate(here.active))) for node in nodes]
    substitutions = [
        replace(here, blocks=(*here.blocks[:node], name, *here.blocks[node + 1 :]))
        for node in nodes
        if here.active[node]
        for name in space.vocabulary.names
        if name != here.blocks[node]
    ]
    # What stands in a node that is off does not matter until it is switched on: then any block may.
    arrivals = [
        replace(genome, blocks=(*genome.blocks[:node], name, *genome.blocks[node + 1 :]))
        for node, genome in enumerate(flips)
        if not here.active[node]
        for name in space.vocabulary.names
    ]
    departures = [genome for node, genome in enumerate(flips) if here.active[node]]
    neighbours = [one for one in (*substitutions, *arrivals, *departures) if space.allows(decode(one))]
    for place in rng.permutation(len(neighbours)):
        found = log.observe(decode(neighbours[int(place)]))
        if found > value:
            return found, neighbours[int(place)]
    return None


def reference_loop(world: World, budget_s: float, seed: int, rate: float = REFERENCE_RATE) -> Named:
    """The reference's search as released: no check for duplicates, its own repair, every training with a new seed."""
    log, rng, space = Log(world, seed), generator(seed, "reference's loop"), world.space
    trained = 0

    def train(genome: Genome) -> tuple[float, Genome]:
        nonlocal trained
        arch = decode(genome)
        # NumPy and Python are not seeded there: the same network gets another value each time.
        value = world.observe(arch, 1, seed + 1_000_003 * trained)
        trained += 1
        log.record(arch, value)
        return value, genome

    def fresh() -> Genome:
        flags = tuple(bool(flag) for flag in rng.random(space.node_num) < 0.5)
        drawn = Genome(flags, tuple(space.vocabulary.draw(rng) for _ in range(space.node_num)))
        return _reference_repair(drawn, space, rate, rng)

    with until_spent():
        population = [train(fresh()) for _ in range(INDIVIDUALS)]
        elites = _best(population)
        while True:
            crossed = 2 * (INDIVIDUALS // 4)
            mutants = INDIVIDUALS - crossed
            for place in range(mutants):
                fitness, genome = elites[place if INDIVIDUALS // 2 == ELITES else int(rng.integers(ELITES))]
                flags = tuple(
                    bool(a ^ f) for a, f in zip(genome.active, rng.random(space.node_num) < rate, strict=True)
                )
                mutant = _reference_repair(replace(genome, active=flags), space, rate, rng)
                mutant = _reference_repair(_redrawn(mutant, space, rate, rng), space, rate, rng)
                # Mutants overwrite the population, with their parent's fitness, before the roulette reads it.
                population[place] = (fitness, mutant)
            children: list[Genome] = [genome for _, genome in population[:mutants]]
            for _ in range(crossed // 2):
                one, other = _roulette([*elites, *population], rng)
                children += [_reference_repair(child, space, rate, rng) for child in _swapped(one, other, rng)]
            population = [train(child) for child in children]
            elites = _best([*elites, *population])
    return log.named()


def _best(individuals: list[tuple[float, Genome]]) -> list[tuple[float, Genome]]:
    """The elites. Ties favour children, which stand last."""
    order = sorted(range(len(individuals)), key=lambda place: (-individuals[place][0], -place))
    return [individuals[place] for place in order[:ELITES]]


def _roulette(pool: list[tuple[float, Genome]], rng: np.random.Generator) -> list[Genome]:
    """Two different parents, by (f - min f) / sum. All equal would divide by 0 there: any two here."""
    weights = np.array([fitness for fitness, _ in pool])
    weights -= weights.min()
    chances = weights / weights.sum() if np.count_nonzero(weights) >= 2 else None
    return [pool[int(place)][1] for place in rng.choice(len(pool), size=2, replace=False, p=chances)]


def _swapped(one: Genome, other: Genome, rng: np.random.Generator) -> list[Genome]:
    """Two children: a segment of 4 to node_num/2 - 1 nodes swapped; of the longest that is there in short genomes."""
    longest = max(1, len(one.active) // 2 - 1)
    length = int(rng.integers(min(4, longest), longest + 1))
    start = int(rng.integers(len(one.active) - length + 1))
    end = start + length

    def spliced(receiver: Genome, giver: Genome) -> Genome:
        return Genome(
            (*receiver.active[:start], *giver.active[start:end], *receiver.active[end:]),
            (*receiver.blocks[:start], *giver.blocks[start:end], *receiver.blocks[end:]),
        )

    return [spliced(one, other), spliced(other, one)]


def _redrawn(genome: Genome, space: Space, rate: float, rng: np.random.Generator) -> Genome:
    drawn = rng.random(space.node_num) < rate
    return replace(
        genome,
        blocks=tuple(
            space.vocabulary.draw(rng) if active and new else name
            for active, new, name in zip(genome.active, drawn, genome.blocks, strict=True)
        ),
    )


def _reference_repair(genome: Genome, space: Space, rate: float, rng: np.random.Generator) -> Genome:
    """Flags flipped until enough are on, then blocks drawn anew until the count fits, pass by pass, without a limit."""
    while genome.num_active < max(1, space.min_active):
        flips = rng.random(space.node_num) < rate
        genome = replace(genome, active=tuple(bool(a ^ f) for a, f in zip(genome.active, flips, strict=True)))
    while space.violation(decode(genome)) > 0:
        before = genome
        while genome == before:
            genome = _redrawn(genome, space, rate, rng)
    return genome


def then_long(search: Contender, world: World, budget_s: float, seed: int) -> Named:
    """Another contender with a part of the budget; for the rest of it, its best observed are trained long."""
    watched = _Watched(world.truth, SHORT_PART * budget_s, world.spent_s)
    early = search(watched, watched.budget_s, seed)
    world.spent_s = watched.spent_s
    log = Log(world, seed, trail=early.trail)
    with until_spent():
        for arch in sorted(watched.seen, key=watched.seen.__getitem__, reverse=True):
            log.observe(arch, LONGEST)
    return log.named() if log.values.get(LONGEST) else early


def longer(search: Contender, world: World, budget_s: float, seed: int) -> Named:
    """Another contender with trainings LONGER times as long as the short ones, and so fewer."""
    return search(_Longer(world.truth, budget_s), budget_s, seed)


class _Longer(World):
    """A world whose trainings are longer than was asked for."""

    def observe(self, arch: Arch, length: int, seed: int) -> float:
        return super().observe(arch, LONGER * length, seed)


class _Watched(World):
    """A world that remembers what was observed in it."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.seen: dict[Arch, float] = {}

    def observe(self, arch: Arch, length: int, seed: int) -> float:
        value = super().observe(arch, length, seed)
        self.seen[arch] = max(value, self.seen.get(arch, value))
        return value


REFERENCE = "reference's loop"
PLAIN: dict[str, Callable[[World, float, int], Named]] = {
    "random search": random_search,
    REFERENCE: reference_loop,
    "reference's loop, rate 0.2": partial(reference_loop, rate=0.2),
    "regularised evolution": regularised_evolution,
    "local search": local_search,
    "random search, 3x": partial(longer, random_search),
    "regularised evolution, 3x": partial(longer, regularised_evolution),
    "random search, then long": partial(then_long, random_search),
    "regularised evolution, then long": partial(then_long, regularised_evolution),
}
"""Contenders that need nothing but NumPy."""
