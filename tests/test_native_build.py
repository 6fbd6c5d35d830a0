"""Compiling the native library: with whatever compiler there is, without one, and as a part of wheel and sdist."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from project import ROOT, pyproject

from esr_ray.native import build, library
from esr_ray.native.library import Library, usable_instruction_sets

FAST = ["-O0"]
"""Flags of builds that nothing is computed with."""


@pytest.fixture(scope="module")
def compiler() -> build.Compiler:
    try:
        return build.find_compiler()
    except build.BuildError as error:
        pytest.skip(f"no compiler: {error}")


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("CXX", raising=False)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ziglang" else find_spec(name))


@pytest.fixture
def backend() -> ModuleType:
    pytest.importorskip("setuptools")
    spec = importlib.util.spec_from_file_location("build_backend", ROOT / "scripts" / "build_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def builds_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def all_builds() -> set[str]:
    return {build.library_name(name) for name in build.instruction_sets()}


def test_all_builds_of_the_machine_compile_and_load(compiler: build.Compiler, tmp_path: Path) -> None:
    (tmp_path / build.NOTE).write_text("of an earlier build that failed")
    assert build.build_all(tmp_path, FAST) == ({}, "")
    assert builds_in(tmp_path) == all_builds()
    for name in usable_instruction_sets():
        assert Library(tmp_path / build.library_name(name)).instruction_set == name


def test_more_flags_can_be_given_and_only_our_functions_are_exported(compiler: build.Compiler, tmp_path: Path) -> None:
    path = tmp_path / "double.so"
    build.build_library(path, "portable", [*FAST, "-DESRN_DOUBLE"], compiler)
    assert Library(path).real == np.float64
    assert builds_in(tmp_path) == {"double.so"}
    if shutil.which("nm") is None:
        pytest.skip("there is no nm to list what is exported")
    listed = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    assert names >= {"esrn_sizes", "esrn_forward"}
    assert all(name.startswith("esrn_") for name in names)


def test_build_that_fails_is_noted_and_the_others_are_kept(
    compiler: build.Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "avx512" not in build.instruction_sets():
        pytest.skip("this architecture has one build")
    sources = tmp_path / "src"
    sources.mkdir()
    (sources / "one.cpp").write_text("int esrn_one() { return 1; }")
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    error = "c++: error: unrecognized option '-mavx512f'"
    old = tmp_path / "old compiler"
    old.write_text(
        f'''#!/bin/sh
case "$*" in *avx512f*) echo "some note" >&2; echo "{error}" >&2; echo more >&2; exit 4;; esac
exec {shlex.join(compiler.command)} "$@"
'''
    )
    old.chmod(0o755)
    monkeypatch.setenv("CXX", shlex.quote(str(old)))
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / build.library_name("avx512")).write_text("of other sources")
    failures, _ = build.build_all(folder)
    assert failures == {"avx512": f"{error} (exit status 4)"}
    assert builds_in(folder) == all_builds() - {build.library_name("avx512")} | {build.NOTE}
    assert (folder / build.NOTE).read_text() == f"avx512: {failures['avx512']}\n"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("CXX", "false", "false does not work: it says nothing (exit status 1)"),
        ("CXX", "/no/such/compiler -m64", "/no/such/compiler -m64 does not work: /no/such/compiler: No such file"),
        (build.SKIP, "1", f"{build.SKIP} was set"),
    ],
)
def test_without_a_build_the_note_says_why(
    variable: str, value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    for name in all_builds():
        (tmp_path / name).write_text("of other sources")
    failures, _ = build.build_all(tmp_path)
    assert set(failures) == set(build.instruction_sets())
    assert builds_in(tmp_path) == {build.NOTE}
    note = (tmp_path / build.NOTE).read_text()
    assert note.startswith(f"{', '.join(build.instruction_sets())}: {reason}")
    assert note.count("\n") == 1


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_the_note_says_what_there_could_be(tmp_path: Path) -> None:
    build.build_all(tmp_path)
    assert builds_in(tmp_path) == {build.NOTE}
    assert "no C++ compiler (c++, g++, clang++), and the Python package ziglang" in (tmp_path / build.NOTE).read_text()


def test_system_compiler_that_does_not_work_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "g++").write_text("#!/bin/sh\necho 'fatal error: vector: No such file' >&2\nexit 1\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(build.NoCompiler, match="g\\+\\+ does not work: fatal error: vector: No such file"):
        build.find_compiler()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert build.find_compiler().is_zig


def test_zig_is_told_the_processor_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    zig = build.Compiler((sys.executable, "-m", "ziglang", "c++"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert "-mcpu=baseline+avx2+fma+bmi+bmi2+f16c+movbe" in zig.flags_for("avx2")
    assert "-mcpu=baseline" in zig.flags_to_link()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert build.instruction_sets() == ("portable",)
    assert zig.flags_for("portable") == ["-target", "aarch64-linux-gnu", "-mcpu=baseline"]
    assert build.Compiler(("g++",)).flags_for("portable") == []


AVX2 = "sse2 avx f16c fma avx2 bmi1 bmi2 movbe"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("flags", "usable"),
    [
        ("sse2", ("portable",)),
        (AVX2, ("avx2", "portable")),
        (AVX2.replace(" fma", ""), ("portable",)),
        (AVX2.replace(" bmi1", ""), ("portable",)),
        (AVX512, ("avx512", "avx2", "portable")),
        (AVX512.replace(" avx512vl", ""), ("avx2", "portable")),
    ],
)
def test_a_build_is_used_where_the_cpu_has_all_that_it_was_compiled_with(
    flags: str, usable: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(library, "cpu_features", lambda: frozenset(flags.split()))
    assert library.usable_instruction_sets() == usable


@pytest.mark.usefixtures("no_compiler")
def test_ziglang_is_asked_for_only_without_a_compiler_and_where_pip_has_it(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_can_be_had", lambda: True)
    assert backend.compiler_requirement() == ["ziglang"]
    monkeypatch.setattr(backend, "_can_be_had", lambda: False)
    assert backend.compiler_requirement() == []


@pytest.mark.parametrize(("variable", "value"), [(build.SKIP, "1"), ("CXX", "false")])
@pytest.mark.usefixtures("no_compiler")
def test_ziglang_is_not_asked_for_against_the_users_word(
    variable: str, value: str, backend: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_can_be_had", lambda: True)
    monkeypatch.setenv(variable, value)
    assert backend.compiler_requirement() == []


def test_ziglang_is_not_asked_for_with_a_compiler(backend: ModuleType, compiler: build.Compiler) -> None:
    assert backend.compiler_requirement() == []


def test_pip_is_asked_whether_it_has_ziglang(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert not backend._can_be_had()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this one without what was made in it."""
    left_out = (".*", "*.so", build.NOTE, "*.egg-info", "runs", "build", "dist", "rank_0", "kernel_meta", "__pycache__")
    return Path(
        shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "esr", ignore=shutil.ignore_patterns(*left_out))
    )


