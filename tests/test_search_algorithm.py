"""`ask` over both schedules, whatever the results turn out to be."""

import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import small_space
from worlds import STEPS, TWELVE, make_config, number, outcome_of, simulated

from esr_ray.config.space import SpaceConfig
from esr_ray.search.algorithm import first_of
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State, tell, with_asked
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.genome import decode
from esr_ray.space.space import make_space

SPACE = small_space(node_num=8, min_active=3, min_params=5_000, max_params=10_000, block_types=("S", "G", "C"))
PROMOTION = {"lengths": [1, 3, 9], "keep": 0.34}
RACE = {"share": 0.3, "confidence": 0.9, "tolerance": 0.02}

configs = st.builds(
    lambda schedule, generations, size, elite, rate, selection, promotion, race, objectives, seed: make_config(
        generations,
        size,
        min(elite, size),
        seed,
        schedule=schedule,
        mutation_rate=rate,
        selection=selection,
        promotion=promotion,
        race=race,
        objectives=objectives,
    ),
    st.sampled_from(["steady", "generational"]),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.sampled_from(["tournament", "roulette"]),
    st.sampled_from([None, PROMOTION]),
    st.sampled_from([None, RACE]),
    st.sampled_from([["psnr"], ["psnr", "mult_adds"], ["ssim", "params", "psnr"]]),
    st.integers(0, 2**40),
)
fitnesses = st.builds(
    lambda salt, failing, levels: lambda job: fitness_of(job, salt, failing, levels),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    st.sampled_from([2, 10**6]),
)
orders = st.one_of(st.none(), st.integers(0, 1000).map(random.Random))
searches = settings(deadline=None, max_examples=50)


def fitness_of(job, salt=0, failing=0.2, levels=10**6):
    """A fitness that depends on the job alone; None for a part of them; few levels give ties."""
    drawn = number(salt, job.candidate.arch, job.steps, job.seed)
    return None if drawn < failing else 25 + round(drawn * levels) / levels + job.steps / 100


@searches
@given(configs, fitnesses, st.integers(1, 4), orders)
def test_every_candidate_is_a_new_network_of_the_space_and_says_what_it_is(config, fitness, devices, order):
    state = simulated(make_algorithm(config, SPACE), fitness, devices, order=order)[-1]
    assert list(state.candidates) == list(range(len(state.candidates)))
    assert list(state.jobs) == list(range(len(state.jobs)))
    archs = [one.arch for one in state.candidates.values()]
    assert len(set(archs)) == len(archs)
    for one in state.candidates.values():
        assert one.arch == decode(one.genome)
        assert len(one.genome.active) == len(one.genome.blocks) == SPACE.node_num
        assert set(one.genome.blocks) <= set(SPACE.vocabulary.names)
        assert SPACE.allows(one.arch)
        cost = SPACE.cost(one.arch)
        assert (one.params, one.mult_adds) == (cost.params, mult_adds_720p(cost, 2))
        parents = {"random": 0, "mutation": 1, "crossover": 2}[one.operator]
        assert len(set(one.parents)) == len(one.parents) == parents
        # Failed candidates are no parents: each has a result.
        for parent in one.parents:
            assert parent < one.id
            assert any(state.outcomes[job].quality for job in state.jobs_of[parent])
        assert state.jobs[state.jobs_of[one.id][0]].purpose == "birth"
        assert sum(state.jobs[job].purpose == "birth" for job in state.jobs_of[one.id]) == 1


@searches
@given(configs, fitnesses, st.integers(1, 4), orders)
def test_the_budget_in_steps_is_never_exceeded_nor_the_shares_of_it(config, fitness, devices, order):
    state = simulated(make_algorithm(config, SPACE), fitness, devices, order=order)[-1]
    evolution = config.evolution
    total = evolution.num_generation * evolution.num_individual * STEPS
    race = evolution.race.share if evolution.race is not None else 0.0
    spent = state.spent
    assert state.spent_steps <= total
    assert spent.get("birth", 0) + spent.get("promotion", 0) <= total * (1 - race) + 1e-6
    assert ("race" in spent) <= (evolution.race is not None)
    assert ("promotion" in spent) <= (evolution.promotion is not None)
    if evolution.promotion is None and evolution.race is None:
        # The space has enough networks: all of it is used.
        assert spent == {"birth": total}


