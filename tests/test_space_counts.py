"""Counts: the method's figures, and the reference's own way of counting."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EXAMPLE, block_names

from esr_ray.config.space import SpaceConfig
from esr_ray.space.counts import mult_adds_720p, network_cost, reference_params
from esr_ray.space.genome import decode
from esr_ray.space.layers import Cost
from esr_ray.space.sample import sample_genome
from esr_ray.space.space import make_space


@pytest.mark.parametrize(
    ("scale", "params", "mult_adds", "giga"),
    [(2, 520_595, 484_448, 111.62), (3, 555_275, 522_248, 53.48), (4, 567_051, 652_352, 37.58)],
)
def test_the_published_example_has_the_methods_counts(scale, params, mult_adds, giga):
    cost = network_cost(EXAMPLE, 32, scale)
    assert cost == Cost(params, mult_adds)
    assert round(mult_adds_720p(cost, scale) / 1e9, 2) == giga


def test_mult_adds_at_x3_are_exact():
    # 1280x720 / 9 is a whole number of LR pixels, though 1280 / 3 is not.
    assert mult_adds_720p(network_cost(EXAMPLE, 32, 3), 3) == 522_248 * 102_400


def test_a_contextual_block_counts_quarters_of_mult_adds():
    # C_1_4_4 on 4 channels: one shared 3x3 three times at a quarter of the pixels, the last 1x1 (2 -> 4) at all.
    frame = network_cost((), 4, 2).mult_adds
    assert network_cost(("C_1_4_4",), 4, 2).mult_adds - frame == 3 * 144 / 4 + 2 * 4 + 4 * 4


@pytest.mark.parametrize("scale", [0, 5, 8])
def test_another_scale_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale {scale}"):
        network_cost(EXAMPLE, 32, scale)


def references_count(arch: tuple[str, ...]) -> Fraction:
    """The formulas of the method, word by word; G0 = 32, G blocks of 3 or more convolutions."""
    total = Fraction(45 * 32**2 + 27 * 32 + 648)
    for index, name in enumerate(arch):
        letter, n, g, out = name[0], *(int(part) for part in name[2:].split("_"))
        if letter == "G":
            total += 9 * g**2 * (Fraction(7, 2) + Fraction((n + 4) * (n - 3), 8)) + (n + 1) * g * out
        else:
            last = (n + 1) * g * out
            total += g**2 * (9 * n + Fraction((n + 2) * (n - 1), 2)) + Fraction(last, 4 if letter == "C" else 1)
        total += 32 * out
        if index == 0:
            total += 32 * g * (g != 32) + 32 * out * (out not in (32, g))
    return total


@given(st.lists(block_names.filter(lambda name: int(name.split("_")[1]) >= 3), min_size=1, max_size=6).map(tuple))
def test_reference_counting_is_the_methods_formulas(arch):
    assert reference_params(arch, 32) == references_count(arch)


def test_true_counts_lie_above_what_the_reference_accepts():
    space = make_space(SpaceConfig(min_params=315_000, max_params=325_000, budget_counting="reference"), 2)
    rng = np.random.default_rng(0)
    archs = [decode(sample_genome(space, rng)) for _ in range(200)]
    assert all(315_000 <= references_count(arch) <= 325_000 for arch in archs)
    true = np.array([space.cost(arch).params for arch in archs])
    # The method: 321-340 K, and a few in a hundred within the range.
    assert true.min() > 320_000
    assert true.max() < 342_000
    assert (true > 325_000).mean() > 0.85