def python(*arguments: object, **options: object) -> str:
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_wheel(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    python_tag, abi, platform = wheel.stem.split("-")[2:]
    assert (python_tag, abi) == ("py3", "none")
    assert platform != "any"
    with zipfile.ZipFile(wheel) as content:
        native = {Path(name).name for name in content.namelist() if name.startswith("esr_ray/native/")}
        content.extractall(folder / "unpacked")
    assert {name for name in native if not name.endswith(".py")} == all_builds()
    for name in usable_instruction_sets():
        assert Library(folder / "unpacked" / "esr_ray" / "native" / build.library_name(name)).instruction_set == name


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_wheel_has_the_builds_and_the_checkout_does_not(checkout: Path, tmp_path: Path) -> None:
    python("-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, checkout)
    check_wheel(tmp_path)
    assert not list((checkout / "esr_ray").rglob("*.so"))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_sdist_builds_and_editable_installation_builds_in_place(checkout: Path, tmp_path: Path) -> None:
    required = pyproject(checkout)["build-system"]["requires"]
    python("-m", "pip", "install", "--target", tmp_path / "tools", *required)
    paths = os.pathsep.join(map(str, (tmp_path / "tools", checkout / "scripts")))
    hooks = {"cwd": checkout, "env": {**os.environ, "PYTHONPATH": paths}}
    python("-c", f"import build_backend; build_backend.build_sdist({str(tmp_path)!r})", **hooks)
    (sdist,) = tmp_path.glob("*.tar.gz")
    python("-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "wheel", sdist)
    check_wheel(tmp_path / "wheel")
    python("-c", f"import build_backend; build_backend.build_editable({str(tmp_path)!r})", **hooks)
    native = checkout / "esr_ray" / "native"
    assert {path.name for path in native.glob("*.so")} == all_builds()
    assert not (native / build.NOTE).exists()
