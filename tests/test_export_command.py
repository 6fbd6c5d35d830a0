"""`esr_ray.export`: files for other programs, compared with the network that they are of, and its card."""

import json

import mindspore as ms
import numpy as np
import pytest
from test_evaluate_command import SPEC, make_checkpoint
from test_space_user_block import SIMPLE, write

from esr_ray.config.load import check_config
from esr_ray.config.schema import TrainingConfig
from esr_ray.export import __main__ as command
from esr_ray.export.__main__ import main
from esr_ray.inference.predictor import choose_predictor
from esr_ray.metrics import RGB_FROM_YCBCR
from esr_ray.networks.checkpoint import checkpoint_bytes, load_checkpoint, plain_bytes
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.runs.events import Reported, TrainingEnded
from esr_ray.runs.folder import RunFolder, create
from esr_ray.runs.journal import Journal
from esr_ray.runs.record import Record
from esr_ray.space.counts import network_cost
from esr_ray.space.spec import NetworkSpec
from esr_ray.space.user_block import load_user_block
from esr_ray.tasks.make import network_spec
from esr_ray.training.plain import PlainNetwork
from esr_ray.training.result import Seconds


@pytest.fixture(autouse=True)
def _mode():
    """The command sets MindSpore's mode, which outlives it."""
    before = ms.get_context("mode")
    yield
    ms.set_context(mode=before)


def run(*arguments):
    return main([*map(str, arguments)])


def test_onnx_and_mindir_give_what_the_network_gives(tmp_path, capsys):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    checkpoint = make_checkpoint(tmp_path / "net.ckpt")
    onnx, mindir = tmp_path / "out" / "net.onnx", tmp_path / "out" / "net.mindir"
    assert run(checkpoint, "--onnx", onnx, "--mindir", mindir, "--size", "18x27") == 0
    said = capsys.readouterr().out
    assert "in onnxruntime" in said
    assert "27x18" in said
    parameters, spec = load_checkpoint(checkpoint)
    network = choose_predictor("auto", "CPU")(spec, parameters)
    x = np.random.default_rng(3).random((1, 3, 18, 27), np.float32)
    expected = network.predict(x)
    session = runtime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"input": x})[0], expected, atol=1e-4)
    cell = ms.nn.GraphCell(ms.load(str(mindir)))
    np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected, atol=1e-4)


