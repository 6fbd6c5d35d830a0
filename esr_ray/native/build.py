"""Compiles `src` into the builds that `library.py` chooses from: `python -m esr_ray.native.build` builds in place.

It runs while pip builds esr_ray, before anything is installed: only the standard library, and nothing else of esr_ray.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NOTE = "build_failed.txt"
"""File beside the builds that says which are missing, and why."""
SKIP = "ESR_RAY_NO_NATIVE"
"""Environment variable (1) that skips the native library."""
COMPILERS = ("c++", "g++", "clang++")

# Features one by one, as compilers spell them, since those before GCC 11 do not know -march=x86-64-v3. library.py asks
# the CPU for the same.
_AVX2 = ("avx2", "fma", "bmi", "bmi2", "f16c", "movbe")
_AVX512 = ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
X86_BUILDS: Mapping[str, tuple[str, ...]] = {"avx512": _AVX2 + _AVX512, "avx2": _AVX2, "portable": ()}
"""CPU features beyond the architecture's least that each build on x86-64 uses."""

_COMPILE = (
    *("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"),
    # No errno: a square root is then one instruction, and a vector of them.
    *("-ffp-contract=fast", "-fno-math-errno"),
)
# The compiler's runtime inside, so that no newer libstdc++ than MindSpore's is asked for in its process.
_STATIC = ("-static-libstdc++", "-static-libgcc")
# What is inside stays inside: the process has another libstdc++ with the same names.
_EXPORTS = "{ global: ESRN*; esrn_*; local: *; };\n"
_TRIAL = """
#include <cmath>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>
extern "C" __attribute__((visibility("default"))) int esrn_trial(int n) {
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    if constexpr (sizeof(void*) == 8) {
        try { throw std::runtime_error(std::to_string(std::sqrt(n))); } catch (const std::exception& e) { n++; }
    }
    return (int)std::make_shared<std::vector<int>>(n)->size();
}
"""


class BuildError(Exception):
    """There is no library; the message says why in one line."""


class NoCompiler(BuildError):
    """The machine has no compiler that works, and none was named."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that works here."""

    command: tuple[str, ...]
    link_flags: tuple[str, ...] = ()

    @property
    def is_zig(self) -> bool:
        """Zig's clang, which spells processors in its own way."""
        return any(Path(part).name in ("zig", "ziglang") for part in self.command)

    def flags_for(self, instruction_set: str) -> list[str]:
        """Flags that choose the instructions of a build."""
        features = X86_BUILDS[instruction_set] if _is_x86() else ()
        if self.is_zig:
            return [*self._zig_target(), "-mcpu=" + "+".join(["baseline", *features])]
        # The baseline is said, too: some distributions' compilers assume more.
        return (["-march=x86-64"] if _is_x86() else []) + [f"-m{feature}" for feature in features]

    def flags_to_link(self) -> list[str]:
        """Flags of every build's linking. Always the baseline: zig then compiles its libc++ once for all of them."""
        return [*(self.flags_for("portable") if self.is_zig else ()), *self.link_flags]

    def _zig_target(self) -> tuple[str, str]:
        # Named rather than native: zig brings all headers then, and a C library half installed does not matter.
        return "-target", f"{platform.machine()}-linux-gnu"


def instruction_sets() -> tuple[str, ...]:
    """Builds of this machine's architecture, best first."""
    return tuple(X86_BUILDS) if _is_x86() else ("portable",)


def library_name(instruction_set: str) -> str:
    """File name of a build."""
    return f"libesrn_{instruction_set}.so"


def source_files() -> list[Path]:
    """What the library is made of, headers too."""
    return sorted([*(FOLDER / "src").glob("*.cpp"), *(FOLDER / "src").glob("*.h")])


def skipped() -> bool:
    """The user wants no native library."""
    return os.environ.get(SKIP, "0") not in ("", "0")


def find_compiler() -> Compiler:
    """$CXX where it is set, else the system's compiler, else the `ziglang` package.

    Raises NoCompiler without any, BuildError where $CXX does not work: it is an order, and for the user to mend.
    """
    if named := shlex.split(os.environ.get("CXX", "")):
        return _tried(named)
    reasons = []
    for name in filter(shutil.which, COMPILERS):
        try:
            return _tried([name])
        except BuildError as error:
            reasons.append(str(error))
    if importlib.util.find_spec("ziglang"):
        return Compiler((sys.executable, "-m", "ziglang", "c++"))
    missing = "; ".join(reasons) or f"there is no C++ compiler ({', '.join(COMPILERS)})"
    raise NoCompiler(f"{missing}, and the Python package ziglang, which would do instead, is not installed")


