"""The product's own search as a contender of benchmarks/search.py: its parts one by one, and together.

The algorithm is put together from a configuration, as a user would, and runs over a few devices in virtual time.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from common import FOLDER
from search_contenders import LONGER
from search_world import BudgetSpent, Named, World

from esr_ray.config.load import check_config, load_config
from esr_ray.config.reference import PAPER_LOOP
from esr_ray.metrics import Quality
from esr_ray.randomness import generator
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.job import Job, Outcome
from esr_ray.search.make import make_algorithm
from esr_ray.search.ranking import Individual, View
from esr_ray.search.state import State, tell, with_asked
from esr_ray.search.survival import Survival
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome

DEVICES = 4
"""So many train at once: choices do not see what is under way."""
MARGIN = 0.96
"""Of the budget in steps: what evolution finds costs more seconds a step than random networks do."""

PAPER = PAPER_LOOP | {"mutation_rate": 0.1}
STEADY = PAPER | {"schedule": "steady"}
PROMOTION = {"promotion": {"lengths": [1, 3], "keep": 0.5}}
FEW_PROMOTED = {"promotion": {"lengths": [1, 3], "keep": 0.25}}
MOST_PROMOTED = {"promotion": {"lengths": [1, 3], "keep": 0.9}}
TO_10X = {"promotion": {"lengths": [1, 10 / LONGER], "keep": 0.1}}
RACE = {"race": {"share": 0.1, "confidence": 0.95, "tolerance": 0.01}}
RIDGE = {"predictor": "ridge", "proposals": 400}
ONE_ROUND = {"proposals": 20}
ALL = STEADY | RACE | RIDGE
FRONT = {"objectives": ["psnr", "mult_adds"]}


@dataclass(frozen=True)
class Variant:
    """Keys of `evolution`, and the length of a birth's training in short ones.

    With proposals that a predictor has chosen, surer figures of fewer networks are worth more: LONGER. With `survival`
    the pool of parents is another one than a configuration can ask for.
    """

    keys: dict[str, Any]
    length: int = 1
    survival: Survival | None = None


@dataclass(frozen=True)
class Youngest:
    """The last that were born, as in regularised evolution (Real et al. 2019)."""

    size: int

    def pool(self, view: View) -> tuple[Individual, ...]:
        young = set(sorted(view.ids)[-self.size :])
        return view.individuals(row for row in view.order if view.ids[row] in young)


VARIANTS: dict[str, Variant] = {
    "ours, the paper's": Variant(PAPER),
    "ours, steady": Variant(STEADY),
    "ours, steady, 3x": Variant(STEADY, LONGER),
    "ours, steady, promotion": Variant(STEADY | PROMOTION),
    "ours, steady, race": Variant(STEADY | RACE),
    "ours, steady, ridge": Variant(STEADY | RIDGE),
    "ours, all": Variant(ALL, LONGER),
    "ours, all, in generations": Variant(ALL | {"schedule": "generational"}, LONGER),
    "ours, all, at 1x": Variant(ALL),
    "ours, all, at 1x with promotion": Variant(ALL | PROMOTION),
    "ours, all, at 1x with promotion of a quarter": Variant(ALL | FEW_PROMOTED),
    "ours, all, at 1x with promotion of nine in ten": Variant(ALL | MOST_PROMOTED),
    "ours, all, promotion to 10x": Variant(ALL | TO_10X, LONGER),
    "ours, all but race": Variant(STEADY | RIDGE, LONGER),
    "ours, all but ridge": Variant(STEADY | RACE, LONGER),
    "ours, all, one round of proposals": Variant(ALL | ONE_ROUND, LONGER),
    "ours, all, ageing": Variant(ALL, LONGER, Youngest(16)),
    "ours, all but ridge, ageing": Variant(STEADY | RACE, LONGER, Youngest(16)),
    "ours, all, front": Variant(ALL | FRONT, LONGER),
    "ours, all, front, at 1x": Variant(ALL | PROMOTION | FRONT),
}


def run(world: World, budget_s: float, seed: int, variant: Variant) -> Named:
    """Search in this way until the budget is spent."""
    algorithm = _algorithm(world, budget_s, seed, variant)
    short = algorithm.budget.birth_steps // variant.length
    state, now = State(), 0.0
    running: list[tuple[float, int, Job, float]] = []
    trail: list[tuple[float, tuple[str, ...]]] = []
    try:
        while True:
            for job in algorithm.ask(state, DEVICES - len(running)):
                length = job.steps // short
                value = world.observe(job.candidate.arch, length, job.seed)
                state = with_asked(state, job)
                ends = now + world.seconds(job.candidate.arch, length)
                heapq.heappush(running, (ends, job.id, job, value))
            if not running:
                break
            now, state = _end(running, state)
            _name(algorithm, state, world, trail)
    except BudgetSpent:
        while running:
            now, state = _end(running, state)
        _name(algorithm, state, world, trail)
    front = tuple(state.candidates[one].arch for one in _front(algorithm, state))
    return Named(trail[-1][1], front, trail)


def _end(running: list[tuple[float, int, Job, float]], state: State) -> tuple[float, State]:
    now, _, job, value = heapq.heappop(running)
    return now, tell(state, Outcome(job.id, Quality(value, value, 0.9)))


def _name(algorithm: Algorithm, state: State, world: World, trail: list[tuple[float, tuple[str, ...]]]) -> None:
    verdict = algorithm.verdict(state)
    if verdict is not None and (not trail or trail[-1][1] != verdict.winner.candidate.arch):
        trail.append((world.spent_s, verdict.winner.candidate.arch))


def _front(algorithm: Algorithm, state: State) -> tuple[int, ...]:
    """The front of PSNR and mult-adds, whatever was searched for."""
    from esr_ray.search.objectives import OBJECTIVES
    from esr_ray.search.ranking import view_of

    return view_of(state, (OBJECTIVES["psnr"], OBJECTIVES["mult_adds"])).front


def _algorithm(world: World, budget_s: float, seed: int, variant: Variant) -> Algorithm:
    sampled = [decode(sample_genome(world.space, generator(0, "mean network", index))) for index in range(200)]
    trainings = MARGIN * budget_s / float(np.mean([world.seconds(arch, variant.length) for arch in sampled]))
    config = load_config(FOLDER / "search_space.yml").config
    content = config.model_dump(mode="json") | {"seed": seed}
    content["evolution"] |= {"num_individual": 8, "num_elitism": 4, "num_generation": round(trainings / 8)}
    content["evolution"] |= variant.keys
    content["fast_training"]["steps"] *= variant.length
    made = make_algorithm(check_config(content, "benchmarks/search_ours.py"), world.space)
    return made if variant.survival is None else replace(made, survival=variant.survival)


OURS = {name: partial(run, variant=variant) for name, variant in VARIANTS.items()}
