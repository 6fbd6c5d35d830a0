"""Sampling and repair keep every constraint, and end."""

import collections
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import genomes, small_space

from esr_ray.config.space import SpaceConfig
from esr_ray.errors import UserError
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.genome import Genome, decode
from esr_ray.space.reach import check_budget
from esr_ray.space.sample import repair, sample_genome
from esr_ray.space.space import make_space
from esr_ray.space.spec import frame_name

SMALL = small_space()
FRAMES = small_space(base_channels=(8, 4, 16, 32))
seeds = st.integers(0, 2**32)


def is_of(space, genome):
    return (
        len(genome.active) == len(genome.blocks) == space.node_num
        and set(genome.blocks) <= set(space.vocabulary.names)
        and genome.frame in (space.base_channels if len(space.base_channels) > 1 else [None])
        and space.holds(decode(genome))
    )


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([SMALL, FRAMES]),
    st.data(),
    st.integers(0, 16_000),
    st.integers(0, 4_000),
    st.one_of(st.none(), st.integers(10**9, 10**10)),
    st.integers(1, 6),
    seeds,
)
def test_repair_ends_within_the_budget_or_says_none(of, data, low, width, mult_adds, min_active, seed):
    genome = data.draw(genomes(of))
    space = replace(of, min_params=low, max_params=max(1, low + width), max_mult_adds=mult_adds, min_active=min_active)
    repaired = repair(genome, space, np.random.default_rng(seed))
    assert repaired is None or is_of(space, repaired)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([SMALL, FRAMES]), st.data(), st.integers(1, 6), seeds)
def test_repair_of_too_few_active_nodes_only_switches_some_on(of, data, min_active, seed):
    genome = data.draw(genomes(of))
    repaired = repair(genome, replace(of, min_active=min_active), np.random.default_rng(seed))
    assert repaired is not None
    assert repaired.frame == genome.frame
    assert repaired.num_active == max(min_active, genome.num_active)
    assert repaired.blocks == genome.blocks
    assert all(after or not before for before, after in zip(genome.active, repaired.active, strict=True))


def test_repair_of_what_is_within_the_budget_changes_nothing():
    genome = Genome((True,) * 3 + (False,) * 3, ("S_1_4_4",) * 6)
    count = SMALL.cost(decode(genome)).params
    space = replace(SMALL, min_params=count, max_params=count)
    assert repair(genome, space, np.random.default_rng(0)) == genome


def test_repair_seldom_fails_on_the_references_budget():
    space = make_space(SpaceConfig(min_params=315_000, max_params=325_000, budget_counting="reference"), 2)
    rng = np.random.default_rng(0)
    names = np.array(space.vocabulary.names)
    starts = [Genome(tuple(rng.random(20) < 0.5), tuple(rng.choice(names, 20))) for _ in range(100)]
    repaired = [repair(start, space, rng) for start in starts]
    assert sum(one is not None for one in repaired) >= 95
    assert all(is_of(space, one) for one in repaired if one is not None)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([SMALL, FRAMES]), seeds, st.integers(1, 6), st.integers(0, 2_000))
def test_sampled_genomes_keep_all_constraints(of, seed, min_active, width):
    rng = np.random.default_rng(seed)
    # The budget begins at a network's own count, so it can be reached.
    blocks = [of.vocabulary.draw(rng) for _ in range(int(rng.integers(min_active, 7)))]
    low = of.cost(blocks).params
    space = replace(of, min_active=min_active, min_params=low, max_params=low + width)
    assert is_of(space, sample_genome(space, rng))


@settings(deadline=None, max_examples=6)
@given(seeds)
def test_a_budget_a_hundredth_of_a_percent_wide_is_kept(seed):
    rng = np.random.default_rng(seed)
    space = make_space(SpaceConfig(), 2)
    count = space.cost(decode(sample_genome(space, rng))).params
    half = count // 20_000
    narrow = replace(space, min_params=count - half, max_params=count + half)
    assert is_of(narrow, sample_genome(narrow, rng))


def test_a_limit_of_mult_adds_is_kept_beside_a_parameter_budget():
    space = make_space(SpaceConfig(min_params=325_000, max_params=335_000), 2)
    rng = np.random.default_rng(0)
    free = sorted(mult_adds_720p(space.cost(decode(sample_genome(space, rng))), 2) for _ in range(40))
    limited = replace(space, max_mult_adds=int(0.9 * free[0]))
    assert all(is_of(limited, sample_genome(limited, rng)) for _ in range(20))


def test_a_limit_of_mult_adds_that_leaves_no_room_is_an_error():
    space = small_space(min_params=9_000, max_params=10_000, max_mult_adds=10**8)
    check_budget(space)
    with pytest.raises(UserError, match=r"max_mult_adds \(100000000\) leaves no room"):
        sample_genome(space, np.random.default_rng(0))


def test_without_a_budget_flags_are_even_and_blocks_drawn_by_probability():
    space = small_space(min_active=1, type_prob=(3, 1))
    rng = np.random.default_rng(0)
    sampled = [sample_genome(space, rng) for _ in range(3_000)]
    # One in 64 genomes had no active node, and got one: 3 + 1/64 active nodes on average.
    assert abs(np.mean([one.num_active for one in sampled]) - (3 + 1 / 64)) < 0.1
    counts = collections.Counter(name for one in sampled for name in one.blocks)
    drawn = [counts[name] / 18_000 for name in space.vocabulary.names]
    np.testing.assert_allclose(drawn, space.vocabulary.probabilities, atol=0.012)


def test_the_same_generator_samples_the_same_genome():
    space = make_space(SpaceConfig(min_params=325_000, max_params=335_000), 2)
    first, again, other = (sample_genome(space, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_frames_are_drawn_alike_and_a_repair_changes_one_that_does_not_fit():
    rng = np.random.default_rng(0)
    drawn = collections.Counter(sample_genome(FRAMES, rng).frame for _ in range(2_000))
    assert all(abs(drawn[frame] / 2_000 - 0.25) < 0.04 for frame in FRAMES.base_channels)
    # With 32 channels outside the blocks alone there are more parameters than that.
    small = replace(FRAMES, max_params=8_000)
    wide = Genome((True,) * 6, ("S_1_4_4",) * 6, 32)
    assert small.violation((frame_name(32), *wide.blocks[:3])) > 0
    repaired = repair(wide, small, rng)
    assert repaired is not None
    assert repaired.frame in (4, 8)