def _tried(command: Sequence[str]) -> Compiler:
    """A compiler that really makes a library which loads: one without its C++ library, or too old, is none."""
    compiler = Compiler(tuple(command))
    if compiler.is_zig:
        return compiler
    with tempfile.TemporaryDirectory() as scratch:
        source, library = Path(scratch, "trial.cpp"), Path(scratch, "trial.so")
        source.write_text(_TRIAL)
        # Fedora and others have the static libstdc++ in a package of its own.
        for flags in (_STATIC, ()):
            compiler = Compiler(tuple(command), flags)
            try:
                _compile_and_link(compiler, [source], library, "portable")
                if ctypes.CDLL(str(library)).esrn_trial(2) == 3:
                    return compiler
                reason = "what it makes does not compute"
            except (BuildError, OSError) as error:
                reason = str(error)
    raise BuildError(f"{shlex.join(command)} does not work: {reason}")


def build_library(path: Path, instruction_set: str, flags: Sequence[str] = (), compiler: Compiler | None = None) -> str:
    """Compile one build to `path` and return the compiler's warnings. `flags`: more of them (tests: -DESRN_DOUBLE).

    Raises BuildError, and then leaves no file there.
    """
    # Beside it and renamed: processes that have loaded the present one keep it.
    made = path.with_name(f".{path.stem}.{os.getpid()}.so")
    try:
        sources = [source for source in source_files() if source.suffix == ".cpp"]
        warnings = _compile_and_link(compiler or find_compiler(), sources, made, instruction_set, flags)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return warnings


def build_all(folder: Path, flags: Sequence[str] = ()) -> tuple[dict[str, str], str]:
    """Compile all builds into a folder, leaving out those that fail, with a note that says why.

    Returns the reasons of those that failed, and the warnings. An earlier build does not stay where its compilation
    fails: it would not be that of the sources.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failures, warnings = {}, ""
    try:
        if skipped():
            raise BuildError(f"{SKIP} was set")
        compiler = find_compiler()
        for name in instruction_sets():
            try:
                warnings += build_library(folder / library_name(name), name, flags, compiler)
            except BuildError as error:
                failures[name] = str(error)
    except BuildError as error:
        failures = dict.fromkeys(instruction_sets(), str(error))
        for name in instruction_sets():
            (folder / library_name(name)).unlink(missing_ok=True)
    note = folder / NOTE
    note.unlink(missing_ok=True)
    if failures:
        note.write_text(_explanation(failures))
    return failures, warnings


def _explanation(failures: Mapping[str, str]) -> str:
    names: dict[str, list[str]] = {}
    for name, reason in failures.items():
        names.setdefault(reason, []).append(name)
    return "".join(f"{', '.join(group)}: {reason}\n" for reason, group in names.items())


def _compile_and_link(
    compiler: Compiler, sources: Sequence[Path], library: Path, instruction_set: str, flags: Sequence[str] = ()
) -> str:
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = [str(Path(scratch, source.stem + ".o")) for source in sources]
        command = [*compiler.command, *compiler.flags_for(instruction_set), *_COMPILE, *flags, "-c"]
        said = list(
            pool.map(lambda one: _run([*command, str(one[0]), "-o", one[1]]), zip(sources, objects, strict=True))
        )
        exports = Path(scratch, "exports.map")
        exports.write_text(_EXPORTS)
        link = [*compiler.command, *compiler.flags_to_link(), "-O3", "-shared", f"-Wl,--version-script={exports}"]
        said.append(_run([*link, "-Wl,--strip-debug", *objects, "-o", str(library)]))
    return "".join(said)


def _run(command: Sequence[str]) -> str:
    """What a command printed. Raises BuildError with its first error where it fails."""
    try:
        # The reason is looked for in English.
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from None
    said = done.stderr + done.stdout
    if done.returncode != 0:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it says nothing")
        raise BuildError(f"{first} (exit status {done.returncode})")
    return said


def _is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def main() -> int:
    """Build beside the sources; exit status 1 where a build is missing, 2 where there are no sources."""
    if not source_files():
        print(f"error: {FOLDER} has no sources; this is for a checkout, else install esr_ray again", file=sys.stderr)
        return 2
    failures, warnings = build_all(FOLDER)
    print(warnings, end="", file=sys.stderr)
    for name in instruction_sets():
        print(f"{name}: {failures.get(name, FOLDER / library_name(name))}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
