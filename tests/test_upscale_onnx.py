"""ONNX files as networks: those of `esr_ray.export`, and those of other programs."""

import sys

import numpy as np
import pytest
from PIL import Image
from test_upscale import run, saved, smooth

import esr_ray
from esr_ray.export.__main__ import main as export
from esr_ray.inference.enlarge import enlarge
from esr_ray.inference.load import load_network
from esr_ray.inference.onnx_file import STEP
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.checkpoint import checkpoint_bytes
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.counts import spec_cost
from esr_ray.space.spec import NetworkSpec

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LUMINANCE = '{"name": "super_resolution", "scale": 2, "colour": "luminance"}'
MOSAIC = '{"name": "demosaicking", "scale": 2}'
SPECS = {
    "rgb": NetworkSpec(("S_2_4_8", "C_1_4_4"), 8, 2, "bicubic"),
    "luminance": NetworkSpec(("S_2_4_8", "C_1_4_4"), 8, 2, "bicubic", 1, 1, LUMINANCE),
    "clean": NetworkSpec(("S_1_4_8",), 8, 1, "nearest", task='{"name": "denoising"}'),
    "mosaic": NetworkSpec(("S_1_4_8",), 8, 2, "nearest", 4, 3, MOSAIC),
}


def exported(folder, name, *options):
    """A checkpoint and the ONNX file of it."""
    spec = SPECS[name]
    rng = np.random.default_rng(0)
    parameters = {
        key: (rng.standard_normal(shape) * (len(shape) > 1) / 20).astype(np.float32)
        for key, shape in parameter_shapes(spec).items()
    }
    checkpoint, file = folder / f"{name}.ckpt", folder / f"{name}.onnx"
    checkpoint.write_bytes(checkpoint_bytes(parameters, spec))
    assert export([str(checkpoint), "--onnx", str(file), *options]) == 0
    return checkpoint, file


@pytest.mark.parametrize("name", SPECS)
def test_an_exported_network_makes_the_same_pictures(name, tmp_path):
    checkpoint, file = exported(tmp_path, name)
    one = load_network(checkpoint, choose_predictor("auto", "CPU"))
    other = esr_ray.load(file)
    assert (other.name, other.arch, other.scale) == (name, SPECS[name].arch, one.task.enlargement)
    assert other.parameters == spec_cost(SPECS[name]).params
    assert other.loaded.predictor.kernels.startswith("onnxruntime")
    assert (other.loaded.sight, other.loaded.side) == (one.sight, one.side)
    picture = smooth(61, 83)[..., : 1 if name == "mosaic" else 3]
    found, expected = (enlarge(picture, network, side=40) for network in (other.loaded, one))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_rgb_around_luminance_and_half_precision_are_known(tmp_path):
    checkpoint, file = exported(tmp_path, "luminance", "--rgb", "--half")
    picture = smooth(31, 44)
    expected = enlarge(picture, load_network(checkpoint, choose_predictor("auto", "CPU")))
    found = esr_ray.load(file).upscale(picture)
    # Bicubic's colours are not rounded in the graph, and numbers have 11 bits.
    assert np.abs(found.astype(int) - expected).max() <= 3


def test_the_command_takes_an_onnx_file(tmp_path, capsys):
    _, file = exported(tmp_path, "rgb")
    source = saved(tmp_path / "a.png", smooth(20, 24))
    assert run(source, "--network", file, "--scale", 3, "--task", "super_resolution") == 0
    with Image.open(tmp_path / "a_x3.png") as made:
        assert made.size == (72, 60)
    assert run(source, "--network", file, "--kernels", "native") == 2
    assert "is run by onnxruntime, not by native kernels" in capsys.readouterr().err


