"""Networks that come with the package: that they are there, what they are, and that they do what they are for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import esr_ray
from esr_ray.__main__ import main
from esr_ray.config.load import load_config
from esr_ray.config.task import TaskConfig
from esr_ray.data.crops import PicturePair
from esr_ray.data.images import read_picture
from esr_ray.data.resize import downscale, upscale
from esr_ray.data.samples import sample_files
from esr_ray.metrics import psnr
from esr_ray.networks.checkpoint import card_of, load_checkpoint
from esr_ray.packaged import DEFAULTS, FOLDER, packaged_for, packaged_names, packaged_path
from esr_ray.space.counts import spec_cost
from esr_ray.tasks.make import make_task

CONFIGS = Path(__file__).parents[1] / "configs"
NAMES = packaged_names()


@pytest.fixture(scope="module")
def photo():
    """A photograph that no network was trained on, of even sides."""
    return np.ascontiguousarray(read_picture(sample_files()["test"][1]).pixels[:256, :384])


def test_there_are_some():
    assert "x2" in NAMES
    assert set(NAMES) <= set(DEFAULTS.values())


@pytest.mark.parametrize("name", NAMES)
def test_each_has_its_card_and_configuration(name):
    path = packaged_path(name)
    assert path.stat().st_size < 300_000
    parameters, spec = load_checkpoint(path)
    card = json.loads((FOLDER / name / "card.json").read_text())
    assert card == card_of(path)
    assert card["parameters"] == spec_cost(spec).params == sum(value.size for value in parameters.values())
    assert card["load"] == name
    assert (FOLDER / name / "README.md").read_text().startswith(f"# {name}\n")
    # What it was searched and trained with.
    config = load_config(str(CONFIGS / f"{name}.yml"), []).config
    assert config.task.name == card["task"]["name"]
    assert config.full_training.steps == card["training"]["steps"]
    assert card["search"]["seed"] == config.seed
    for key in ("licence", "pictures", "versions", "report"):
        assert card[key]


def test_which_one_is_taken():
    assert packaged_for("super_resolution", None) == packaged_for("super_resolution", 2) == "x2"
    assert packaged_for("super_resolution", 7) == "x2"
    for (task, scale), name in DEFAULTS.items():
        if name in NAMES:
            assert packaged_for(task, scale) == name
    assert packaged_for("user", None) is None


@pytest.mark.parametrize(
    "scale", [scale for (task, scale), name in DEFAULTS.items() if task == "super_resolution" and name in NAMES]
)
def test_they_enlarge_better_than_bicubic(scale):
    """Photographs that no network was trained on."""
    gains = []
    for path in sample_files()["test"]:
        hr = read_picture(path).pixels
        hr = np.ascontiguousarray(hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale])
        lr = downscale(hr, scale)
        made, bicubic = esr_ray.load(f"x{scale}").upscale(lr), upscale(lr, scale)
        gains.append(psnr(made, hr, scale, True) - psnr(bicubic, hr, scale, True))
        # The colours are those of the picture.
        assert psnr(made, hr, scale, False) > psnr(bicubic, hr, scale, False)
    assert min(gains) > 0.5
    assert np.mean(gains) > {2: 2.5, 3: 1.8, 4: 1.5}[scale]


def test_denoise25_takes_noise_away(photo):
    task = make_task(TaskConfig(name="denoising", sigma=25))
    given = task.degraded(PicturePair("photo", photo, photo))
    noisy = np.clip(np.rint(255 * given.transpose(1, 2, 0)), 0, 255).astype(np.uint8)
    made = esr_ray.load("denoise25").upscale(noisy)
    assert psnr(noisy, photo, 0, False) < 22
    # Clipping the noise, as 8 bits do, costs a little.
    assert psnr(made, photo, 0, False) > 30


def test_demosaic_makes_rgb_of_a_mosaic(photo):
    mosaic = photo[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = photo[::2, ::2, 0], photo[1::2, 1::2, 2]
    made = esr_ray.load("demosaic").upscale(mosaic)
    malvar = make_task(TaskConfig(name="demosaicking")).baseline.of(PicturePair("photo", photo, photo))
    assert made.shape == photo.shape
    assert psnr(made, photo, 10, False) > psnr(malvar, photo, 10, False) + 2


def test_the_command_needs_no_network(tmp_path, photo, capsys):
    Image.fromarray(photo[:40, :60]).save(tmp_path / "photo.png")
    assert main(["upscale", str(tmp_path / "photo.png")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "photo_x2.png")
    made = np.asarray(Image.open(tmp_path / "photo_x2.png"))
    np.testing.assert_array_equal(made, esr_ray.load("x2").upscale(np.ascontiguousarray(photo[:40, :60])))
    assert main(["upscale", str(tmp_path / "photo.png"), "--task", "user"]) == 2
    assert "--task user: the package has no network for it; give one with --network" in capsys.readouterr().err
    assert main(["upscale", str(tmp_path / "photo.png"), "--network", "x22"]) == 2
    assert "x22: there is no such network; did you mean x2? give a run folder" in capsys.readouterr().err
