"""A block type from a user's file is counted, built and trained like the built-in ones."""

import numpy as np
import pytest
from strategies import small_space

from esr_ray.errors import UserError
from esr_ray.space import block as grammar
from esr_ray.space.block import BLOCK_TYPES, parse_block
from esr_ray.space.counts import network_cost
from esr_ray.space.layers import Cost
from esr_ray.space.user_block import load_user_block

SIMPLE = """
from mindspore import nn, ops

LETTER = "R"


class Simple(nn.Cell):
    def __init__(self, convs, growth, out, in_channels):
        super().__init__()
        self.first = nn.Conv2d(in_channels, growth, 3, pad_mode="same", has_bias=True)
        self.last = nn.Conv2d(growth, out, 1, has_bias=True)

    def construct(self, x):
        return self.last(ops.relu(self.first(x)))


def cost(convs, growth, out, in_channels):
    weights = 9 * in_channels * growth + growth * out
    return weights + growth + out, weights


def build(convs, growth, out, in_channels):
    return Simple(convs, growth, out, in_channels)


def illegal(convs, growth, out):
    return "R blocks have one convolution" if convs != 1 else None
"""


pytestmark = pytest.mark.usefixtures("block_types")


def write(tmp_path, text, name="simple.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_users_block_is_counted_and_sampled(tmp_path):
    load_user_block(write(tmp_path, SIMPLE))
    with_r = network_cost(("R_1_8_12", "S_1_8_8"), 8, 2)
    # R: 9·8·8 + 8·12 weights, 20 biases; it hands 12 channels on, to the S block's entry and to the fusion.
    frame = network_cost((), 8, 2)
    shrink = Cost(12 * 8 + 8 + 9 * 64 + 8 + 16 * 8 + 8, 12 * 8 + 9 * 64 + 16 * 8)
    fusion = (12 + 8) * 8
    assert with_r.params == frame.params + 672 + 20 + shrink.params + fusion
    assert with_r.mult_adds == frame.mult_adds + 672 + shrink.mult_adds + fusion
    space = small_space(block_types=("S", "R"), conv_num=(1,))
    assert [name for name in space.vocabulary.names if name[0] == "R"] == ["R_1_4_4", "R_1_4_8", "R_1_8_8"]


def test_a_users_block_is_built_with_as_many_parameters_as_it_counts(tmp_path):
    import mindspore as ms

    from esr_ray.networks.esrn import ESRN
    from esr_ray.space.spec import NetworkSpec

    load_user_block(write(tmp_path, SIMPLE))
    arch = ("R_1_8_12", "G_2_8_8", "R_1_4_8")
    network = ESRN(NetworkSpec(arch, 8, 2, "nearest"))
    assert sum(p.size for p in network.trainable_params()) == network_cost(arch, 8, 2).params
    # Graph mode reads the source of the user's file.
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        output = network(ms.Tensor(np.full((1, 3, 6, 4), 0.5, np.float32))).asnumpy()
    finally:
        ms.set_context(mode=mode)
    assert output.shape == (1, 3, 12, 8)
    assert np.isfinite(output).all()


def test_a_users_rule_makes_a_block_illegal(tmp_path):
    load_user_block(write(tmp_path, SIMPLE))
    with pytest.raises(UserError, match="'R_2_8_8' is not a legal block: R blocks have one convolution"):
        parse_block("R_2_8_8")


def test_a_file_without_a_rule_makes_every_block_legal(tmp_path):
    load_user_block(write(tmp_path, SIMPLE.split("def illegal")[0]))
    assert parse_block("R_7_3_5").name == "R_7_3_5"


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"space.user_blocks: .*nowhere.py is not a file"):
        load_user_block(tmp_path / "nowhere.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SIMPLE.replace('LETTER = "R"', ""), "must define LETTER, one capital letter A-Z .it is None"),
        (SIMPLE.replace('"R"', '"r"'), "must define LETTER, .*'r'"),
        (SIMPLE.replace('"R"', '"RR"'), "must define LETTER, .*'RR'"),
        (SIMPLE.replace('"R"', '"É"'), "must define LETTER"),
        (SIMPLE.replace('"R"', '"S"'), "block letter 'S' is one of the built-in types; choose another"),
        (SIMPLE.replace("def cost", "def price"), r"must define a function cost\(convs, growth, out, in_channels\)"),
        (SIMPLE.replace("def build", "def make"), r"must define a function build\("),
        ("import nothing_of_this_name\n" + SIMPLE, "could not be imported: ModuleNotFoundError.*nothing_of_this_name"),
        (SIMPLE + "def broken(:\n", "could not be imported: SyntaxError"),
        (SIMPLE + "1 / 0\n", "could not be imported: ZeroDivisionError"),
    ],
)
def test_a_file_that_does_not_define_what_it_must_is_an_error(tmp_path, text, message):
    path = write(tmp_path, text)
    before = dict(BLOCK_TYPES)
    with pytest.raises(UserError, match=message):
        load_user_block(path)
    assert before == BLOCK_TYPES


def test_a_file_that_is_no_python_is_an_error(tmp_path):
    with pytest.raises(UserError, match="is not a Python file"):
        load_user_block(write(tmp_path, SIMPLE, "simple.txt"))


def test_the_same_file_may_be_loaded_again(tmp_path):
    """The run folder holds a copy of the user's file; a process may meet both."""
    (tmp_path / "copy").mkdir()
    load_user_block(write(tmp_path, SIMPLE))
    changed = SIMPLE.replace("return weights + growth + out, weights", "return weights, weights")
    before = grammar.block_cost("R_1_8_8", 8).params
    load_user_block(write(tmp_path / "copy", changed))
    assert grammar.block_cost("R_1_8_8", 8).params == before - 16


def test_another_file_does_not_take_a_letter_that_is_taken(tmp_path):
    load_user_block(write(tmp_path, SIMPLE))
    with pytest.raises(UserError, match=r"'R' is defined by .*simple.py too"):
        load_user_block(write(tmp_path, SIMPLE, "other.py"))
