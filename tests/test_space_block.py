"""The grammar of blocks: what is legal, and the reason where it is not."""

import pytest
from hypothesis import given
from strategies import block_names

from esr_ray.errors import UserError
from esr_ray.space.block import Block, block_cost, group_count, has_entry, has_residual_conv, parse_block


def test_a_name_is_read_as_its_four_parts():
    assert parse_block("G_8_16_24") == Block("G", 8, 16, 24)


@given(block_names)
def test_a_name_survives_reading_and_writing(name):
    assert parse_block(name).name == name


@pytest.mark.parametrize(
    "name",
    ["", "G", "G_8_16", "G_8_16_24_2", "g_8_16_24", "GS_8_16_24", "8_16_24", "G-8-16-24", "G_0_16_24", "G_8_0_24",
     "G_8_16_0", "G_08_16_24", "G_8_16_+4", "G_8_16_-24", "G_8_1.5_24", " G_8_16_24", "G_8_16_24\n", "G_8__24",
     "G_٣_16_24"],
)  # fmt: skip
def test_a_bad_name_is_an_error_that_shows_the_grammar(name):
    with pytest.raises(UserError, match="TYPE_CONVS_GROWTH_OUT") as error:
        parse_block(name)
    assert repr(name) in str(error.value)


def test_an_unknown_letter_is_an_error_that_says_which_are_known():
    with pytest.raises(UserError, match=r"no block type 'X'; known are S, G, C \(.*user_blocks"):
        parse_block("X_4_16_24")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("G_2_15_16", "2 or more convolutions need an even growth rate"),
        ("G_3_7_16", "2 or more convolutions need an even growth rate"),
        ("G_4_18_16", "4 or more convolutions need a growth rate divisible by 4"),
        ("G_8_6_16", "4 or more convolutions need a growth rate divisible by 4"),
        ("C_4_6_16", "convolutions [+] 1[)] x growth rate divisible by 4"),
        ("C_2_1_16", "convolutions [+] 1[)] x growth rate divisible by 4"),
    ],
)
def test_an_illegal_block_is_an_error_with_its_rule(name, rule):
    with pytest.raises(UserError, match=rule) as error:
        parse_block(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("name", ["G_1_15_16", "G_3_18_7", "G_4_20_1", "C_3_7_5", "C_1_2_3", "C_4_8_16", "S_8_7_5"])
def test_what_breaks_no_rule_is_legal(name):
    assert parse_block(name).name == name


@pytest.mark.parametrize("name", ["S_4_8_1\u0663", "\uff33_4_8_16", "S_4_8_16\n", "S_4_8_0", "S_04_8_8", "x" * 10_000])
def test_a_name_is_of_plain_letters_and_digits_and_shown_in_part(name):
    with pytest.raises(UserError, match="is not a block: write TYPE_CONVS_GROWTH_OUT") as error:
        parse_block(name)
    assert len(str(error.value)) < 200


def test_group_counts_are_powers_of_two_up_to_four():
    assert [group_count(index) for index in range(10)] == [1, 2, 2, 4, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("name", "in_channels", "entry", "residual"),
    [
        ("S_4_16_16", 16, False, False),
        ("S_4_16_24", 16, False, True),
        ("S_4_16_16", 24, True, False),
        ("S_4_16_24", 24, True, False),
        ("S_4_16_24", 32, True, True),
    ],
)
def test_entry_and_residual_convolutions_are_there_only_where_channels_differ(name, in_channels, entry, residual):
    block = parse_block(name)
    assert (has_entry(block, in_channels), has_residual_conv(block, in_channels)) == (entry, residual)
    # Beside a block whose input and output have G channels, the 1x1s and a last 1x1 of other width are added.
    fused = 5 * 16
    plain = block_cost("S_4_16_16", 16).params - fused * 16 - 16
    expected = plain + fused * block.out + block.out
    expected += (in_channels * 16 + 16) * entry + (in_channels * block.out + block.out) * residual
    assert block_cost(name, in_channels).params == expected
