"""Each benchmark runs to its end, as short as can be. What it measures then means nothing, and is not looked at."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from esr_ray.native.library import NativeUnavailable, load_library

ROOT = Path(__file__).parents[1]


def run(name: str, *arguments: str) -> list[str]:
    """The lines that a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()


def need_library() -> None:
    try:
        load_library()
    except NativeUnavailable as error:
        pytest.skip(f"there is no native library: {error}")


def need(module: str) -> None:
    try:
        # Not only found: Ray Tune is there without what it needs.
        importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"{module} is not installed ({error}): pip install '.[benchmarks]'")


@pytest.mark.slow
def test_training_steps_are_measured_without_pytorch(tmp_path: Path) -> None:
    need_library()
    none = tmp_path / "python"
    none.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    none.chmod(0o755)
    lines = run("train_step.py", "--quick", "--torch-python", str(none))
    assert lines[-1].startswith("of MindSpore's plain step, tiny: ")
    assert "PyTorch is not there" in lines[-1]


@pytest.mark.slow
def test_training_steps_are_measured_beside_pytorch() -> None:
    need_library()
    need("torch")
    lines = run("train_step.py", "--quick")
    assert re.match(r"of PyTorch's best f32 step: tiny [\d.]+ and [\d.]+ .*; evaluation [\d.]+", lines[-1])
    differences = [line for line in lines if line.startswith("outputs with the same weights differ")]
    assert float(differences[0].split(" by ")[1].split()[0]) < 1e-5


@pytest.mark.slow
def test_enlarging_is_measured() -> None:
    need_library()
    need("onnxruntime")
    lines = run("upscale.py", "--quick")
    assert re.match(r"ours takes, of the time \(median\): RGB [\d.]+ of onnxruntime's", lines[-1])
    differences = [line for line in lines if line.startswith("onnxruntime differs from ours")]
    # Of luminance the graph does not round bicubic's colours.
    rgb, luminance = (int(line.split()[-3]) for line in differences)
    assert rgb <= 1
    assert luminance <= 2


def test_the_loader_is_measured() -> None:
    need_library()
    lines = run("loader.py", "--quick")
    assert re.match(r"ours is [\d,]+ times as fast as decoding for each crop, ", lines[-1])


@pytest.mark.slow
def test_overhead_is_measured() -> None:
    lines = run("overhead.py", "--quick", "--tune-most", "0")
    assert lines[-1].startswith("ours costs a candidate ")
    assert "Ray Tune is not there to compare with" in lines[-1]


@pytest.mark.slow
def test_overhead_is_measured_beside_ray_tune() -> None:
    need("ray.tune")
    lines = run("overhead.py", "--quick")
    assert re.search(r"Ray Tune [\d.]+: [\d.]+ times as much", lines[-1])


@pytest.mark.slow
def test_scaling_is_measured() -> None:
    lines = run("scaling.py", "--quick")
    idle = r"\d evaluators: efficiency [\d.]+; in a steady search they idle [\d.]+ %; "
    assert re.match(idle + "with 4 devices the driver takes ", lines[-1])


@pytest.mark.slow
def test_going_on_is_measured() -> None:
    lines = run("continued.py", "--quick")
    assert any(re.match(r"\| 2 more, 0.25 times the rate \| [\d.]+ \|", line) for line in lines)
    assert re.match(r"\| short, inherited, 0.25 times the rate \| [\d.]+ \|", lines[-1])


@pytest.mark.slow
def test_searches_are_compared_by_real_trainings(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    short = ("--set", "fast_training.steps=2", "--set", "fast_training.schedule.warmup_steps=1")
    searched = ("--budget", "6", "--seeds", "1", "--workers", "1", "--output", str(rows))
    lines = run("search_real.py", *searched, "--contenders", "random search", *short)
    assert re.match(r"random search, seed 0: .* has \d+ % fewer mult-adds than ", lines[-1])
    trained = len(rows.read_text().splitlines())
    assert trained > 6
    # What was trained is not trained again.
    assert run("search_real.py", *searched, "--contenders", "random search", *short)[-1] == lines[-1]
    assert len(rows.read_text().splitlines()) == trained


def test_the_script_runs_every_benchmark() -> None:
    script = (ROOT / "scripts" / "benchmarks.sh").read_text()
    helpers = {"common", "contenders", "simulated", "torch_contender"}
    # Parts of search.py, which is the one to run.
    helpers |= {path.stem for path in (ROOT / "benchmarks").glob("search_*.py")}
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert (f"benchmarks/{path.name}" in script) == (path.stem not in helpers), path.name
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert all(f"`{path.name}`" in readme for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in helpers)
    assert os.access(ROOT / "scripts" / "benchmarks.sh", os.R_OK)
