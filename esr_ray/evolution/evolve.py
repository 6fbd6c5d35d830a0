"""`ask` for candidates, `tell` their fitness: the generational loop of the paper over a frozen state.

Both are functions of the state, the configuration and the seed alone (randomness is keyed by seed and candidate id),
so a search that is interrupted is rebuilt by telling again what was finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from esr_ray.config.schema import EvolutionConfig
from esr_ray.evolution.population import Candidate, Individual, State
from esr_ray.evolution.selection import fitness_of, roulette, tournament
from esr_ray.evolution.variation import crossover, mutate
from esr_ray.randomness import generator
from esr_ray.space.counts import Arch, mult_adds_720p
from esr_ray.space.genome import Genome, decode
from esr_ray.space.sample import repair, sample_genome
from esr_ray.space.space import Space

NOVELTY_TRIES = 30
"""Times that a child is varied anew because its network was already asked for."""


def ask(state: State, space: Space, config: EvolutionConfig, seed: int) -> tuple[Candidate, ...]:
    """The candidates of the state's generation: random ones first, later 2·(n//4) by crossover, the rest mutants.

    A child whose network was asked for before is varied anew, NOVELTY_TRIES times; then it is taken with `same_as`.
    """
    builder = _Builder(state, space, config, seed)
    parents = _parents(state)
    pairs = config.num_individual // 4 if len(parents) >= 2 else 0
    for _ in range(pairs):
        builder.add_crossover(parents)
    mutants = config.num_individual - 2 * pairs
    for index in range(mutants):
        if parents:
            builder.add_mutant(index)
        else:
            builder.add_random()
    return tuple(builder.children)


def tell(
    state: State,
    candidates: Sequence[Candidate],
    fitness: Mapping[int, float | None],
    config: EvolutionConfig,
) -> State:
    """The state after a generation. `fitness` is by the id that was trained, None for the failed; order never matters.

    Ties favour children, then the lower id.
    """
    children = tuple(
        Individual(one, fitness[one.id if one.same_as is None else one.same_as])
        for one in sorted(candidates, key=lambda one: one.id)
    )
    trained = state.trained | {(one.arch, one.id) for one in candidates if one.same_as is None}
    return State(
        generation=state.generation + 1,
        next_id=max((one.id + 1 for one in candidates), default=state.next_id),
        population=children,
        elite=_elite(children, state.elite, config.num_elitism),
        trained=frozenset(trained),
    )


def with_late(state: State, late: Sequence[tuple[Candidate, float | None]], config: EvolutionConfig) -> State:
    """The state after candidates of finished generations were trained again: only the elite can change."""
    returned = tuple(Individual(one, value) for one, value in sorted(late, key=lambda pair: pair[0].id))
    return replace(state, elite=_elite(returned, state.elite, config.num_elitism))


def _elite(children: Sequence[Individual], archive: Sequence[Individual], size: int) -> tuple[Individual, ...]:
    alive = [one for one in (*children, *archive) if one.fitness is not None]
    # Sorting is stable: children stand before the archive, each by id.
    ranked = sorted(alive, key=fitness_of, reverse=True)
    elite: dict[Arch, Individual] = {}
    for one in ranked:
        elite.setdefault(one.candidate.arch, one)
    return tuple(elite.values())[:size]


def _parents(state: State) -> list[Individual]:
    """Elite and population, without the failed; one individual for each network."""
    pool: dict[Arch, Individual] = {}
    for one in (*state.elite, *state.population):
        if one.fitness is not None:
            pool.setdefault(one.candidate.arch, one)
    return sorted(pool.values(), key=lambda one: one.id)


class _Builder:
    """Collects the children of one generation; each knows the networks of those before it."""

    def __init__(self, state: State, space: Space, config: EvolutionConfig, seed: int) -> None:
        self.state, self.space, self.config, self.seed = state, space, config, seed
        self.children: list[Candidate] = []
        self.trained: dict[Arch, int] = dict(state.trained)

    def _rng(self, operator: str) -> np.random.Generator:
        return generator(self.seed, operator, self.state.next_id + len(self.children))

    def add_random(self) -> None:
        rng = self._rng("sample")
        self._add(self._novel(lambda: [sample_genome(self.space, rng)]), "random", ())

    def add_mutant(self, index: int) -> None:
        """A mutant of elite `index` where the elite is half the generation, of a random elite elsewhere."""
        rng = self._rng("mutation")
        elite = self.state.elite
        if self.config.num_individual // 2 != self.config.num_elitism or index >= len(elite):
            index = int(rng.integers(len(elite)))
        parent = elite[index]

        def vary() -> list[Genome]:
            changed = mutate(parent.candidate.genome, self.space.vocabulary, self.config.mutation_rate, rng)
            return [repair(changed, self.space, rng) or parent.candidate.genome]

        self._add(self._novel(vary), "mutation", (parent.id,))

    def add_crossover(self, pool: Sequence[Individual]) -> None:
        """Two children of two parents; parents are chosen anew where a child is not a new network."""
        rng = self._rng("crossover")
        chosen: list[Individual] = []

        def vary() -> list[Genome]:
            if self.config.selection == "tournament":
                chosen[:] = tournament(pool, 2, self.config.tournament_size, rng)
            else:
                chosen[:] = roulette(pool, 2, rng)
            one, other = (parent.candidate.genome for parent in chosen)
            first, second = crossover(one, other, rng)
            return [repair(first, self.space, rng) or one, repair(second, self.space, rng) or other]

        genomes = self._novel(vary)
        self._add(genomes, "crossover", tuple(parent.id for parent in chosen))

    def _novel(self, vary: Callable[[], list[Genome]]) -> list[Genome]:
        genomes = vary()
        for _ in range(NOVELTY_TRIES):
            archs = {decode(genome) for genome in genomes}
            if len(archs) == len(genomes) and not archs & self.trained.keys():
                break
            genomes = vary()
        return genomes

    def _add(self, genomes: Sequence[Genome], operator: str, parents: tuple[int, ...]) -> None:
        for genome in genomes:
            arch = decode(genome)
            cost = self.space.cost(arch)
            candidate = Candidate(
                id=self.state.next_id + len(self.children),
                generation=self.state.generation,
                genome=genome,
                arch=arch,
                operator=operator,
                parents=parents,
                params=cost.params,
                mult_adds=mult_adds_720p(cost, self.space.scale),
                same_as=self.trained.get(arch),
            )
            self.children.append(candidate)
            self.trained.setdefault(arch, candidate.id)
