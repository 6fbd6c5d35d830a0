"""Networks from Python, and one name for all commands."""

import subprocess
import sys

import numpy as np
import pytest
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
