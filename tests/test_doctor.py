"""The doctor: what it says of an installation that works, and of what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import esr_ray
from esr_ray import doctor
from esr_ray.native import build, library

CORES = len(os.sched_getaffinity(0))


def run_doctor(*arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "esr_ray.doctor", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_says_versions_devices_and_the_path_in_use() -> None:
    status, said = run_doctor()
    assert status == 0, said
    for number in (esr_ray.__version__, version("mindspore"), version("ray"), np.__version__):
        assert number in said
    assert f"{CORES} cores allowed" in said
    assert f": {CORES} CPU, " in said
    assert "a step of training on CPU works" in said
    try:
        path = f"native kernels ({library.load_library().instruction_set})"
    except library.NativeUnavailable as error:
        path = f"plain kernels, many times slower: {error}"
    assert path in said


def test_says_why_the_plain_path_is_taken_and_fails_for_a_cluster_that_does_not_answer() -> None:
    status, said = run_doctor("--address", "127.0.0.1:1", ESR_RAY_INSTRUCTION_SET="none")
    assert status == 1
    assert "devices     DOES NOT WORK: --address 127.0.0.1:1: no Ray cluster could be reached" in said
    assert "plain kernels, many times slower: this CPU cannot run the build 'none'" in said
    assert "a step of training on CPU works" in said


def test_says_the_state_of_each_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    monkeypatch.setattr(doctor, "FOLDER", tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "usable_instruction_sets", lambda: ("avx2", "portable"))
    (tmp_path / "libesrn_avx512.so").write_text("")
    (tmp_path / "libesrn_avx2.so").write_text("nonsense")
    (tmp_path / build.NOTE).write_text("portable: c++: error: no space left\n")
    other, broken, missing, note = doctor.native_builds()
    assert other == "avx512: built, but this CPU has no such instructions"
    assert broken.startswith("avx2: libesrn_avx2.so does not load: ")
    assert missing == "portable: not built"
    assert note == "build_failed.txt: portable: c++: error: no space left"


def test_fails_where_a_package_is_missing_or_a_step_of_training_does_not_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_say_devices", lambda report, address: "CPU")
    # As where MindSpore does not import.
    monkeypatch.setitem(sys.modules, "esr_ray.training.kernels", None)
    assert doctor.main([]) == 1
    assert (
        "kernels     DOES NOT WORK: ModuleNotFoundError: import of esr_ray.training.kernels" in capsys.readouterr().out
    )