def graph(nodes, path, channels=3, shape=None, kind=onnx.TensorProto.FLOAT, more=(), constants=()):
    """A file of another program; the last node gives `y`."""
    value = onnx.helper.make_tensor_value_info
    ends = [value("x", kind, shape or ["n", channels, "h", "w"]), *more], [value("y", kind, None)]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in constants]
    made = onnx.helper.make_graph(nodes, "other", *ends, constants)
    onnx.save(onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def convolutions(path, channels=3, factor=2, kernel=5, pool=False, **options):
    """Two convolutions, and the picture itself, enlarged."""
    node = onnx.helper.make_node
    rng = np.random.default_rng(0)
    out = channels * factor * factor
    constants = {
        "first": rng.standard_normal((4, channels, kernel, kernel)) / 40,
        "second": rng.standard_normal((out, 4, 3, 3)) / 40,
        "scales": np.array([1, 1, factor, factor]),
    }
    nodes = [
        node("Conv", ["x", "first"], ["a"], pads=[kernel // 2] * 4),
        node("Relu", ["a"], ["b"]),
        *([node("GlobalAveragePool", ["b"], ["m"]), node("Mul", ["b", "m"], ["c"])] if pool else []),
        node("Conv", ["c" if pool else "b", "second"], ["d"], pads=[1] * 4),
        node("DepthToSpace", ["d"], ["e"], blocksize=factor, mode="CRD"),
        node("Resize", ["x", "", "scales"], ["f"], mode="nearest"),
        node("Add", ["e", "f"], ["y"]),
    ]
    return graph(
        nodes, path, channels, constants=[(name, one.astype(np.float32)) for name, one in constants.items()], **options
    )


@pytest.mark.parametrize(("channels", "factor"), [(3, 2), (1, 3), (3, 4), (3, 1)])
def test_a_network_of_another_program_is_found_out(channels, factor, tmp_path):
    network = esr_ray.load(convolutions(tmp_path / "other.onnx", channels, factor))
    assert (network.scale, network.arch, network.parameters) == (factor, (), None)
    assert network.loaded.task.name == ("super_resolution" if factor > 1 else "denoising")
    # 2 pixels of the first convolution, 1 of the second, and one that is added.
    assert network.loaded.sight.reach == 4
    assert network.loaded.sight.step == STEP
    picture = smooth(75, 90)
    tiled = enlarge(picture, network.loaded, side=32)
    assert tiled.shape == (factor * 75, factor * 90, 3)
    np.testing.assert_array_equal(tiled, enlarge(picture, network.loaded, side=512))


def test_channels_that_are_not_said_are_tried(tmp_path):
    network = esr_ray.load(convolutions(tmp_path / "other.onnx", 1, 2, shape=["n", "c", "h", "w"]))
    assert network.loaded.spec.in_channels == 1


def test_a_network_that_sees_all_of_a_picture_is_given_it_whole(tmp_path):
    network = esr_ray.load(convolutions(tmp_path / "other.onnx", pool=True))
    assert network.loaded.sight.reach is None
    picture = smooth(70, 80)
    np.testing.assert_array_equal(enlarge(picture, network.loaded, side=32), enlarge(picture, network.loaded, side=512))


def test_files_that_are_of_no_use_are_one_line(tmp_path, capsys):
    source = saved(tmp_path / "a.png", smooth(12, 12))
    path = tmp_path / "net.onnx"
    node, floats = onnx.helper.make_node, onnx.TensorProto.FLOAT

    def refused(words):
        assert run(source, "--network", path) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert words in line
        assert "net.onnx" in line
        assert not (tmp_path / "a_x2.png").exists()

    refused("there is no such file")
    path.write_bytes(b"\x00 no graph")
    refused("is no ONNX file that onnxruntime can run")
    convolutions(path, shape=["n", 3, 64, 96])
    refused("takes pictures of 96x64 only; export it with free height and width")
    graph([node("Identity", ["x"], ["y"])], path, 5)
    refused("takes 5 channels")
    graph([node("Identity", ["x"], ["y"])], path, kind=onnx.TensorProto.INT64)
    refused("takes and gives float, or float16")
    graph([node("Identity", ["x"], ["y"])], path, shape=["h", "w"])
    refused("takes 2 dimensions")
    other = onnx.helper.make_tensor_value_info("z", floats, ["n", 3, "h", "w"])
    graph([node("Add", ["x", "z"], ["y"])], path, more=[other])
    refused("has 2 inputs and 1 outputs")
    graph([node("ReduceMean", ["x"], ["y"])], path)
    refused("no picture of as many channels")
    graph([node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])], path)
    refused("times as wide")
    graph([node("SpaceToDepth", ["x"], ["a"], blocksize=4), node("DepthToSpace", ["a"], ["y"], blocksize=4)], path)
    refused("cannot be run on a picture of any size")
    graph([node("Identity", ["x"], ["y"])], path, 1)
    refused("takes luminance alone")
    model = onnx.load(convolutions(path))
    onnx.helper.set_model_props(model, {"esr_ray.network": '{"arch": ["S_2_4_8"], "later": 1}'})
    onnx.save(model, path)
    refused("names a network that this version of esr_ray does not know")


def test_without_the_package_the_user_is_told_how_to_get_it(tmp_path, capsys, monkeypatch):
    _, file = exported(tmp_path, "rgb")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert run(saved(tmp_path / "a.png", smooth(12, 12)), "--network", file) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "pip install 'esr_ray[onnx]'" in line
