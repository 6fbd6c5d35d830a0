"""S, G and C blocks against NumPy in float64, written from the method's words."""

import mindspore as ms
import numpy as np
import pytest
from numpy_network import Weights, reference_block, shuffled

from esr_ray.networks.blocks import build_block, channel_shuffle
from esr_ray.networks.target import use_target
from esr_ray.space.block import block_cost, parse_block


@pytest.fixture(autouse=True)
def _pynative():
    mode = ms.get_context("mode")
    use_target("CPU", "pynative")
    yield
    ms.set_context(mode=mode)


@pytest.mark.parametrize("letter", "SGC")
@pytest.mark.parametrize(
    ("convs", "growth", "out", "in_channels"),
    [
        # in == G and OUT == in; OUT is another.
        (1, 8, 8, 8),
        (2, 4, 6, 4),
        (7, 8, 4, 8),
        # in != G: the residual is the input, the entry, a 1x1 of its own.
        (3, 8, 12, 12),
        (4, 8, 8, 12),
        (3, 4, 10, 3),
        (8, 4, 5, 8),
        (5, 12, 16, 4),
    ],
)
def test_a_block_computes_what_the_method_says(letter, convs, growth, out, in_channels):
    block = parse_block(f"{letter}_{convs}_{growth}_{out}")
    cell = build_block(block, in_channels)
    rng = np.random.default_rng(convs)
    weights = Weights.random_for(cell, rng)
    x = rng.standard_normal((2, in_channels, 6, 8)).astype(np.float32)
    expected = np.stack([reference_block(block.name, one, weights) for one in x.astype(np.float64)])
    assert weights.unused() == set()
    output = cell(ms.Tensor(x)).asnumpy()
    assert output.shape == expected.shape == (2, out, 6, 8)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert sum(p.size for p in cell.trainable_params()) == block_cost(block.name, in_channels).params


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_channel_shuffle_deals_the_groups_out_in_turn(groups):
    x = np.arange(groups * 4 * 6, dtype=np.float32).reshape(1, groups * 4, 2, 3)
    output = channel_shuffle(ms.Tensor(x), groups).asnumpy()
    np.testing.assert_array_equal(output[0], shuffled(x[0], groups))
