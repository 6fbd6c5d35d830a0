"""The first thing a user runs: configs/demo.yml, whole, on real photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from esr_ray.runs.record import read_history

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_demo_beats_bicubic_by_0_8_db_on_pictures_that_nothing_has_seen(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esr_ray.search", "configs/demo.yml"]
    command += ["--set", f"output.dir={tmp_path}", "--set", "output.name=demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    state = read_history(tmp_path / "demo" / "journal.jsonl").state
    distinct = {state.jobs[job].candidate.arch for job in state.outcomes}
    assert len(distinct) >= 16
    assert not state.pending
    result = json.loads((tmp_path / "demo" / "result.json").read_text())
    (report,) = result["full_training"]["sets"]
    assert report["name"] == "test"
    assert report["network"]["psnr_y"] >= report["baseline"]["psnr_y"] + 0.8
    # The front after the search; who won, how surely and who else might have are the last lines with the best values.
    printed = done.stdout.splitlines()
    assert "front of psnr against mult_adds:" in done.stdout
    at = next(place for place in reversed(range(len(printed))) if printed[place].startswith("winner: "))
    last = " ".join(printed[at:])
    assert f"winner: candidate {result['best']['id']}, " in last
    assert f"with probability {result['confidence']:.2f}; noise of a training: " in last
    assert "runners-up: candidates " in last
    assert "Best values: [" in last
    assert last.index("winner: ") < last.index("runners-up: ") < last.index("Best values: ")
    assert any("test" in line and "mean" in line for line in printed[:at])
