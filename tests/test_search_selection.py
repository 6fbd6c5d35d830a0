"""Tournament and roulette: who is chosen, and how often."""

import collections
from math import comb

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from esr_ray.search.job import Candidate
from esr_ray.search.ranking import Individual
from esr_ray.search.selection import Roulette, Tournament
from esr_ray.space.genome import Genome


def individual(number, fitness):
    genome = Genome((True,), ("S_4_8_8",))
    return Individual(Candidate(number, genome, ("S_4_8_8",), "random", (), 1, 1), fitness)


def pool_of(*fitness):
    """As survival leaves it: the best first, the lower id where equal."""
    return sorted((individual(*pair) for pair in enumerate(fitness)), key=lambda one: (-one.fitness, one.id))


pools = st.lists(st.floats(20, 40), min_size=1, max_size=9).map(lambda values: pool_of(*values))
seeds = st.integers(0, 2**32)


@given(pools, seeds)
def test_the_best_wins_a_tournament_of_all(pool, seed):
    # Each is the best of those that are left: the one that stands before the others.
    assert Tournament(len(pool)).choose(pool, len(pool), np.random.default_rng(seed)) == pool


@given(pools, st.integers(1, 12), seeds)
def test_an_order_that_is_not_that_of_fitness_decides_a_tournament(pool, size, seed):
    """With limits a better network may stand behind a worse one that keeps them."""
    turned = pool[::-1]
    chosen = Tournament(size).choose(turned, 1, np.random.default_rng(seed))
    places = np.random.default_rng(seed).choice(len(pool), size=min(size, len(pool)), replace=False)
    assert chosen == [turned[places.min()]]


@given(pools, st.integers(1, 12), st.integers(2, 12), seeds)
def test_nobody_is_chosen_twice(pool, count, size, seed):
    for selection in (Tournament(size), Roulette()):
        chosen = selection.choose(pool, count, np.random.default_rng(seed))
        assert len({one.id for one in chosen}) == len(chosen) == min(count, len(pool))
        assert all(one in pool for one in chosen)
        assert selection.choose(pool, count, np.random.default_rng(seed)) == chosen


@given(pools, seeds)
def test_selection_does_not_change_the_pool(pool, seed):
    before = list(pool)
    for selection in (Tournament(2), Roulette()):
        selection.choose(pool, 2, np.random.default_rng(seed))
    assert pool == before


def first_chosen(selection, pool, draws=6000):
    rng = np.random.default_rng(0)
    counts = collections.Counter(selection.choose(pool, 2, rng)[0].id for _ in range(draws))
    return [counts[number] / draws for number in range(5)]


def test_a_tournament_of_two_favours_by_rank():
    pool = pool_of(30.0, 30.4, 30.1, 30.3, 30.2)
    # The winner is of rank r (0 the worst of 5) where the other of two is one of the r below it.
    rank = [0, 4, 1, 3, 2]
    expected = [r / comb(5, 2) for r in rank]
    np.testing.assert_allclose(first_chosen(Tournament(2), pool), expected, atol=0.02)


def test_the_roulette_is_proportional_to_what_is_above_the_worst():
    pool = pool_of(30.0, 30.4, 30.1, 30.3, 30.2)
    expected = [0, 0.4, 0.1, 0.3, 0.2]
    np.testing.assert_allclose(first_chosen(Roulette(), pool), expected, atol=0.02)


def test_the_second_of_a_roulette_is_proportional_among_those_left():
    pool = pool_of(30.0, 31.0, 33.0)
    rng = np.random.default_rng(0)
    pairs = collections.Counter(tuple(one.id for one in Roulette().choose(pool, 2, rng)) for _ in range(6000))
    # Without replacement: 1 and 2 are left with the worst, whose weight is 0.
    assert set(pairs) == {(1, 2), (2, 1)}
    assert abs(pairs[2, 1] / 6000 - 3 / 4) < 0.02


def test_equal_fitness_is_uniform():
    pool = pool_of(*[31.5] * 5)
    np.testing.assert_allclose(first_chosen(Roulette(), pool), 0.2, atol=0.02)


@given(st.lists(st.floats(20, 40), min_size=2, max_size=9, unique=True), seeds)
def test_the_roulette_takes_the_worst_only_where_it_alone_is_left(fitness, seed):
    pool = pool_of(*fitness)
    chosen = Roulette().choose(pool, len(pool), np.random.default_rng(seed))
    assert chosen[-1] == min(pool, key=lambda one: one.fitness)


def test_an_empty_pool_gives_nobody():
    for selection in (Tournament(2), Roulette()):
        assert selection.choose([], 2, np.random.default_rng(0)) == []
