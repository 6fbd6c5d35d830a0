"""Large pictures in parts give what the whole picture gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.tiles import Sight, Tiled, spans
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.layers import reach_of
from esr_ray.space.spec import NetworkSpec, network_layers


def made(spec, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)
        for name, shape in parameter_shapes(spec).items()
    }


@given(st.integers(1, 3000), st.integers(0, 100), st.integers(8, 600))
def test_spans_cover_an_axis_once_and_see_far_enough(length, reach, side):
    found = spans(length, Sight(reach), side)
    assert found[0].first == 0
    assert found[-1].last == length
    for one, after in pairwise(found):
        assert one.last == after.first
    for one in found:
        assert one.start % 2 == 0
        assert one.start <= one.first < one.last <= one.end
        assert one.start == 0 or one.first - one.start >= reach
        assert one.end == length or one.end - one.last >= reach
        assert one.end - one.start <= max(side, 4 * reach) + 3
    assert len({one.end - one.start for one in found[:-1]}) <= 1


@pytest.mark.parametrize("skip", ["none", "nearest", "bicubic"])
@pytest.mark.parametrize(
    ("arch", "scale"),
    [
        (("S_3_4_8", "G_2_8_8"), 2),
        (("C_2_4_6",), 3),
        (("C_1_4_4", "S_2_4_8", "C_3_4_4"), 4),
    ],
)
def test_the_reach_is_that_of_the_network_and_not_much_more(arch, scale, skip):
    spec = NetworkSpec(arch, 4, scale, skip)
    network = choose_predictor("auto", "CPU")(spec, made(spec))
    reach = reach_of(network_layers(spec))
    size = 2 * reach + 40
    rng = np.random.default_rng(0)
    x = rng.random((1, 3, 12, size), np.float32)
    changed = x.copy()
    middle = size // 2
    changed[..., middle] += 1
    columns = np.flatnonzero((network.predict(x) != network.predict(changed)).any((0, 1, 2)))
    seen = max(middle - columns.min() // scale, columns.max() // scale - middle)
    assert seen <= reach
    assert reach <= 1.4 * seen + 4


@pytest.mark.parametrize("kernels", ["native", "plain"])
@pytest.mark.parametrize(("height", "width"), [(161, 190), (40, 231), (250, 33)])
def test_tiles_give_what_the_whole_picture_gives(kernels, height, width, request):
    if kernels == "native":
        request.getfixturevalue("library")
    spec = NetworkSpec(("C_1_4_4", "S_2_4_8"), 4, 2, "bicubic")
    network = choose_predictor(kernels, "CPU")(spec, made(spec))
    calls = []

    class Counted:
        kernels = network.kernels

        def compile_predict(self, lr):
            network.compile_predict(lr)

        def predict(self, lr):
            calls.append(lr.shape)
            return network.predict(lr)

    tiled = Tiled(Counted(), spec, side=48)
    # A gradient: a seam would show in it.
    picture = np.add.outer(np.linspace(0, 1, height), np.linspace(0, 1, width)) / 2
    x = np.stack([picture, picture**2, 1 - picture])[None].astype(np.float32)
    tiled.compile_predict(x)
    found, whole = tiled.predict(x), network.predict(x)
    assert len(calls) > 2
    assert max(shape[2] * shape[3] for shape in calls) < height * width
    np.testing.assert_allclose(found, whole, atol=1e-5 * np.abs(whole).max())


def test_a_picture_that_fits_is_predicted_at_once():
    spec = NetworkSpec(("S_1_4_4",), 4, 2, "none")
    network = choose_predictor("auto", "CPU")(spec, made(spec))
    x = np.random.default_rng(0).random((2, 3, 30, 31), np.float32)
    np.testing.assert_array_equal(Tiled(network, spec).predict(x), network.predict(x))
