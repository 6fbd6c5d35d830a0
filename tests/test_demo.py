"""The first thing a user runs: configs/demo.yml, whole, on real photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from esr_ray.runs.history import replay
from esr_ray.runs.journal import read_journal

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_demo_beats_bicubic_by_0_8_db_on_pictures_that_nothing_has_seen(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esr_ray.search", "configs/demo.yml"]
    command += ["--set", f"output.dir={tmp_path}", "--set", "output.name=demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    history = replay(read_journal(tmp_path / "demo" / "journal.jsonl")[0])
    distinct = {one.arch for one in history.candidates.values() if history.attempts(one.id)}
    assert len(distinct) >= 16
    assert {one.generation for one in history.candidates.values()} == {0, 1, 2, 3}
    result = json.loads((tmp_path / "demo" / "result.json").read_text())
    (report,) = result["full_training"]["sets"]
    assert report["name"] == "test"
    assert report["network"]["psnr_y"] >= report["bicubic"]["psnr_y"] + 0.8
