"""An algorithm from a configuration: which part stands for which key."""

from __future__ import annotations

from esr_ray.config.evolution import EvolutionConfig
from esr_ray.config.schema import Config
from esr_ray.randomness import generator
from esr_ray.search.algorithm import Algorithm, Budget
from esr_ray.search.breeding import Breeding, MixedBreeding, PaperBreeding
from esr_ray.search.objectives import OBJECTIVES, Objective
from esr_ray.search.predictor import ridge
from esr_ray.search.promotion import Promotion
from esr_ray.search.race import Race
from esr_ray.search.schedule import Generational, Schedule, Steady
from esr_ray.search.screening import Screening
from esr_ray.search.selection import Roulette, Selection, Tournament
from esr_ray.search.survival import Best, EliteAndChildren, Survival
from esr_ray.space.genome import Genome
from esr_ray.space.sample import genome_of
from esr_ray.space.space import Space

POOL_GENERATIONS, LARGEST_POOL = 2, 128
"""Without generations as many of the best are parents as individuals in so many of them, and not more than that."""


def make_algorithm(config: Config, space: Space) -> Algorithm:
    """The search that a configuration describes. Lengths of training must be in steps (`esr_ray.config.epochs`)."""
    evolution, steps = config.evolution, config.fast_training.steps
    schedule: Schedule
    survival: Survival
    breeding: Breeding
    selection: Selection = Roulette()
    if evolution.selection == "tournament":
        selection = Tournament(evolution.tournament_size)
    size, elite = evolution.num_individual, evolution.num_elitism
    if evolution.schedule == "generational":
        schedule, survival = Generational(size), EliteAndChildren(elite, size)
        breeding = PaperBreeding(size, elite, evolution.mutation_rate, selection)
    else:
        schedule, survival = Steady(), Best(min(POOL_GENERATIONS * size, LARGEST_POOL))
        breeding = MixedBreeding(evolution.mutation_rate, selection)
    lengths = evolution.lengths(steps)
    promotion = None if evolution.promotion is None else Promotion(lengths, evolution.promotion.keep)
    screening = None
    if evolution.predictor is not None:
        screening = Screening(ridge, evolution.proposals, evolution.mutation_rate)
    race, share = None, 0.0
    if evolution.race is not None:
        race, share = Race(lengths[-1], evolution.race.confidence, evolution.race.tolerance), evolution.race.share
    return Algorithm(
        space=space,
        seed=config.seed,
        budget=Budget(evolution.num_generation * size * steps, steps, share),
        schedule=schedule,
        survival=survival,
        breeding=breeding,
        initial=size,
        founders=_founders(config, space),
        objectives=tuple(OBJECTIVES[name] for name in evolution.objectives),
        limits=limits_of(evolution),
        screening=screening,
        promotion=promotion,
        race=race,
    )


def limits_of(evolution: EvolutionConfig) -> tuple[tuple[Objective, float], ...]:
    """Objectives that have a greatest value, and these: seconds of latency, MB of memory."""
    given = (
        (OBJECTIVES["latency"], None if evolution.max_latency_ms is None else evolution.max_latency_ms / 1e3),
        (OBJECTIVES["memory"], evolution.max_memory_mb),
    )
    return tuple((objective, limit) for objective, limit in given if limit is not None)


def _founders(config: Config, space: Space) -> tuple[Genome, ...]:
    """Genomes of the networks to begin with, those that the space holds."""
    archs = filter(None, dict.fromkeys(map(space.own, config.evolution.founders)))
    return tuple(genome_of(arch, space, generator(config.seed, "founder", index)) for index, arch in enumerate(archs))
