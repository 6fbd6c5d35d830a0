"""A file of the reference with its whole pipeline: search, full training, benchmarks; and again, when all is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import of_kind, run_here
from PIL import Image
from skimage import data

from esr_ray.search.__main__ import main

REFERENCE = Path(__file__).parents[1] / "configs" / "esr_ea_reference.yml"

pytestmark = pytest.mark.timeout(400)


def pictures(folder: Path, *photographs: str) -> str:
    """A folder of parts of scikit-image's photographs."""
    folder.mkdir(parents=True)
    for name in photographs:
        photograph = Image.fromarray(getattr(data, name)()).convert("RGB")
        for part, left in enumerate((60, 180)):
            photograph.crop((left, 100, left + 80, 180)).save(folder / f"{name}-{part}.png")
    return str(folder)


def reference_file(home: Path) -> Path:
    """The file of the reference's release: its pictures where they are here, and as little as it can search."""
    content: dict[str, Any] = yaml.safe_load(REFERENCE.read_text())
    nas, full = content["nas"], content["fully_train"]
    nas["dataset"]["train"] |= {"root_HR": pictures(home / "train", "astronaut", "coffee"), "crop": 16, "batch_size": 2}
    nas["dataset"]["test"] |= {"root_HR": pictures(home / "valid", "chelsea"), "crop": 16}
    for name in ("train", "test"):
        del nas["dataset"][name]["root_LR"]
    nas["search_space"]["esrbody"] |= {"conv_num": [1, 2], "growth_rate": [4, 8], "conv_prob": [1, 1], "G0": 4}
    nas["search_space"]["esrbody"]["growth_prob"] = [1, 1]
    nas["search_algorithm"]["policy"] |= {"num_generation": 2, "num_individual": 4, "num_elitism": 2}
    nas["search_algorithm"]["range"] = {"node_num": 3, "min_active": 1, "max_params": 9000, "min_params": 1}
    for step in (nas, full):
        step["trainer"] |= {"epochs": 20, "lr_scheduler": {"type": "MultiStepLR", "params": {"milestones": [10]}}}
    for name in ("benchmark_DIV2K", "benchmark_Set5", "benchmark_Set14", "benchmark_BSDS100"):
        test = content[name]["dataset"]["test"]
        test["root_HR"] = pictures(home / name, "rocket")
        del test["root_LR"]
    path = home / "esr_ea.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_whole_pipeline_of_a_reference_file_and_nothing_twice(tmp_path: Path, ray_address: str) -> None:
    options = [
        "--set",
        f"output.dir={tmp_path}",
        "--set",
        "output.name=run",
        "--set",
        "full_training.checkpoint_steps=5",
        # Two take a while to find each other; other tests have them.
        "--set",
        "runtime.trainers=1",
    ]
    status, printed = run_here(main, reference_file(tmp_path), *options, "--address", ray_address)
    assert status == 0, printed
    assert "BSDS100" in printed
    run = tmp_path / "run"
    (trained,), (reported,) = of_kind(run, "trained"), of_kind(run, "reported")
    # The first benchmark's pictures are the test set.
    names = {one["name"]: sorted(picture["name"] for picture in one["pictures"]) for one in reported["sets"]}
    assert list(names) == ["test", "Set5", "Set14", "BSDS100"]
    assert names == {name: ["rocket-0", "rocket-1"] for name in names}
    assert (run / trained["checkpoint"]).is_file()
    # Four pictures are two batches of two.
    assert "full_training: 20 epochs of 2 batches (4 pictures" in (run / "log.txt").read_text()
    assert trained["settings"]["steps"] == 40
    assert trained["settings"]["schedule"]["milestones"] == [20]
    asked = len(of_kind(run, "asked"))

    status, printed = run_here(main, "--resume", run, "--address", ray_address)
    assert status == 0, printed
    # Each step is done already.
    assert len(of_kind(run, "asked")) == asked
    assert len(of_kind(run, "trained")) == len(of_kind(run, "reported")) == 1
    assert [event["reason"] for event in of_kind(run, "closed")] == ["finished", "finished"]
