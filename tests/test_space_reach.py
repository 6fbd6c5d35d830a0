"""Reachable counts against brute force over every network of a tiny space."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import small_space

from esr_ray.errors import UserError
from esr_ray.space.counts import reference_params
from esr_ray.space.genome import decode
from esr_ray.space.reach import check_budget, draw_within, reach
from esr_ray.space.spec import frame_name


def tiny(**keys):
    return small_space(node_num=4, min_active=2, out_channels=(6, 8), conv_num=(1, 2, 3), **keys)


TINY = {
    "exact": tiny(),
    "reference": tiny(budget_counting="reference"),
    "frames": tiny(base_channels=(8, 4, 16)),
    "frames, reference": tiny(base_channels=(8, 4, 16), budget_counting="reference"),
}


def count_of(space, arch):
    frame, blocks = space.parts(arch)
    return reference_params(blocks, frame) if space.reference_counting else space.cost(arch).params


def every_arch(space):
    frames = [(frame_name(one),) for one in space.base_channels] if len(space.base_channels) > 1 else [()]
    for length in range(space.min_active, space.node_num + 1):
        for frame, blocks in itertools.product(frames, itertools.product(space.vocabulary.names, repeat=length)):
            yield (*frame, *blocks)


ALL = {counting: sorted({count_of(space, arch) for arch in every_arch(space)}) for counting, space in TINY.items()}


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(TINY)),
    st.integers(0, 12_000),
    st.one_of(st.integers(0, 40), st.integers(0, 10_000), st.none()),
)
def test_reach_is_exactly_what_brute_force_finds(counting, low, width):
    space = replace(TINY[counting], min_params=low, max_params=None if width is None else max(1, low + width))
    counts = ALL[counting]
    within = [n for n in counts if low <= n and (space.max_params is None or n <= space.max_params)]
    found = reach(space)
    assert (found.least, found.greatest, found.within) == (counts[0], counts[-1], len(within))
    assert found.nearest in counts

    def distance(count):
        return max(low - count, 0 if space.max_params is None else count - space.max_params, 0)

    assert distance(found.nearest) == min(distance(count) for count in counts)


def test_a_budget_that_nothing_reaches_is_an_error_that_names_the_nearest_count():
    counts = ALL["exact"]
    gap = max(range(len(counts) - 1), key=lambda index: counts[index + 1] - counts[index])
    below, above = counts[gap], counts[gap + 1]
    assert above - below > 4
    for low, high, nearest in [
        (below + 1, above - 2, below),
        (below + 2, above - 1, above),
        (1, counts[0] - 1, counts[0]),
        (counts[-1] + 1, None, counts[-1]),
        (counts[-1] + 9, counts[-1] + 10, counts[-1]),
    ]:
        space = replace(TINY["exact"], min_params=low, max_params=high)
        with pytest.raises(UserError, match=f"the nearest count is {nearest:,}$") as error:
            check_budget(space)
        assert f"{low:,}" in str(error.value)
        assert f"{counts[0]:,} to {counts[-1]:,}" in str(error.value)
    for count in (counts[0], below, above, counts[-1]):
        assert check_budget(replace(TINY["exact"], min_params=count, max_params=count)).within == 1


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(TINY)), st.data(), st.integers(0, 200), st.integers(0, 2**32))
def test_draw_within_lands_within(counting, data, width, seed):
    low = data.draw(st.sampled_from(ALL[counting]))
    space = replace(TINY[counting], min_params=low, max_params=low + width)
    genome = draw_within(space, np.random.default_rng(seed))
    assert len(genome.active) == len(genome.blocks) == space.node_num
    assert set(genome.blocks) <= set(space.vocabulary.names)
    assert space.allows(decode(genome))


@pytest.mark.parametrize("name", ["exact", "frames"])
def test_draw_within_can_draw_every_network_of_the_budget(name):
    space = TINY[name]
    low = ALL[name][len(ALL[name]) // 3]
    space = replace(space, min_params=low, max_params=low)
    expected = {arch for arch in every_arch(space) if space.allows(arch)}
    assert len(expected) > 1
    rng = np.random.default_rng(0)
    assert {decode(draw_within(space, rng)) for _ in range(60 * len(expected))} == expected
