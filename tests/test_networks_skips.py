"""The global skip: what the network gives while its last convolution is zero."""

import mindspore as ms
import numpy as np
import pytest

from esr_ray.data.resize import upscale
from esr_ray.networks.esrn import ESRN
from esr_ray.networks.skips import make_skip
from esr_ray.networks.target import use_target
from esr_ray.space.spec import NetworkSpec


@pytest.fixture(autouse=True)
def _pynative():
    mode = ms.get_context("mode")
    use_target("CPU", "pynative")
    yield
    ms.set_context(mode=mode)


def with_a_zero_tail(scale, skip, picture):
    """The output (H, W, 3) for a picture (h, w, 3) in [0, 1]."""
    network = ESRN(NetworkSpec(("S_1_4_4",), 4, scale, skip))
    for parameter in network.upsampler.last.trainable_params():
        parameter.set_data(ms.Tensor(np.zeros(parameter.shape, np.float32)))
    x = picture.transpose(2, 0, 1)[None].astype(np.float32)
    return network(ms.Tensor(x)).asnumpy()[0].transpose(1, 2, 0)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_nearest_repeats_each_pixel(scale, size):
    picture = np.random.default_rng(0).random((*size, 3)).astype(np.float32)
    expected = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(with_a_zero_tail(scale, "nearest", picture), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_bicubic_is_the_baselines_enlargement_before_rounding(scale, size):
    # Middle greys: the baseline clips to 8 bits after each dimension, which a skip must not.
    picture = np.random.default_rng(0).integers(80, 176, (*size, 3)).astype(np.uint8)
    output = with_a_zero_tail(scale, "bicubic", picture / 255)
    difference = np.abs(output * 255 - upscale(picture, scale))
    # Two roundings, the first spread by the second filter (whose weights' absolute values sum to at most 1.25).
    assert difference.max() <= 0.5 * 1.25 + 0.5 + 0.01
    assert difference.mean() < 0.4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_continues_quadratics_exactly(scale):
    """Keys' cubic with a = -0.5 is exact for them, and no other a is."""

    def surface(rows, columns):
        y, x = np.meshgrid(rows, columns, indexing="ij")
        return np.stack([0.01 * x**2 + 0.02 * x * y, 0.02 * y**2 - 0.1 * x, 0.3 - 0.05 * y + 0.01 * x], axis=-1)

    picture = surface(np.arange(8.0), np.arange(10.0))
    rows, columns = ((np.arange(n * scale) + 0.5) / scale - 0.5 for n in (8, 10))
    inner = slice(3 * scale, -3 * scale)
    output = with_a_zero_tail(scale, "bicubic", picture)
    np.testing.assert_allclose(output[inner, inner], surface(rows, columns)[inner, inner], atol=2e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_a_skip_nothing_is_added(scale):
    picture = np.random.default_rng(0).random((6, 4, 3))
    assert not with_a_zero_tail(scale, "none", picture).any()


def test_a_skip_has_nothing_to_train():
    assert all(make_skip(kind, 2, 3).trainable_params() == [] for kind in ("none", "nearest", "bicubic"))
