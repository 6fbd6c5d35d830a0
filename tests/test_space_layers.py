"""The one description of layers: it computes what the method says, and all counts are read from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_network import Weights, layers_network, reference_network
from strategies import block_names

from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.counts import network_cost
from esr_ray.space.layers import Layers, convolutions, cost_of
from esr_ray.space.spec import NetworkSpec, network_convolutions, network_layers

archs = st.lists(block_names, min_size=1, max_size=4).map(tuple)


def random_weights(spec, seed):
    rng = np.random.default_rng(seed)
    return Weights({name: rng.standard_normal(shape) / 4 for name, shape in parameter_shapes(spec).items()})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(block_names.filter(lambda name: int(name.split("_")[3]) < 17), min_size=1, max_size=3).map(tuple),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([(2, 4), (3, 5), (1, 1)]),
)
def test_the_layers_compute_what_the_method_says(arch, scale, size):
    weights = random_weights(NetworkSpec(arch, 4, scale, "none"), 0)
    picture = np.random.default_rng(1).random((3, *size))
    for skip in ("none", "nearest"):
        expected = reference_network(arch, scale, picture, weights)
        if skip == "nearest":
            expected = expected + np.kron(picture, np.ones((scale, scale)))
        found = layers_network(network_layers(NetworkSpec(arch, 4, scale, skip)), picture, weights)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@given(archs, st.sampled_from([4, 12, 32]), st.sampled_from([2, 3, 4]))
def test_counts_by_block_are_those_of_all_layers(arch, base, scale):
    spec = NetworkSpec(arch, base, scale, "bicubic")
    assert cost_of(network_layers(spec)) == network_cost(arch, base, scale)
    assert (
        sum(int(np.prod(shape)) for shape in parameter_shapes(spec).values()) == network_cost(arch, base, scale).params
    )


@given(archs)
def test_convolutions_are_ordered_by_their_place_in_the_cells(arch):
    spec = NetworkSpec(arch, 8, 2, "none")
    names = [conv.name for conv in network_convolutions(spec)]
    assert sorted(names) == sorted(convolutions(network_layers(spec)))
    assert names[:2] == ["sfe1", "sfe2"]
    assert names[-4:] == ["gff1", "gff2", "upsampler.expand.0", "upsampler.last"]
    blocks = [int(name.split(".")[1]) for name in names if name.startswith("blocks.")]
    assert blocks == sorted(blocks)


def test_a_convolution_that_is_used_again_has_its_parameters_once_and_its_mult_adds_each_time():
    layers = Layers()
    value = layers.input(4)
    for _ in range(3):
        value = layers.conv(value, "same", 4, 3)
    cost = cost_of(layers.steps)
    assert (cost.params, cost.mult_adds) == (4 * 4 * 9 + 4, 3 * 4 * 4 * 9)


def test_what_lies_at_another_resolution_counts_by_its_pixels():
    layers = Layers()
    half = layers.pool(layers.input(8), 2)
    assert cost_of([layers.steps[layers.conv(half, "half", 8, 1)]]).mult_adds == 8 * 8 / 4
    double = layers.pixel_shuffle(layers.input(8), 2)
    assert cost_of([layers.steps[layers.conv(double, "double", 8, 1)]]).mult_adds == 2 * 8 * 4


@pytest.mark.parametrize("scale", [0, 5])
def test_a_scale_without_an_upsampler_has_no_layers(scale):
    with pytest.raises(ValueError, match=f"no upsampler for scale {scale}"):
        network_layers(NetworkSpec(("S_1_4_4",), 4, scale, "none"))
