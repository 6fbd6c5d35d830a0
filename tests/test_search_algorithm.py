"""`ask` and `tell`: the generations, whatever the fitness turns out to be."""

import hashlib
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import small_space

from esr_ray.config.schema import EvolutionConfig, SpaceConfig
from esr_ray.evolution.evolve import ask, tell, with_late
from esr_ray.evolution.population import State
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.genome import decode
from esr_ray.space.space import make_space

SPACE = small_space(node_num=8, min_active=3, min_params=5_000, max_params=10_000, block_types=("S", "G", "C"))


def random_fitness(arch, salt=0, failing=0.2, levels=10**6):
    """A fitness that depends on the network alone; None for a part of them; few levels give ties."""
    number = int.from_bytes(hashlib.sha256(f"{salt} {arch}".encode()).digest()[:8], "big") / 2**64
    return None if number < failing else 25 + round(number * levels) / levels


def search(space, config, seed, fitness_of, generations, order=list):
    """Every generation's candidates and the state after it."""
    state, known, history = State(), {}, []
    for _ in range(generations):
        candidates = ask(state, space, config, seed)
        known.update({one.id: fitness_of(one.arch) for one in order(candidates) if one.same_as is None})
        results = {number: known[number] for number in order(list(known))}
        state = tell(state, order(candidates), results, config)
        history.append((candidates, state))
    return history


configs = st.builds(
    lambda n, elite, rate, selection, size: EvolutionConfig(
        num_individual=n,
        num_elitism=min(elite, n),
        mutation_rate=rate,
        selection=selection,
        tournament_size=size,
    ),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.sampled_from(["tournament", "roulette"]),
    st.integers(2, 5),
)
seeds = st.integers(0, 2**40)
searches = settings(deadline=None, max_examples=40)
fitnesses = st.builds(
    lambda salt, failing, levels: lambda arch: random_fitness(arch, salt, failing, levels),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    st.sampled_from([2, 10**6]),
)


@searches
@given(configs, seeds, fitnesses)
def test_every_candidate_is_of_the_space_and_says_what_it_is(config, seed, fitness_of):
    first_of, elders = {}, {}
    for generation, (candidates, _) in enumerate(search(SPACE, config, seed, fitness_of, 4)):
        assert [one.id for one in candidates] == list(
            range(generation * config.num_individual, (generation + 1) * config.num_individual)
        )
        for one in candidates:
            assert one.generation == generation
            assert one.arch == decode(one.genome)
            assert len(one.genome.active) == len(one.genome.blocks) == SPACE.node_num
            assert set(one.genome.blocks) <= set(SPACE.vocabulary.names)
            assert SPACE.allows(one.arch)
            cost = SPACE.cost(one.arch)
            assert (one.params, one.mult_adds) == (cost.params, mult_adds_720p(cost, 2))
            # A network is asked for under one id; every later one refers to it.
            assert one.same_as == first_of.get(one.arch)
            first_of.setdefault(one.arch, one.id)
            assert all(parent in elders for parent in one.parents)
            assert all(elders[parent] is not None for parent in one.parents)
        elders |= {one.id: fitness_of(one.arch) for one in candidates}


@searches
@given(configs, seeds, fitnesses)
def test_the_elite_is_the_best_so_far_sorted_and_of_distinct_networks(config, seed, fitness_of):
    seen = {}
    for candidates, state in search(SPACE, config, seed, fitness_of, 4):
        seen |= {one.arch: fitness_of(one.arch) for one in candidates}
        alive = sorted((value for value in seen.values() if value is not None), reverse=True)
        assert [one.fitness for one in state.elite] == alive[: config.num_elitism]
        assert len({one.candidate.arch for one in state.elite}) == len(state.elite)
        assert all(one.fitness == fitness_of(one.candidate.arch) for one in (*state.elite, *state.population))
        assert state.best == (state.elite[0] if alive else None)
        assert [one.candidate for one in state.population] == list(candidates)


