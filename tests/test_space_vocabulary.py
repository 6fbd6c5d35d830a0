"""The vocabulary: which blocks a search samples from, in which order, and how likely each is."""

import collections

import numpy as np
import pytest

from esr_ray.config.space import SpaceConfig
from esr_ray.errors import UserError
from esr_ray.space.vocabulary import make_vocabulary


def test_the_references_lists_give_its_ninety_blocks_in_order():
    names = make_vocabulary(SpaceConfig()).names
    assert len(names) == len(set(names)) == 90
    assert names[:11] == (
        *("S_4_8_8", "S_4_8_16", "S_4_8_24", "S_4_8_32", "S_4_16_16", "S_4_16_24", "S_4_16_32"),
        *("S_4_24_24", "S_4_24_32", "S_4_32_32", "S_6_8_8"),
    )
    assert (names[30], names[60], names[-1]) == ("G_4_8_8", "C_4_8_8", "C_8_32_32")


def test_without_weights_all_blocks_are_alike():
    np.testing.assert_allclose(make_vocabulary(SpaceConfig()).probabilities, 1 / 90)


def test_a_probability_is_the_normalised_product_of_its_weights():
    config = SpaceConfig(
        block_types=("S", "C"),
        conv_num=(4, 6),
        growth_rate=(8, 16),
        type_prob=(1, 3),
        conv_prob=(1, 4),
        growth_prob=(2, 5),
    )
    vocabulary = make_vocabulary(config)
    products = {
        f"{letter}_{convs}_{growth}_{out}": {"S": 1, "C": 3}[letter] * {4: 1, 6: 4}[convs] * weights
        for letter in "SC"
        for convs in (4, 6)
        for growth, out, weights in ((8, 8, 4), (8, 16, 10), (16, 16, 25))
    }
    expected = {name: product / sum(products.values()) for name, product in products.items()}
    assert dict(zip(vocabulary.names, vocabulary.probabilities, strict=True)) == pytest.approx(expected)
    assert vocabulary.cumulative == pytest.approx(np.cumsum(vocabulary.probabilities))
    assert vocabulary.cumulative[-1] == pytest.approx(1)


def test_out_follows_the_growth_rates_index_and_not_its_value():
    vocabulary = make_vocabulary(SpaceConfig(block_types=("S",), conv_num=(4,), growth_rate=(32, 8)))
    assert vocabulary.names == ("S_4_32_32", "S_4_32_8", "S_4_8_8")


def test_given_out_channels_are_at_least_the_growth_rate_by_value():
    config = SpaceConfig(
        block_types=("S",), conv_num=(4,), growth_rate=(32, 16), out_channels=(64, 16, 24, 32), out_prob=(1, 2, 3, 4)
    )
    vocabulary = make_vocabulary(config)
    assert vocabulary.names == ("S_4_32_64", "S_4_32_32", "S_4_16_64", "S_4_16_16", "S_4_16_24", "S_4_16_32")
    assert vocabulary.probabilities == pytest.approx(np.array([1, 4, 1, 2, 3, 4]) / 15)


def test_a_weight_of_zero_leaves_its_blocks_out():
    config = SpaceConfig(block_types=("S", "G"), type_prob=(1, 0), conv_num=(4,), growth_rate=(8, 18))
    assert make_vocabulary(config).names == ("S_4_8_8", "S_4_8_18", "S_4_18_18")


def test_an_illegal_combination_is_an_error_with_its_rule():
    with pytest.raises(UserError, match=r"'G_4_18_18' is not a legal block: .* divisible by 4; change block_types"):
        make_vocabulary(SpaceConfig(block_types=("S", "G"), conv_num=(4,), growth_rate=(18,)))
    with pytest.raises(UserError, match="no block type 'X'"):
        make_vocabulary(SpaceConfig(block_types=("S", "X")))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"block_types": ()}, "space.block_types: is empty"),
        ({"conv_num": ()}, "space.conv_num: is empty"),
        ({"growth_rate": (8, 16, 8)}, "space.growth_rate: .* repeats a value; weigh values with growth_prob"),
        ({"type_prob": (1, 1)}, "space.type_prob: has 2 weights for 3 values of block_types"),
        ({"out_channels": (32,), "out_prob": (1, 2)}, "space.out_prob: has 2 weights for 1 values of out_channels"),
        ({"out_prob": (1, 1)}, "space.out_prob: goes with space.out_channels"),
        ({"out_channels": (4,)}, "the lists give no block at all"),
        ({"conv_prob": (0, 0, 0)}, "the lists give no block at all"),
    ],
)
def test_lists_that_do_not_fit_are_errors_that_name_the_key(keys, message):
    with pytest.raises(UserError, match=message):
        make_vocabulary(SpaceConfig(**keys))


def test_blocks_are_drawn_by_their_probability():
    vocabulary = make_vocabulary(SpaceConfig(conv_num=(4,), growth_rate=(8, 16), type_prob=(1, 2, 5)))
    rng = np.random.default_rng(0)
    counts = collections.Counter(vocabulary.draw(rng) for _ in range(20_000))
    drawn = [counts[name] / 20_000 for name in vocabulary.names]
    np.testing.assert_allclose(drawn, vocabulary.probabilities, atol=0.012)
