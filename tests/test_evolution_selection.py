"""Tournament and roulette: who is chosen, and how often."""

import collections
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr_ray.evolution.population import Candidate, Individual
from esr_ray.evolution.selection import fitness_of, roulette, tournament
from esr_ray.space.genome import Genome


def individual(number, fitness):
    genome = Genome((True,), ("S_4_8_8",))
    return Individual(Candidate(number, 0, genome, ("S_4_8_8",), "random", (), 1, 1), fitness)


def pool_of(*fitness):
    return [individual(number, value) for number, value in enumerate(fitness)]


pools = st.lists(st.floats(20, 40), min_size=1, max_size=9).map(lambda values: pool_of(*values))
seeds = st.integers(0, 2**32)


@given(pools, seeds)
def test_the_best_wins_a_tournament_of_all(pool, seed):
    chosen = tournament(pool, len(pool), len(pool), np.random.default_rng(seed))
    # Each is the best of those that are left; the lower id where equal.
    assert chosen == sorted(pool, key=lambda one: (-one.fitness, one.id))


@given(pools, st.integers(1, 12), st.integers(2, 12), seeds)
def test_nobody_is_chosen_twice(pool, count, size, seed):
    for select in (lambda rng: tournament(pool, count, size, rng), lambda rng: roulette(pool, count, rng)):
        chosen = select(np.random.default_rng(seed))
        assert len({one.id for one in chosen}) == len(chosen) == min(count, len(pool))
        assert all(one in pool for one in chosen)
        assert select(np.random.default_rng(seed)) == chosen


@given(pools, seeds)
def test_selection_does_not_change_the_pool(pool, seed):
    before = list(pool)
    tournament(pool, 2, 2, np.random.default_rng(seed))
    roulette(pool, 2, np.random.default_rng(seed))
    assert pool == before


def first_chosen(select, draws=6000):
    rng = np.random.default_rng(0)
    counts = collections.Counter(select(rng)[0].id for _ in range(draws))
    return [counts[number] / draws for number in range(5)]


def test_a_tournament_of_two_favours_by_rank():
    pool = pool_of(30.0, 30.4, 30.1, 30.3, 30.2)
    # The winner is of rank r (0 the worst of 5) where the other of two is one of the r below it.
    rank = [0, 4, 1, 3, 2]
    expected = [r / comb(5, 2) for r in rank]
    np.testing.assert_allclose(first_chosen(lambda rng: tournament(pool, 2, 2, rng)), expected, atol=0.02)


def test_the_roulette_is_proportional_to_what_is_above_the_worst():
    pool = pool_of(30.0, 30.4, 30.1, 30.3, 30.2)
    expected = [0, 0.4, 0.1, 0.3, 0.2]
    np.testing.assert_allclose(first_chosen(lambda rng: roulette(pool, 2, rng)), expected, atol=0.02)


def test_the_second_of_a_roulette_is_proportional_among_those_left():
    pool = pool_of(30.0, 31.0, 33.0)
    rng = np.random.default_rng(0)
    pairs = collections.Counter(tuple(one.id for one in roulette(pool, 2, rng)) for _ in range(6000))
    # Without replacement: 1 and 2 are left with the worst, whose weight is 0.
    assert set(pairs) == {(1, 2), (2, 1)}
    assert abs(pairs[2, 1] / 6000 - 3 / 4) < 0.02


def test_equal_fitness_is_uniform():
    pool = pool_of(*[31.5] * 5)
    np.testing.assert_allclose(first_chosen(lambda rng: roulette(pool, 2, rng)), 0.2, atol=0.02)


@given(st.lists(st.floats(20, 40), min_size=2, max_size=9, unique=True), seeds)
def test_the_roulette_takes_the_worst_only_where_it_alone_is_left(fitness, seed):
    pool = pool_of(*fitness)
    chosen = roulette(pool, len(pool), np.random.default_rng(seed))
    assert chosen[-1] == min(pool, key=lambda one: one.fitness)


def test_a_failed_individual_has_no_fitness_to_compare():
    with pytest.raises(ValueError, match="individual 3 failed"):
        fitness_of(individual(3, None))
