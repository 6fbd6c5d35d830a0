"""Networks from Python, and one name for all commands."""

import subprocess
import sys

import numpy as np
import pytest
from cases import photos
from PIL import Image
from test_evaluate_command import SPEC, make_checkpoint

import esr_ray
from esr_ray.__main__ import COMMANDS, main
from esr_ray.space.counts import spec_cost


@pytest.fixture
def network(tmp_path):
    return esr_ray.load(make_checkpoint(tmp_path / "net.ckpt"))


def test_a_network_is_loaded_and_enlarges_arrays(network):
    assert (network.name, network.arch, network.scale) == ("net", SPEC.arch, 2)
    assert network.parameters == spec_cost(SPEC).params
    picture = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    told = []
    made = network.upscale(picture, progress=told.append)
    assert (made.shape, made.dtype) == ((24, 34, 3), np.uint8)
    assert told[-1] == pytest.approx(1)
    assert network.upscale(picture, scale=3).shape == (36, 51, 3)
    grey = network.upscale(picture[..., 0])
    assert grey.shape == (24, 34)
    np.testing.assert_array_equal(network.upscale(np.ascontiguousarray(picture[:, ::-1])).shape, made.shape)


def test_images_keep_their_kind(network):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 4), np.uint8)
    image = Image.fromarray(pixels)
    image.info["dpi"] = (300, 300)
    made = network.upscale(image)
    assert (made.mode, made.size, made.info["dpi"]) == ("RGBA", (18, 16), (300, 300))
    assert network.upscale(image.convert("L")).mode == "L"


def test_what_is_no_picture_is_refused(network, tmp_path):
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="a picture is uint8"):
            network.upscale(wrong)
    with pytest.raises(ValueError, match="no pixels"):
        network.upscale(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(esr_ray.UserError, match="no such checkpoint"):
        esr_ray.load(tmp_path / "none.ckpt")
    with pytest.raises(AttributeError, match="nothing"):
        _ = esr_ray.nothing


def test_importing_the_package_imports_nothing_heavy():
    heavy = "mindspore", "ray", "numpy", "PIL", "sklearn", "scipy", "rich", "pydantic"
    code = f"import sys, esr_ray; sys.exit(any(name in sys.modules for name in {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_name_has_all_commands(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name} " in shown
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert "usage: python -m esr_ray" in capsys.readouterr().out
    assert main(["serach"]) == 2
    assert "no command 'serach'; did you mean search?" in capsys.readouterr().err
    assert main(["upscale", "none.png", "--network", "none.ckpt"]) == 2


@pytest.mark.timeout(400)
def test_searching_and_training_from_python(case, ray_address):
    """A search on a Ray of its own, as a script would have it; the rest on another one."""
    case.set("runtime.evaluators", 1).set("runtime.trainers", 1)
    told = []
    result = esr_ray.search_networks(case.content, ["evolution.num_generation=3"], on_status=told.append)
    assert (result.finished, result.folder) == (True, case.path / "runs" / "first")
    assert result.message.startswith("Best values: ")
    # Its own log, once and in order.
    lines = [line for status in told for line in status.lines]
    assert lines[0].startswith(f"run folder: {result.folder}")
    assert sum(" dB after 1 steps" in line and "compile" in line for line in lines) == 6
    assert told[-1].phase == "finished"

    assert result.winner in result.front
    assert 0 < result.confidence <= 1
    (network,) = result.networks
    assert (network.label, network.arch, network.params) == ("final", result.winner.arch, result.winner.params)
    assert network.checkpoint.is_file()
    (report,) = network.sets
    assert (report.name, network.baseline) == ("test", "bicubic")
    assert 10 < report.network.psnr_y < 60
    assert report.network != report.baseline

    # The command would say so too: nothing is done again.
    again = esr_ray.search_networks(resume=result.folder, address=ray_address)
    assert (again.winner, again.networks[0].checkpoint) == (result.winner, network.checkpoint)

    overrides = ["full_training.steps=2"]
    trained = esr_ray.train_networks(sources=[result.folder], overrides=overrides, address=ray_address)
    assert trained.folder.name.startswith("first-train-")
    assert [one.arch for one in trained.networks] == [result.winner.arch]
    assert (trained.winner, trained.front) == (None, ())


def test_what_is_wrong_with_an_experiment_is_an_exception(case):
    with pytest.raises(esr_ray.UserError, match=r"space\.node_nun: unknown key; did you mean space\.node_num\?"):
        esr_ray.search_networks(case.set("space.node_nun", 3).content)
    del case.content["space"]["node_nun"]
    with pytest.raises(esr_ray.UserError, match="give a configuration, or resume a run"):
        esr_ray.search_networks()
    with pytest.raises(esr_ray.UserError, match="is not a run folder"):
        esr_ray.search_networks(resume=case.path)
    with pytest.raises(esr_ray.UserError, match="does not go with resume"):
        esr_ray.search_networks(resume=case.path, seed_from=case.path)
    with pytest.raises(esr_ray.UserError, match=r"networks\[0\]: 'X_1_4_8'"):
        esr_ray.train_networks(case.content, networks=[["X_1_4_8"]])
    with pytest.raises(esr_ray.UserError, match="begin a new run for others"):
        esr_ray.train_networks(resume=case.path, networks=[["S_1_4_8"]])


def test_measuring_from_python(tmp_path):
    networks = [make_checkpoint(tmp_path / "a.ckpt"), make_checkpoint(tmp_path / "b.ckpt", seed=2)]
    folder, lines, seen = photos(tmp_path / "photos", 1, 2), [], []
    found = esr_ray.evaluate_networks(
        networks,
        {"Mine": folder},
        cache_dir=tmp_path / "cache",
        on_pictures=lambda network, part, pictures: seen.append((network, part, len(pictures))),
        say=lines.append,
    )
    assert (found.task.title, [one.name for one in found.results]) == ("x2", ["bicubic", "a", "b"])
    assert seen == [("bicubic", "Mine", 2), ("a", "Mine", 2), ("b", "Mine", 2)]
    assert lines[-1].startswith("b: ")
    for one in found.results:
        assert 10 < one.sets[0].mean.psnr_y < 60
        assert one.latency_s is None
    with pytest.raises(esr_ray.UserError, match="give pictures"):
        esr_ray.evaluate_networks(networks)
    with pytest.raises(esr_ray.UserError, match="enlarges by 2, not by 3"):
        esr_ray.evaluate_networks(networks, {"Mine": folder}, scale=3)
