"""ONNX files: what onnxruntime makes of them is what the network makes, at any size."""

import sys

import numpy as np
import pytest
from pictures import enlarging

from esr_ray.errors import UserError
from esr_ray.export.onnx import OPSET, to_onnx
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.spec import NetworkSpec, spec_from_json

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

ARCH = ("G_4_8_12", "C_2_4_6", "S_3_8_8", "G_1_8_8", "C_3_8_8")
SIZES = [(1, 8, 12), (2, 7, 9), (1, 1, 1)]


def made(spec, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1) / 1.5).astype(np.float32)
        for name, shape in parameter_shapes(spec).items()
    }


def run(model, x):
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


@pytest.mark.parametrize("skip", ["none", "nearest", "bicubic"])
@pytest.mark.parametrize(("scale", "channels"), [(2, 3), (3, 1), (4, 3)])
def test_onnxruntime_gives_what_the_network_gives(skip, scale, channels):
    spec = NetworkSpec(ARCH, 8, scale, skip, channels, channels)
    parameters = made(spec)
    model = to_onnx(spec, parameters)
    assert {one.version for one in model.opset_import} == {OPSET}
    assert {node.domain for node in model.graph.node} == {""}, "standard operators only"
    network = choose_predictor("auto", "CPU")(spec, parameters)
    for batch, height, width in SIZES:
        x = np.random.default_rng(1).random((batch, channels, height, width), np.float32)
        expected = network.predict(x)
        found = run(model, x)
        assert found.shape == expected.shape == (batch, channels, scale * height, scale * width)
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_a_convolution_that_is_applied_three_times_has_its_weights_once():
    spec = NetworkSpec(("C_2_4_6",), 8, 2, "none")
    parameters = made(spec)
    model = to_onnx(spec, parameters)
    floats = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    assert sum(onnx.numpy_helper.to_array(one).size for one in floats) == sum(one.size for one in parameters.values())
    assert {one.name for one in floats} == set(parameters)


def test_half_precision_is_close_and_half_as_large():
    spec = NetworkSpec(ARCH, 8, 2, "nearest")
    parameters = made(spec)
    whole, half = (to_onnx(spec, parameters, half=half) for half in (False, True))
    weights = sum(one.size for one in parameters.values())
    assert len(whole.SerializeToString()) - len(half.SerializeToString()) == pytest.approx(2 * weights, rel=0.02)
    x = np.random.default_rng(1).random((1, 3, 9, 10), np.float32)
    found, expected = run(half, x.astype(np.float16)), run(whole, x)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


@pytest.mark.parametrize("scale", [2, 3])
def test_a_network_of_luminance_can_take_rgb(scale):
    task = enlarging(scale, colour="luminance")
    spec = NetworkSpec(("S_2_8_8",), 8, scale, "nearest", 1, 1)
    parameters = {name: value / 4 for name, value in made(spec).items()}
    model = to_onnx(spec, parameters, rgb=True)
    # Far from black and white: what is beyond them the product clips twice.
    picture = np.random.default_rng(0).integers(70, 190, (9, 14, 3), np.uint8)
    network = choose_predictor("auto", "CPU")(spec, parameters)
    expected = task.complete(network.predict(task.given(picture)[None])[0], picture)
    found = run(model, picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)[0]
    assert found.min() >= 0
    assert found.max() <= 1
    # The product rounds the enlarged colours to 8 bits first.
    assert np.abs(255 * found.transpose(1, 2, 0) - expected).max() < 2


def test_the_file_says_which_network_it_is():
    spec = NetworkSpec(("S_1_4_8",), 8, 4, "bicubic", 1, 1, '{"name": "super_resolution"}')
    (kept,) = to_onnx(spec, made(spec)).metadata_props
    assert spec_from_json(kept.value) == spec


def test_without_the_package_the_user_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    spec = NetworkSpec(("S_1_4_8",), 8, 2, "none")
    with pytest.raises(UserError, match=r"pip install 'esr_ray\[onnx\]'"):
        to_onnx(spec, made(spec))


@pytest.mark.usefixtures("block_types")
def test_a_users_block_has_no_onnx_form(tmp_path):
    from test_space_user_block import SIMPLE, write

    from esr_ray.space.user_block import load_user_block

    load_user_block(write(tmp_path, SIMPLE))
    with pytest.raises(UserError, match="R_1_4_8: a block type of a user's file has no ONNX form"):
        to_onnx(NetworkSpec(("R_1_4_8",), 8, 2, "none"), made(NetworkSpec(("S_1_4_8",), 8, 2, "none")))
