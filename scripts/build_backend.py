"""setuptools as the build backend of pyproject.toml, which asks for a compiler where the machine has none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

COMPILER = "ziglang"
"""A package that has a C++ compiler in it, for Linux on every processor that MindSpore knows."""


def native_build() -> ModuleType:
    """`esr_ray/native/build.py`, without its package: what esr_ray needs is not there yet."""
    path = Path(__file__).resolve().parents[1] / "esr_ray" / "native" / "build.py"
    spec = importlib.util.spec_from_file_location("esr_ray_native_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What setuptools needs, and a compiler."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *compiler_requirement()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """What setuptools needs, and a compiler."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *compiler_requirement()]


def compiler_requirement() -> list[str]:
    """The package with a compiler, only where it is wanted, there is no other, and pip can get it."""
    native = native_build()
    try:
        if not native.skipped():
            native.find_compiler()
    except native.NoCompiler:
        return [COMPILER] if _can_be_had() else []
    except native.BuildError:
        # $CXX does not work: the build fails, and says so.
        return []
    return []


def _can_be_had() -> bool:
    """False where pip says that it cannot: the installation would fail, and esr_ray works without the library."""
    # -I: the isolated environment that this runs in hides pip.
    pip = [sys.executable, "-I", "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode != 0:
        return True
    options = ["--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:"]
    return subprocess.run([*pip, "install", *options, COMPILER], capture_output=True, check=False).returncode == 0
