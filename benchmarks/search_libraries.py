"""Searches of other libraries, for benchmarks/search.py: Optuna (TPE, Hyperband) and pymoo (NSGA-II).

As a user of theirs would write them: a network is a handful of parameters for each node, what is suggested is repaired
into the space and trained, and its value is told for what was suggested.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from search_contenders import longer
from search_features import choices_of
from search_rows import LENGTHS
from search_world import Contender, Log, Named, World, until_spent

from esr_ray.randomness import generator
from esr_ray.space.genome import Genome, decode
from esr_ray.space.sample import repair, sample_genome
from esr_ray.space.space import Space

POPULATION = 20
"""Of NSGA-II."""


def tpe(world: World, budget_s: float, seed: int, multivariate: bool = False) -> Named:
    """Optuna's TPE by short trainings."""
    import optuna

    log, rng = Log(world, seed), generator(seed, "TPE")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=multivariate, constant_liar=False),
    )
    with until_spent():
        while True:
            trial = study.ask()
            repaired = _suggested(trial, world.space, rng)
            if repaired is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            study.tell(trial, log.observe(decode(repaired)))
    return log.named()


def hyperband(world: World, budget_s: float, seed: int) -> Named:
    """Optuna's Hyperband over the lengths of training, with TPE; a longer training starts anew, at its full cost."""
    import optuna

    log, rng = Log(world, seed), generator(seed, "Hyperband")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        # Which trial is of which bracket goes by the name.
        study_name=f"search {seed}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(min_resource=LENGTHS[0], max_resource=LENGTHS[-1], reduction_factor=3),
    )
    with until_spent():
        while True:
            trial = study.ask()
            repaired = _suggested(trial, world.space, rng)
            if repaired is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            for length in LENGTHS:
                value = log.observe(decode(repaired), length)
                trial.report(value, length)
                if length < LENGTHS[-1] and trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, value)
    return log.named()


def _suggested(trial: Any, space: Space, rng: np.random.Generator) -> Genome | None:
    """A genome of a trial's parameters, repaired. Numbers are suggested as such, so that their order is known."""
    choices = choices_of(space)
    convs, growths, outs = choices.convs, choices.growths, choices.outs
    flags, names = [], []
    for node in range(space.node_num):
        flags.append(trial.suggest_categorical(f"active {node}", [False, True]))
        letter = trial.suggest_categorical(f"type {node}", choices.letters)
        conv = convs[trial.suggest_int(f"convs {node}", 0, len(convs) - 1)]
        growth = growths[trial.suggest_int(f"growth {node}", 0, len(growths) - 1)]
        # OUT is never below the growth rate.
        out = max(growth, outs[trial.suggest_int(f"out {node}", 0, len(outs) - 1)])
        names.append(f"{letter}_{conv}_{growth}_{out}")
    return repair(Genome(tuple(flags), tuple(names)), space, rng)


def nsga2(world: World, budget_s: float, seed: int, population: int = POPULATION) -> Named:
    """pymoo's NSGA-II: short PSNR against mult-adds; a node is a number, 0 for off. The best PSNR is named."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.core.repair import Repair
    from pymoo.core.sampling import Sampling
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.problems.static import StaticProblem

    log, rng, space = Log(world, seed), generator(seed, "NSGA-II"), world.space
    names = space.vocabulary.names
    numbers = {name: number for number, name in enumerate(names, 1)}

    def coded(genome: Genome) -> list[int]:
        return [numbers[name] if on else 0 for on, name in zip(genome.active, genome.blocks, strict=True)]

    def drawn_node() -> int:
        return numbers[space.vocabulary.draw(rng)] if rng.random() < 0.5 else 0

    def read(row: np.ndarray) -> Genome:
        flags = tuple(bool(number > 0) for number in row)
        return Genome(flags, tuple(names[number - 1] if number else space.vocabulary.draw(rng) for number in row))

    class Drawn(Sampling):  # type: ignore[misc]
        def _do(self, problem: Any, n_samples: int, **given: Any) -> np.ndarray:
            return np.array([coded(sample_genome(space, rng)) for _ in range(n_samples)])

    class Redrawn(Mutation):  # type: ignore[misc]
        def _do(self, problem: Any, X: np.ndarray, **given: Any) -> np.ndarray:
            anew = rng.random(X.shape) < 1 / X.shape[1]
            return np.array([[drawn_node() if new else old for old, new in zip(*pair, strict=True)]
                             for pair in zip(X, anew, strict=True)])  # fmt: skip

    class Repaired(Repair):  # type: ignore[misc]
        def _do(self, problem: Any, X: np.ndarray, **given: Any) -> np.ndarray:
            found = (repair(read(row), space, rng) for row in X.astype(int))
            return np.array([coded(sample_genome(space, rng) if one is None else one) for one in found])

    problem = Problem(n_var=space.node_num, n_obj=2, xl=0, xu=len(names), vtype=int)
    algorithm = NSGA2(
        pop_size=population, sampling=Drawn(), crossover=UniformCrossover(), mutation=Redrawn(), repair=Repaired()
    )
    algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed, verbose=False)
    with until_spent():
        while True:
            asked = algorithm.ask()
            if asked is None or len(asked) == 0:
                break
            archs = [decode(read(row)) for row in asked.get("X").astype(int)]
            values = np.array([[-log.observe(arch), world.cost(arch).mult_adds] for arch in archs])
            Evaluator().eval(StaticProblem(problem, F=values), asked)
            algorithm.tell(infills=asked)
    return log.named()


def installed() -> tuple[dict[str, Contender], list[str]]:
    """Contenders whose library is installed, and a line for each that is missing."""
    found: dict[str, Contender] = {}
    missing = []
    for library, contenders in {
        "optuna": {
            "Optuna TPE": tpe,
            "Optuna TPE, multivariate": partial(tpe, multivariate=True),
            "Optuna Hyperband": hyperband,
        },
        "pymoo": {"pymoo NSGA-II": nsga2, "pymoo NSGA-II, 3x": partial(longer, nsga2)},
    }.items():
        if find_spec(library) is None:
            missing.append(
                f"{', '.join(contenders)}: left out, {library} is not installed (pip install '.[benchmarks]')"
            )
        else:
            found |= contenders
    return found, missing