@searches
@given(configs, fitnesses, st.integers(1, 5), orders)
def test_each_training_of_a_candidate_is_another_one(config, fitness, devices, order):
    """No length is trained twice with one seed; lengths are those of the configuration; a race is of the longest."""
    state = simulated(make_algorithm(config, SPACE), fitness, devices, order=order)[-1]
    lengths = [STEPS * one for one in (PROMOTION["lengths"] if config.evolution.promotion else [1])]
    for jobs in state.jobs_of.values():
        trainings = [(state.jobs[job].steps, state.jobs[job].seed) for job in jobs]
        assert len(set(trainings)) == len(trainings)
    for job in state.jobs.values():
        assert job.steps in lengths
        assert job.purpose != "race" or job.steps == lengths[-1]
        assert job.purpose != "birth" or (job.steps, job.seed) == (STEPS, config.seed)


@searches
@given(configs, fitnesses, st.integers(1, 4), st.integers(1, 5), orders)
def test_choices_are_a_function_of_the_state_alone_however_many_are_asked_for(config, fitness, devices, count, order):
    """Asking for several is asking for one after the other, and no choice depends on what was asked before."""
    algorithm = make_algorithm(config, SPACE)
    states = simulated(algorithm, fitness, devices, order=order)
    for state in states[:: max(1, len(states) // 6)]:
        asked = algorithm.ask(state, count)
        assert asked == make_algorithm(config, SPACE).ask(state, count)
        after = state
        for job in asked:
            assert algorithm.ask(after, 1) == (job,)
            after = with_asked(after, job)
        rest = asked[1:]
        assert not asked or algorithm.ask(with_asked(state, asked[0]), count - 1) == rest
        assert (len(asked) == count) or algorithm.ask(after, 1) == ()
        assert algorithm.ask(state, 0) == ()


@searches
@given(configs, fitnesses, st.integers(1, 6), st.integers(0, 1000))
def test_in_generations_order_of_results_and_number_of_devices_never_matter(config, fitness, devices, seed):
    evolution = config.evolution.model_copy(update={"schedule": "generational"})
    algorithm = make_algorithm(config.model_copy(update={"evolution": evolution}), SPACE)
    first = simulated(algorithm, fitness)[-1]
    other = simulated(algorithm, fitness, devices, order=random.Random(seed))[-1]
    assert first == other
    assert list(first.jobs.values()) == list(other.jobs.values())


def test_one_state_told_two_ways_goes_on_two_ways():
    """An algorithm remembers nothing of the one way when it chooses for the other."""
    for schedule in ("steady", "generational"):
        config = make_config(3, 4, schedule=schedule)
        used, begun = make_algorithm(config, SPACE), State()
        for job in used.ask(begun, 4):
            begun = with_asked(begun, job)
        ends = []
        for salt in (1, 2):
            state = begun
            for job in list(begun.jobs.values()):
                state = tell(state, outcome_of(job, fitness_of(job, salt, 0)))
            jobs = used.ask(state, 4)
            assert jobs == make_algorithm(config, SPACE).ask(state, 4)
            ends.append([one.candidate.parents for one in jobs])
        assert ends[0] != ends[1]


def test_the_references_generation_has_four_crossovers_and_a_mutant_of_each_elite():
    """And the elite is of all so far, the children are of it and of the last generation."""
    config = make_config(3, 8, 4, seed=3)
    state = simulated(make_algorithm(config, SPACE), lambda job: fitness_of(job, failing=0))[-1]
    for start in (8, 16):
        before = sorted(range(start), key=lambda one: -state.outcomes[one].quality.psnr_y)
        elite = before[:4]
        children = [state.candidates[one] for one in range(start, start + 8)]
        assert [one.operator for one in children] == ["crossover"] * 4 + ["mutation"] * 4
        assert [one.parents[0] for one in children[4:]] == elite
        parents = {parent for one in children for parent in one.parents}
        assert parents <= {*elite, *range(start - 8, start)}


def test_where_all_failed_all_are_random():
    for schedule in ("steady", "generational"):
        algorithm = make_algorithm(make_config(3, 8, schedule=schedule), SPACE)
        state = simulated(algorithm, lambda job: None)[-1]
        assert {one.operator for one in state.candidates.values()} == {"random"}
        assert len(state.candidates) == 24
        assert algorithm.verdict(state) is None


def test_another_seed_makes_another_search():
    first, other = (make_algorithm(make_config(seed=seed), SPACE).ask(State(), 4) for seed in (0, 1))
    assert [one.candidate.arch for one in first] != [one.candidate.arch for one in other]


@pytest.mark.parametrize("selection", ["tournament", "roulette"])
@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_identical_networks_are_asked_for_once_in_an_ordinary_space(selection, schedule):
    space = make_space(SpaceConfig(min_params=325_000, max_params=335_000), 2)
    config = make_config(5, 8, selection=selection, schedule=schedule)
    state = simulated(make_algorithm(config, space), lambda job: fitness_of(job, levels=2))[-1]
    assert len(state.candidates) == len(state.known) == 40


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_an_exhausted_space_ends_the_search_without_duplicates(schedule, devices):
    """Two nodes of three blocks: 12 networks, and a budget for 50."""
    algorithm = make_algorithm(make_config(5, 10, mutation_rate=0.5, schedule=schedule), TWELVE)
    state = simulated(algorithm, lambda job: fitness_of(job, failing=0), devices)[-1]
    assert len(state.known) == len(state.candidates) == len(state.jobs) == 12
    assert algorithm.ask(state, 9) == ()


@pytest.mark.parametrize("selection", ["tournament", "roulette"])
@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_a_search_improves_a_smooth_fitness(selection, schedule):
    """Fitness counts G blocks: what is bred beats the best of those that were drawn at random."""
    config = make_config(12, 8, 4, seed=1, selection=selection, schedule=schedule, mutation_rate=0.2)
    state = simulated(
        make_algorithm(config, SPACE), lambda job: float(sum(name[0] == "G" for name in job.candidate.arch))
    )[-1]
    fitness = [outcome.quality.psnr_y for outcome in state.outcomes.values()]
    assert max(fitness[8:]) > max(fitness[:8])


def test_founders_come_first_and_then_random_ones():
    config = make_config(2, 4)
    drawn = [one.candidate.arch for one in make_algorithm(config, SPACE).ask(State(), 2)]
    evolution = config.evolution.model_copy(update={"founders": tuple(drawn)})
    algorithm = make_algorithm(config.model_copy(update={"evolution": evolution, "seed": 9}), SPACE)
    asked = algorithm.ask(State(), 4)
    assert [one.candidate.arch for one in asked[:2]] == drawn
    assert [one.candidate.operator for one in asked] == ["founder", "founder", "random", "random"]


def test_several_objectives_keep_a_front_of_which_each_is_best_at_something():
    config = make_config(8, 6, 3, schedule="steady", objectives=["psnr", "mult_adds"])
    algorithm = make_algorithm(config, SPACE)
    state = simulated(algorithm, lambda job: fitness_of(job, failing=0))[-1]
    view = algorithm.view(state)
    figures = {one: tuple(view.costs[view.row_of[one]]) for one in view.ids}
    assert len(view.front) > 1
    for one in view.front:
        assert not any(
            other != figures[one] and all(a <= b for a, b in zip(other, figures[one], strict=True))
            for other in figures.values()
        )


def test_a_changed_space_leaves_out_what_it_does_not_hold():
    """The search goes on with what is left: the others are no parents and do not win."""
    config = make_config(6, 4, schedule="steady")
    state = simulated(make_algorithm(make_config(3, 4, schedule="steady"), SPACE), lambda job: fitness_of(job, 5, 0))[
        -1
    ]
    sizes = sorted(one.params for one in state.candidates.values())
    smaller = replace(SPACE, max_params=sizes[len(sizes) // 2])
    algorithm = make_algorithm(config, smaller)
    held = {one.id for one in state.candidates.values() if smaller.allows(one.arch)}
    assert 0 < len(held) < len(state.candidates)
    assert set(algorithm.view(state).ids) == held
    after = simulated(algorithm, lambda job: fitness_of(job, 5, 0), state=state)[-1]
    new = [after.candidates[one] for one in after.candidates.keys() - state.candidates.keys()]
    assert new
    assert all(smaller.allows(one.arch) for one in new)
    assert {parent for one in new for parent in one.parents} <= held | {one.id for one in new}
    assert algorithm.verdict(after).winner.candidate.id not in state.candidates.keys() - held


@pytest.mark.parametrize("package", ["space", "search"])
def test_neither_mindspore_nor_ray_is_imported(package):
    code = f"""
import importlib, pkgutil, sys
import esr_ray.{package} as package
names = [one.name for one in pkgutil.iter_modules(package.__path__, package.__name__ + ".")]
# The command itself starts Ray.
modules = [name for name in names if not name.endswith("__main__")]
assert len(modules) >= 4, modules
for name in modules:
    importlib.import_module(name)
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"mindspore", "ray", "numpy"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "['numpy']"


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_of_many_outcomes_nearly_all_are_looked_at(outcomes, parts):
    first = first_of(outcomes, parts)
    assert outcomes - outcomes / parts <= first <= outcomes
    assert first <= first_of(outcomes + 1, parts)
    if outcomes < 2 * parts:
        assert first == outcomes


def test_of_many_outcomes_new_ones_are_looked_at_seldom():
    assert len({first_of(outcomes, 500) for outcomes in range(64_000)}) < 6_000