@searches
@given(configs, seeds, st.integers(0, 1000))
def test_the_best_never_gets_worse_even_where_results_are_not_repeated(config, seed, salt):
    """Fitness that differs from training to training, as on other hardware."""
    noise = random.Random(salt)
    best = []
    for _, state in search(SPACE, config, seed, lambda arch: noise.choice([None, noise.random()]), 5):
        best.append(state.best.fitness if state.best else float("-inf"))
    assert best == sorted(best)


@searches
@given(configs, seeds, fitnesses, st.randoms(use_true_random=False))
def test_the_order_of_results_never_matters(config, seed, fitness_of, rnd):
    def shuffled(values):
        return rnd.sample(list(values), len(values))

    assert search(SPACE, config, seed, fitness_of, 3) == search(SPACE, config, seed, fitness_of, 3, shuffled)


@searches
@given(configs, seeds, fitnesses)
def test_the_children_depend_on_state_configuration_and_seed_alone(config, seed, fitness_of):
    history = search(SPACE, config, seed, fitness_of, 3)
    for candidates, state in history[:-1]:
        assert ask(state, SPACE, config, seed) == ask(state, SPACE, config, seed)
        assert candidates != ask(state, SPACE, config, seed)
    assert history[-1][0] == ask(history[-2][1], SPACE, config, seed)
    assert ask(State(), SPACE, config, seed + 1) != history[0][0]


@searches
@given(configs, seeds, fitnesses)
def test_crossovers_come_first_and_then_mutants(config, seed, fitness_of):
    """2·(n//4) by crossover where two parents are alive, mutants of the elite, random ones where nobody is."""
    state = State()
    for candidates, after in search(SPACE, config, seed, fitness_of, 4):
        alive = {one.candidate.arch: one for one in (*state.elite, *state.population) if one.fitness is not None}
        pairs = config.num_individual // 4 if len(alive) >= 2 else 0
        rest = config.num_individual - 2 * pairs
        operators = [one.operator for one in candidates]
        assert operators == ["crossover"] * 2 * pairs + ["mutation" if alive else "random"] * rest
        for one, other in zip(candidates[: 2 * pairs : 2], candidates[1 : 2 * pairs : 2], strict=True):
            assert one.parents == other.parents
            assert len(set(one.parents)) == 2
        mutants = candidates[2 * pairs :] if alive else ()
        elite = [one.id for one in state.elite]
        for index, mutant in enumerate(mutants):
            if config.num_individual // 2 == config.num_elitism and index < len(elite):
                assert mutant.parents == (elite[index],)
            else:
                assert mutant.parents[0] in elite
                assert len(mutant.parents) == 1
        assert alive or all(one.parents == () for one in candidates)
        state = after


def test_the_references_generation_has_four_crossovers_and_a_mutant_of_each_elite():
    config = EvolutionConfig()
    (_, state), (children, _) = search(SPACE, config, 3, lambda arch: random_fitness(arch, failing=0), 2)
    assert [one.operator for one in children] == ["crossover"] * 4 + ["mutation"] * 4
    assert [one.parents[0] for one in children[4:]] == [one.id for one in state.elite]


def test_where_all_failed_the_next_generation_is_random_again():
    history = search(SPACE, EvolutionConfig(), 0, lambda arch: None, 3)
    assert {one.operator for candidates, _ in history for one in candidates} == {"random"}
    assert len({one.arch for candidates, _ in history for one in candidates}) == 24
    assert history[-1][1].elite == ()


def test_failed_individuals_are_never_parents_and_the_elite_outlives_a_failed_generation():
    config = EvolutionConfig(num_individual=8, num_elitism=4)
    (_, state), *_ = search(SPACE, config, 0, lambda arch: random_fitness(arch, failing=0), 1)
    children = ask(state, SPACE, config, 0)
    results = {one.id: one.fitness for one in state.population} | {one.id: None for one in children}
    after = tell(state, children, results, config)
    assert after.elite == state.elite
    parents = {parent for one in ask(after, SPACE, config, 0) for parent in one.parents}
    assert parents
    assert parents <= {one.id for one in state.elite}


