"""The whole network: its outputs, its sizes, and that the counts are those of what is built."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from numpy_network import Weights, reference_network

from esr_ray.networks.esrn import ESRN
from esr_ray.networks.target import use_target
from esr_ray.space.counts import network_cost
from esr_ray.space.spec import NetworkSpec

MIXED = ("G_4_8_12", "C_2_4_6", "S_3_8_8")


@pytest.fixture(autouse=True)
def _pynative():
    mode = ms.get_context("mode")
    use_target("CPU", "pynative")
    yield
    ms.set_context(mode=mode)


def run(network, *pictures):
    return network(ms.Tensor(np.stack(pictures).astype(np.float32))).asnumpy()


def random_arch(rng, longest):
    def block():
        growth, out = int(rng.choice([4, 8, 12, 16, 24, 32])), int(rng.integers(1, 65))
        # Half of the blocks hand on their growth rate: entries and residuals of all kinds.
        return f"{rng.choice(list('SGC'))}_{rng.integers(1, 9)}_{growth}_{growth if rng.random() < 0.5 else out}"

    return tuple(block() for _ in range(rng.integers(1, longest + 1)))


def test_params_are_those_of_the_built_network():
    rng = np.random.default_rng(0)
    for index in range(200):
        arch, base = random_arch(rng, 4), int(rng.choice([4, 8, 16, 32]))
        scale, skip = int(rng.choice([2, 3, 4])), ("none", "nearest", "bicubic")[index % 3]
        network = ESRN(NetworkSpec(arch, base, scale, skip))
        built = sum(parameter.size for parameter in network.trainable_params())
        assert built == network_cost(arch, base, scale).params, (arch, base, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_mult_adds_are_those_that_the_built_network_does(scale):
    """Every convolution is watched: each call costs its output's positions times the weights of a position."""
    rng = np.random.default_rng(scale)
    done = []

    def count(cell, _inputs, output):
        done.append(cell.weight.size * output.shape[2] * output.shape[3])

    for _ in range(10):
        arch, base = random_arch(rng, 3), int(rng.choice([4, 8, 16]))
        network = ESRN(NetworkSpec(arch, base, scale, "nearest"))
        for _, cell in network.cells_and_names():
            if isinstance(cell, nn.Conv2d):
                cell.register_forward_hook(count)
        done.clear()
        run(network, np.zeros((3, 4, 6)))
        assert sum(done) == network_cost(arch, base, scale).mult_adds * 24, arch


@pytest.mark.parametrize("skip", ["none", "nearest"])
@pytest.mark.parametrize(("scale", "size"), [(2, (6, 8)), (3, (7, 9)), (4, (8, 5))])
def test_the_network_computes_what_the_method_says(scale, size, skip):
    network = ESRN(NetworkSpec(MIXED, 8, scale, skip))
    rng = np.random.default_rng(scale)
    weights = Weights.random_for(network, rng)
    pictures = rng.random((2, 3, *size)).astype(np.float32)
    expected = np.stack([reference_network(MIXED, scale, one.astype(np.float64), weights) for one in pictures])
    assert weights.unused() == set()
    if skip == "nearest":
        expected += np.kron(pictures, np.ones((scale, scale)))
    output = run(network, *pictures)
    assert output.shape == expected.shape == (2, 3, scale * size[0], scale * size[1])
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("skip", ["none", "nearest", "bicubic"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_odd_picture_is_padded_by_its_edge_and_cropped(scale, skip):
    network = ESRN(NetworkSpec(MIXED, 8, scale, skip))
    rng = np.random.default_rng(0)
    Weights.random_for(network, rng)
    for height, width in ((7, 9), (8, 5), (7, 6), (1, 1)):
        picture = rng.random((3, height, width))
        padded = np.pad(picture, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        output = run(network, picture)
        assert output.shape == (1, 3, scale * height, scale * width)
        cropped = run(network, padded)[:, :, : scale * height, : scale * width]
        np.testing.assert_allclose(output, cropped, rtol=1e-5, atol=1e-5 * np.abs(cropped).max())


@pytest.mark.parametrize(
    ("scale", "skip", "size"), [(2, "bicubic", (7, 9)), (3, "nearest", (6, 5)), (4, "none", (6, 4))]
)
def test_graph_and_pynative_give_the_same_output(scale, skip, size):
    network = ESRN(NetworkSpec(MIXED, 8, scale, skip))
    rng = np.random.default_rng(0)
    Weights.random_for(network, rng)
    picture = rng.random((3, *size))
    pynative = run(network, picture)
    ms.set_context(mode=ms.GRAPH_MODE)
    graph = run(network, picture)
    np.testing.assert_allclose(graph, pynative, rtol=1e-5, atol=1e-5 * np.abs(pynative).max())


def test_pictures_of_a_batch_do_not_see_each_other():
    network = ESRN(NetworkSpec(MIXED, 8, 2, "bicubic"))
    rng = np.random.default_rng(0)
    Weights.random_for(network, rng)
    one, other = rng.random((2, 3, 4, 6))
    alone = run(network, one)[0]
    np.testing.assert_allclose(run(network, other, one)[1], alone, rtol=1e-5, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("scale", [0, 5])
def test_a_scale_without_an_upsampler_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale {scale}"):
        ESRN(NetworkSpec(MIXED, 8, scale, "none"))
