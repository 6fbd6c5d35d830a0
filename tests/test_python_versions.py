"""The versions of Python that esr_ray runs on: all that names them agrees, and what the oldest lacks is found."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, pyproject

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
VERSIONS = re.findall(r"Python :: (3\.\d+)", SETUP["metadata"]["classifiers"])
OLDEST, NEWEST = ((3, int(one.split(".")[1])) for one in (VERSIONS[0], VERSIONS[-1]))


def venv_script(path: object, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Bash code after scripts/_venv.sh, where commands are found in `path` alone."""
    command = ["/bin/bash", "-euc", f". scripts/_venv.sh; {code}"]
    environment = {"PATH": str(path), **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def choose(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return venv_script(path, 'choose_python; echo "$PYTHON"', **variables)


def put_python(folder: Path, name: str, version: tuple[int, int]) -> None:
    """An interpreter that says its version, and notes in NAME.ran which modules it was to run."""
    folder.mkdir(exist_ok=True)
    script = folder / name
    pretend = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    script.write_text(
        f'''#!/bin/sh
if [ "$1" = -m ]; then echo "$*" >>"{script}.ran"; exit; fi
exec "{sys.executable}" -c "{pretend}" "$2"
'''
    )
    script.chmod(0o755)


def put_venv(folder: Path, version: tuple[int, int]) -> Path:
    """An environment of that version."""
    folder.mkdir()
    (folder / "pyvenv.cfg").touch()
    put_python(folder / "bin", "python", version)
    return folder


def test_the_metadata_allows_the_versions_that_it_names():
    assert len(VERSIONS) == NEWEST[1] - OLDEST[1] + 1
    assert SETUP["options"]["python_requires"] == f">={VERSIONS[0]},<3.{NEWEST[1] + 1}"


def test_style_and_types_are_checked_for_the_oldest():
    tools = pyproject()["tool"]
    assert tools["ruff"]["target-version"] == "py3" + str(OLDEST[1])
    assert tools["mypy"]["python_version"] == VERSIONS[0]


def test_newer_syntax_is_refused_whatever_python_checks(tmp_path):
    source = 'try:\n    print("a")\nexcept* ValueError:\n    raise\n'
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--config", ROOT / "pyproject.toml", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f"Cannot use `except*` on Python {VERSIONS[0]}" in done.stdout


def test_newer_parts_of_the_standard_library_are_refused_whatever_python_checks(tmp_path):
    (tmp_path / "newer.py").write_text("import contextlib\nimport hashlib\ncontextlib.chdir\nhashlib.file_digest\n")
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "newer.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stdout.count('has no attribute "') == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_scripts_take_each_version(version, tmp_path):
    put_python(tmp_path, "mine", (3, int(version.split(".")[1])))
    done = choose(tmp_path, PYTHON="mine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "mine\n", "")


@pytest.mark.parametrize("minor", [OLDEST[1] - 1, NEWEST[1] + 1])
def test_scripts_refuse_other_versions_in_one_line(minor, tmp_path):
    put_python(tmp_path, "mine", (3, minor))
    done = choose(tmp_path, PYTHON="mine")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: mine is Python 3.{minor}, and esr_ray needs Python 3.10, 3.11 or 3.12, as MindSpore does; "
        "set PYTHON to one of these\n"
    )


def test_scripts_say_that_there_is_no_such_python(tmp_path):
    done = choose(tmp_path, PYTHON="nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nowhere is not there or does not start; ")


def test_scripts_find_a_python_that_starts(tmp_path):
    (tmp_path / "python3.11").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3.11").chmod(0o755)
    put_python(tmp_path, "python3", NEWEST)
    assert choose(tmp_path).stdout == "python3\n"
    put_python(tmp_path, "python3.10", OLDEST)
    assert choose(tmp_path).stdout == "python3.10\n"


def test_scripts_say_what_there_is_where_none_fits(tmp_path):
    put_python(tmp_path, "python3", (3, NEWEST[1] + 1))
    done = choose(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: there is no Python 3.10, 3.11 or 3.12 (python3 is Python 3.{NEWEST[1] + 1}); "
    )


def test_environment_of_another_python_is_left_alone_if_no_script_made_it(tmp_path):
    venv = put_venv(tmp_path / "venv", OLDEST)
    put_python(tmp_path, "mine", NEWEST)
    done = venv_script(tmp_path, "ensure_venv dev", PYTHON="mine", VENV=str(venv))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: the environment {venv} is not of Python {VERSIONS[-1]}; remove it, ")
    assert not (tmp_path / "mine.ran").exists()


def test_environment_of_another_python_is_made_anew_if_a_script_made_it(tmp_path):
    venv = put_venv(tmp_path / "venv", OLDEST)
    (venv / ".installed").touch()
    put_python(tmp_path, "mine", NEWEST)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = venv_script(path, "ensure_venv dev", PYTHON="mine", VENV=str(venv))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "mine.ran").read_text() == f"-m venv --clear {venv}\n"
    installed = venv / "bin" / "python.ran"
    assert installed.read_text().endswith(" --editable .[dev]\n")
    # Without PYTHON, what is there serves.
    installed.unlink()
    assert venv_script(path, "ensure_venv dev", VENV=str(venv)).returncode == 0
    assert (tmp_path / "mine.ran").read_text().count("\n") == 1