@pytest.mark.parametrize("selection", ["tournament", "roulette"])
def test_identical_networks_are_asked_for_once_in_an_ordinary_space(selection):
    space = make_space(SpaceConfig(min_params=325_000, max_params=335_000), 2)
    config = EvolutionConfig(selection=selection)
    history = search(space, config, 0, lambda arch: random_fitness(arch, levels=2), 8)
    candidates = [one for children, _ in history for one in children]
    assert len({one.arch for one in candidates}) == len(candidates) == 64
    assert all(one.same_as is None for one in candidates)


@pytest.mark.parametrize("selection", ["tournament", "roulette"])
def test_an_exhausted_space_ends_with_duplicates_of_what_was_trained(selection):
    """Two nodes of 3 blocks: 12 networks at most, and 30 candidates."""
    space = small_space(node_num=2, min_active=1, block_types=("S",), conv_num=(1,), growth_rate=(4, 8))
    config = EvolutionConfig(num_individual=10, num_elitism=5, mutation_rate=0.5, selection=selection)
    history = search(space, config, 0, lambda arch: random_fitness(arch, failing=0), 3)
    candidates = [one for children, _ in history for one in children]
    trained = {one.id: one for one in candidates if one.same_as is None}
    assert len(trained) == 12
    for one in candidates:
        if one.same_as is not None:
            assert one.same_as < one.id
            assert trained[one.same_as].arch == one.arch
    for _, state in history:
        assert all(one.fitness is not None for one in state.population)
        assert len({one.candidate.arch for one in state.elite}) == len(state.elite) == 5


def test_a_search_with_both_selections_improves_a_smooth_fitness():
    """Fitness counts G blocks: what evolution finds beats the best of the first generation."""
    for selection in ("tournament", "roulette"):
        config = EvolutionConfig(selection=selection, mutation_rate=0.2)
        history = search(SPACE, config, 1, lambda arch: sum(name[0] == "G" for name in arch), 12)
        assert history[-1][1].best.fitness > history[0][1].best.fitness


def test_ties_favour_children_and_then_the_lower_id():
    config = EvolutionConfig(num_individual=4, num_elitism=2)
    history = search(SPACE, config, 0, lambda arch: 30.0, 2)
    assert [[one.id for one in state.elite] for _, state in history] == [[0, 1], [4, 5]]


@searches
@given(configs, seeds, st.integers(0, 1000))
def test_late_results_compete_for_the_elite_and_change_nothing_else(config, seed, salt):
    history = search(SPACE, config, seed, lambda arch: random_fitness(arch, salt, 0.6), 2)
    state = history[-1][1]
    failed = [one.candidate for _, after in history for one in after.population if one.fitness is None]
    late = [(one, random_fitness(one.arch, salt + 1, 0.3)) for one in failed if one.same_as is None]
    after = with_late(state, late, config)
    assert replace(after, elite=state.elite) == state
    assert with_late(state, late[::-1], config) == after
    values = {one.arch: value for one, value in late if value is not None}
    values |= {one.candidate.arch: one.fitness for one in state.elite}
    best = sorted(values.values(), reverse=True)
    assert [one.fitness for one in after.elite] == best[: config.num_elitism]


@pytest.mark.parametrize("package", ["space", "evolution"])
def test_neither_mindspore_nor_ray_is_imported(package):
    code = f"""
import importlib, pkgutil, sys
import esr_ray.{package} as package
modules = [one.name for one in pkgutil.iter_modules(package.__path__, package.__name__ + ".")]
assert len(modules) >= 4, modules
for name in modules:
    importlib.import_module(name)
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"mindspore", "ray", "numpy"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "['numpy']"
