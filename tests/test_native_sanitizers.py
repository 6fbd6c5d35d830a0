"""The native library's sources under the sanitizers: native_harness.cpp is built with them and run."""

import os
import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import esr_ray.native
from esr_ray.native.library import usable_instruction_sets

HARNESS = Path(__file__).with_name("native_harness.cpp")
SOURCES = Path(esr_ray.native.__file__).parent / "src"
MARCH = {"avx512": ["-march=x86-64-v4"], "avx2": ["-march=x86-64-v3"], "portable": []}
# Checked indexing finds what stays inside of a vector's own allocation, where AddressSanitizer sees nothing.
FLAGS = ["-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", "-D_GLIBCXX_ASSERTIONS", "-pthread"]
MEMORY = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = ["-fsanitize=thread"]
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
SECONDS = 250
"""After which a program hangs."""

pytestmark = pytest.mark.slow


def run(*command: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **OPTIONS},
        timeout=SECONDS,
    )


@dataclass
class Sanitizer:
    """A compiler and a sanitizer that works on this machine."""

    compiler: list[str]
    flags: list[str]
    prefix: list[str]
    folder: Path

    def compile(self, *arguments: object) -> None:
        built = run(*self.compiler, *FLAGS, *self.flags, *arguments, folder=self.folder)
        assert built.returncode == 0, built.stderr

    def check(self, *arguments: object) -> None:
        done = run(*self.prefix, *arguments)
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
        assert done.stdout.rstrip().endswith(f"done with {arguments[-1]}")


def compiler_command() -> list[str]:
    for name in ("c++", "g++", "clang++"):
        command = shlex.split(os.environ.get("CXX", name))
        if shutil.which(command[0]):
            return command
    pytest.skip("there is no C++ compiler")


def working_sanitizer(flags: list[str], folder: Path) -> Sanitizer:
    """Skips where there is no compiler, or an empty program does not run under the sanitizer."""
    compiler = compiler_command()
    source, program = folder / "empty.cpp", folder / "empty"
    source.write_text("int main() {}\n")
    built = run(*compiler, *flags, source, "-o", program)
    if built.returncode != 0:
        pytest.skip(f"{compiler[0]} does not build with {flags[0]}: {built.stderr.strip()}")
    # ThreadSanitizer of some compilers does not bear addresses as random as some kernels give.
    prefixes = [["setarch", platform.machine(), "-R"]] if shutil.which("setarch") else []
    failures = []
    for prefix in [*prefixes, []]:
        started = run(*prefix, program)
        if started.returncode == 0:
            source.unlink()
            return Sanitizer(compiler, flags, prefix, folder)
        failures.append(started.stderr.strip())
    pytest.skip(f"an empty program does not run with {flags[0]}: {failures}")


@pytest.mark.parametrize("instruction_set", usable_instruction_sets())
def test_networks_illegal_input_and_threads_are_clean_under_address_and_undefined_sanitizers(instruction_set, tmp_path):
    sanitizer = working_sanitizer([*MEMORY, *MARCH[instruction_set]], tmp_path)
    sanitizer.compile("-c", *sorted(SOURCES.glob("*.cpp")))
    objects = sorted(tmp_path.glob("*.o"))
    exact, real = tmp_path / "exact", tmp_path / "real"
    without_memory = [path for path in objects if path.name != "memory.o"]
    sanitizer.compile("-I", SOURCES, "-DEXACT_MEMORY", HARNESS, *without_memory, "-o", exact)
    sanitizer.check(exact, "cases")
    sanitizer.check(exact, "illegal")
    if instruction_set == usable_instruction_sets()[0]:
        # What reads descriptions is the same in all.
        sanitizer.check(exact, "fuzz")
    # With the work memory that the library really has.
    sanitizer.compile("-I", SOURCES, HARNESS, *objects, "-o", real)
    sanitizer.check(real, "threads")
    for _ in range(5):
        sanitizer.check(real, "exit")


def test_threads_are_clean_under_the_thread_sanitizer(tmp_path):
    sanitizer = working_sanitizer([*THREADS, *MARCH[usable_instruction_sets()[0]]], tmp_path)
    program = tmp_path / "harness"
    sanitizer.compile("-I", SOURCES, HARNESS, *sorted(SOURCES.glob("*.cpp")), "-o", program)
    sanitizer.check(program, "threads")