def test_a_file_that_differs_from_the_network_is_not_written(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    checkpoint = make_checkpoint(tmp_path / "net.ckpt")
    right = command.to_onnx

    def wrong(spec, parameters, *more):
        return right(spec, {name: 1.01 * value + 0.01 for name, value in parameters.items()}, *more)

    monkeypatch.setattr(command, "to_onnx", wrong)
    assert run(checkpoint, "--onnx", tmp_path / "net.onnx") == 2
    assert "differs from the network by up to" in capsys.readouterr().err
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("half", [False, True])
def test_what_takes_rgb_is_compared_as_it_is_written(tmp_path, capsys, monkeypatch, half):
    pytest.importorskip("onnxruntime")
    given = check_config(
        {"task": {"colour": "luminance"}, "data": {"hr": "unused"}, "space": {"base_channels": 8}}, "test"
    )
    checkpoint = make_checkpoint(tmp_path / "net.ckpt", network_spec(("S_1_4_8",), given))
    options = ["--onnx", tmp_path / "net.onnx", "--rgb", *(["--half"] if half else [])]
    assert run(checkpoint, *options) == 0
    (tmp_path / "net.onnx").unlink()
    # With other colours around the network the file is refused.
    monkeypatch.setattr("esr_ray.export.onnx.RGB_FROM_YCBCR", 0.8 * RGB_FROM_YCBCR)
    assert run(checkpoint, *options) == 2
    assert "differs from the network" in capsys.readouterr().err
    assert not (tmp_path / "net.onnx").exists()


def test_a_card_says_what_is_known_of_a_network(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "net.ckpt")
    assert run(checkpoint, "--card", tmp_path / "card") == 0
    content = json.loads((tmp_path / "card" / "card.json").read_text())
    assert content["arch"] == list(SPEC.arch)
    assert content["parameters"] == network_cost(SPEC.arch, SPEC.base_channels, SPEC.scale).params
    assert "report" not in content
    text = (tmp_path / "card" / "README.md").read_text()
    assert f"{content['parameters']:,}" in text
    assert "S_1_4_8 C_1_4_4" in text


def test_of_a_runs_network_the_card_has_training_and_report(tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = check_config({"data": {"hr": "sample:scikit-image"}, "space": {"base_channels": 8}}, "test")
    create(folder, config, {})
    spec = network_spec(("S_1_4_8",), config)
    parameters = initial_parameters(parameter_shapes(spec), 1, True)
    folder.checkpoint("final").write_bytes(checkpoint_bytes(parameters, spec))
    figures = {"psnr_y": 31.5, "ssim_y": 0.91, "psnr_rgb": 30.0, "ssim_rgb": 0.9}
    less = {**figures, "psnr_y": 30.25}
    settings = {"steps": 1234, "batch_size": 16, "crop_size": 48}
    with Journal(folder.journal) as journal:
        record = Record(journal)
        place = str(folder.checkpoint("final"))
        record.append(TrainingEnded(None, spec.arch, settings, place, Seconds(1.0, 2.0, 3.0), ()))
        part = {"name": "test", "network": figures, "baseline": less, "pictures": []}
        record.append(Reported([], 1.0, [part]))
    assert run(folder.path, "--card", tmp_path / "card") == 0
    content = json.loads((tmp_path / "card" / "card.json").read_text())
    assert content["training"] == settings
    assert content["report"]["sets"] == [{"name": "test", "network": figures, "baseline": less}]
    assert content["report"]["baseline"] == "bicubic"
    text = (tmp_path / "card" / "README.md").read_text()
    assert "| test | 31.50 | 0.9100 | 30.25 |" in text
    assert "1,234 steps" in text

    # A plain file takes it all along, with what only a person knows.
    plain = tmp_path / "sent" / "mine.safetensors"
    about = ["--name", "mine", "--licence", "CC0", "--pictures", "thirty of my own"]
    assert run(folder.path, "--weights", plain, "--half", *about) == 0
    loaded, same = load_checkpoint(plain)
    assert same == spec
    np.testing.assert_allclose(loaded["gff1.weight"], parameters["gff1.weight"], rtol=1e-3)
    assert run(plain, "--card", tmp_path / "again") == 0
    sent = json.loads((tmp_path / "again" / "card.json").read_text())
    assert sent["name"] == "mine"
    for key in ("training", "report", "versions", "data"):
        assert sent[key] == content[key]
    text = (tmp_path / "again" / "README.md").read_text()
    for line in ("# mine", "| licence | CC0 |", "| trained on | thirty of my own |", "1,234 steps"):
        assert line in text
    assert 'esr_ray.load("mine.safetensors").upscale(picture)' in text


@pytest.mark.parametrize(
    "card", [{"data": 3}, {"report": {"sets": []}}, {"training": []}, {"versions": [1]}, {"files": 3}]
)
def test_a_plain_file_with_a_card_of_somebody_else_is_one_line(tmp_path, capsys, card):
    parameters, spec = load_checkpoint(make_checkpoint(tmp_path / "net.ckpt"))
    plain = tmp_path / "net.safetensors"
    plain.write_bytes(plain_bytes(parameters, spec, False, card))
    status = run(plain, "--card", tmp_path / "card")
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    # Files are those that are written now, whatever the card says.
    assert status == (0 if "files" in card else 2)
    assert all(line.startswith(f"error: {plain}: the card inside is none that esr_ray has written") for line in errors)
    assert len(errors) == (status == 2)


def test_what_is_wrong_is_one_line(tmp_path, capsys):
    def refused(*arguments):
        assert run(*arguments) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        return line

    checkpoint = make_checkpoint(tmp_path / "net.ckpt")
    assert "give what to write" in refused(checkpoint)
    assert "no such checkpoint" in refused(tmp_path / "none.ckpt", "--card", tmp_path / "card")
    assert "ends in .onnx" in refused(checkpoint, "--onnx", tmp_path / "net.bin")
    assert "write HEIGHTxWIDTH" in refused(checkpoint, "--mindir", tmp_path / "a.mindir", "--size", "large")
    assert "give --onnx FILE or --weights FILE too" in refused(checkpoint, "--card", tmp_path / "card", "--half")
    assert "takes 3 channels already" in refused(checkpoint, "--onnx", tmp_path / "a.onnx", "--rgb")
    (tmp_path / "file").touch()
    assert "cannot be made" in refused(checkpoint, "--onnx", tmp_path / "file" / "a.onnx")
    make_checkpoint(tmp_path / "other.ckpt")
    assert "has 2 networks" in refused(tmp_path, "--card", tmp_path / "card")


@pytest.mark.usefixtures("block_types")
def test_a_users_block_is_one_line_too(tmp_path, capsys):
    pytest.importorskip("onnx")
    load_user_block(write(tmp_path, SIMPLE))
    spec = NetworkSpec(("R_1_4_8",), 8, 2, "bicubic")
    parameters = PlainNetwork(spec, TrainingConfig(steps=1), seed=1).parameters()
    (tmp_path / "net.ckpt").write_bytes(checkpoint_bytes(parameters, spec))
    assert run(tmp_path / "net.ckpt", "--onnx", tmp_path / "net.onnx") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "R_1_4_8: a block type of a user's file has no ONNX form" in line
    assert not (tmp_path / "net.onnx").exists()
