"""A tiny search of each task by the command, and what its network is used for afterwards."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esr_ray.__main__ import main
from esr_ray.inference.find import only_network
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.record import read_history

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "jpeg_artefacts.py"

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("task", "by", "baselines"),
    [
        ({"scale": 3, "colour": "luminance"}, "psnr_y", ["bicubic"]),
        ({"name": "denoising", "sigma": [15, 50], "clip": True}, "psnr_rgb", ["noisy", "non-local means"]),
        ({"name": "demosaicking", "pattern": "GBRG"}, "psnr_rgb", ["Malvar", "bilinear"]),
        ({"file": str(EXAMPLE)}, "score", ["input"]),
    ],
    ids=["luminance", "denoising", "demosaicking", "user"],
)
def test_search_train_report_and_use(case, capsys, ray_address, task, by, baselines):
    case.content["task"] = task
    case.set("fast_training.steps", 8).set("full_training.steps", 8).set("fast_training.crop_size", 8)
    case.set("full_training.crop_size", 8).set("full_training.batch_size", 2).set("runtime.trainers", 1)
    case.set("runtime.evaluators", 1)
    assert main(["search", case.write(), "--address", ray_address]) == 0
    told = capsys.readouterr().out
    name, meaning = {
        "psnr_y": ("PSNR", "PSNR: dB on Y"),
        "psnr_rgb": ("PSNR", "PSNR: dB over R, G and B"),
        "score": ("score", "score: of the task's file"),
    }[by]
    assert f"'{name}': " in told.splitlines()[-1]
    assert f"{meaning}, validation pictures" in told.splitlines()[-1]

    folder = RunFolder(case.path / "runs" / "first")
    result = json.loads(folder.result.read_text())
    history = read_history(folder.journal)
    best = history.state.outcomes[0].quality
    assert best.by == by
    assert f"fitness_{by}" in result["best"]
    assert history.reported["final"].by == by
    assert history.reported["final"].baseline == baselines[0]
    assert by in history.reported["final"].sets[0]["network"]
    network = str(only_network(folder.path).path)

    assert main(["evaluate", network, "--data", f"Own={case.path / 'photos'}", "--format", "json"]) == 0
    measured = json.loads(capsys.readouterr().out)["networks"]
    assert [one["name"] for one in measured] == [*baselines, "final"]
    assert all(np.isfinite(one["sets"][0]["mean"][by]) for one in measured)
    if task.get("name") == "demosaicking":
        return
    photo = case.path / "photos" / "0.png"
    assert main(["upscale", str(photo), "-o", str(case.path / "out.png"), "--network", network]) == 0
    scale = task.get("scale", 1)
    assert Image.open(case.path / "out.png").size == tuple(side * scale for side in Image.open(photo).size)


def test_a_file_that_fails_is_told_before_anything_runs(case, fails):
    file = case.path / "mine.py"
    file.write_text("NAME = 'mine'\ndef degrade(picture, random):\n    return picture[:3]\n")
    case.content["task"] = {"file": str(file)}
    assert fails(case.write()) == (
        f"{file}: degrade gave (3, 24, 3) of a picture (24, 24, 3), and should give (24, 24, 3) (task.scale is 1)"
    )
    case.content["task"] = {"file": str(case.path / "none.py")}
    assert fails(case.write()) == f"task.file: {case.path / 'none.py'} is not a file"


def test_a_resumed_run_takes_its_own_copy_of_the_task(case, capsys, ray_address):
    file = case.path / "mine.py"
    file.write_text("NAME = 'copied'\ndef degrade(picture, random):\n    return picture // 2\n")
    case.content["task"] = {"file": str(file)}
    case.set("pipeline", ["search"]).set("runtime.evaluators", 1).set("runtime.trainers", 1)
    assert main(["search", case.write(), "--address", ray_address]) == 0
    folder = RunFolder(case.path / "runs" / "first")
    assert (folder.path / "task" / "mine.py").read_text() == file.read_text()
    file.unlink()
    capsys.readouterr()
    more = ["--set", "pipeline=[search,full_training]", "--address", ray_address]
    assert main(["search", "--resume", str(folder.path), *more]) == 0
    assert "copied" in capsys.readouterr().out
    assert folder.checkpoint("final").is_file()
    assert main(["search", "--replay", str(folder.path)]) == 0
