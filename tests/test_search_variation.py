"""Crossover and mutation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import genomes, small_space

from esr_ray.config.space import SpaceConfig
from esr_ray.search.variation import crossover, mutate, segment_bounds
from esr_ray.space.genome import Genome
from esr_ray.space.vocabulary import make_vocabulary

SPACE = small_space(node_num=9)
seeds = st.integers(0, 2**32)


def nodes(genome):
    return list(zip(genome.active, genome.blocks, strict=True))


def test_the_methods_segments_have_4_to_half_the_nodes_less_one():
    assert segment_bounds(20) == (4, 9)
    assert segment_bounds(10) == (4, 4)


@pytest.mark.parametrize("node_num", range(1, 40))
def test_segments_fit_every_genome(node_num):
    shortest, longest = segment_bounds(node_num)
    assert 1 <= shortest <= longest <= max(1, node_num // 2)


@given(genomes(SPACE), genomes(SPACE), seeds)
def test_crossover_keeps_the_nodes_of_every_position(one, other, seed):
    first, second = crossover(one, other, np.random.default_rng(seed))
    for position in zip(nodes(one), nodes(other), nodes(first), nodes(second), strict=True):
        assert sorted(position[:2]) == sorted(position[2:])


@pytest.mark.parametrize("node_num", [1, 2, 3, 8, 20])
def test_crossover_swaps_one_segment_of_an_allowed_length_anywhere(node_num):
    one = Genome((True,) * node_num, ("S_4_8_8",) * node_num)
    other = Genome((False,) * node_num, ("C_4_8_8",) * node_num)
    shortest, longest = segment_bounds(node_num)
    seen = set()
    rng = np.random.default_rng(0)
    for _ in range(3000):
        first, second = crossover(one, other, rng)
        swapped = [place for place in range(node_num) if first.blocks[place] == "C_4_8_8"]
        assert swapped == list(range(swapped[0], swapped[0] + len(swapped)))
        assert [not active for active in first.active] == [place in swapped for place in range(node_num)]
        assert [not active for active in second.active] == [place not in swapped for place in range(node_num)]
        seen.add((len(swapped), swapped[0]))
    lengths = range(shortest, longest + 1)
    assert seen == {(length, start) for length in lengths for start in range(node_num - length + 1)}


OTHERS = make_vocabulary(SpaceConfig(block_types=("G",), conv_num=(2,), growth_rate=(16, 32)))
OTHER_BLOCKS = replace(SPACE, vocabulary=OTHERS)
FRAMES = small_space(node_num=9, base_channels=(8, 12, 16))


@given(genomes(SPACE), seeds)
def test_a_rate_of_1_flips_every_flag_and_draws_every_active_block(genome, seed):
    mutant = mutate(genome, OTHER_BLOCKS, 1.0, np.random.default_rng(seed))
    assert mutant.active == tuple(not active for active in genome.active)
    for (active, block), before in zip(nodes(mutant), genome.blocks, strict=True):
        assert block in OTHERS.names if active else block == before


@given(genomes(SPACE), seeds)
def test_a_tiny_rate_changes_nothing(genome, seed):
    assert mutate(genome, SPACE, 1e-12, np.random.default_rng(seed)) == genome


@given(genomes(FRAMES), genomes(FRAMES), seeds)
def test_frames_are_inherited_and_drawn_anew_at_the_rate(one, other, seed):
    rng = np.random.default_rng(seed)
    assert [child.frame for child in crossover(one, other, rng)] == [one.frame, other.frame]
    assert mutate(one, FRAMES, 1e-12, rng) == one
    assert {mutate(one, FRAMES, 1.0, rng).frame for _ in range(40)} == {8, 12, 16}


def test_flags_and_active_blocks_change_at_the_rate():
    genome = Genome((True, False) * 5000, ("S_4_8_8",) * 10_000)
    mutant = mutate(genome, OTHER_BLOCKS, 0.2, np.random.default_rng(0))
    flipped = np.array(mutant.active) != np.array(genome.active)
    drawn = np.array(mutant.blocks) != np.array(genome.blocks)
    active = np.array(mutant.active)
    assert abs(flipped.mean() - 0.2) < 0.02
    assert abs(drawn[active].mean() - 0.2) < 0.02
    assert not drawn[~active].any()
    # A flag's flip says nothing of its block.
    assert abs(drawn[active & flipped].mean() - drawn[active & ~flipped].mean()) < 0.05
