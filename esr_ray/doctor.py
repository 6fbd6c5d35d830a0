"""`python -m esr_ray.doctor`: what this installation has, which path it takes and why, and whether it works."""

from __future__ import annotations

if __name__ == "__main__":
    # Before the rest is imported, which takes a second.
    from esr_ray.signals import guard

    guard()

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from rich.console import Console

import esr_ray
from esr_ray.command import make_parser, run_command
from esr_ray.config.load import check_config
from esr_ray.cores import usable_cores
from esr_ray.errors import UserError
from esr_ray.native.build import NOTE, instruction_sets
from esr_ray.native.cpu import cpu_name
from esr_ray.native.library import FOLDER, Library, NativeUnavailable, library_path, usable_instruction_sets
from esr_ray.view import make_console, print_line

EPILOG = """\
exit status: 0 a search would run (with the native library or, slower, without it), 1 it would not, 130 stopped by
Ctrl-C.
"""


class Report:
    """Lines under headings, printed as they come; remembers whether something does not work."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.failed = False

    def say(self, heading: str, *lines: str) -> None:
        for number, line in enumerate(lines):
            print_line(self.console, f"{'' if number else heading:<11} {line}")

    def fail(self, heading: str, reason: str) -> None:
        self.failed = True
        self.say(heading, f"DOES NOT WORK: {reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = make_parser("doctor", "Say what this installation of esr_ray has and uses, and whether it works.", EPILOG)
    parser.add_argument(
        "--address",
        help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without it Ray is started on this machine",
    )
    options = parser.parse_args(arguments)
    # Before MindSpore loads: of its own log errors only.
    os.environ.setdefault("GLOG_v", "3")
    return run_command(lambda: _examine(options.address))


def _examine(address: str | None) -> int:
    report = Report(make_console())
    _say_versions(report)
    report.say("cpu", f"{cpu_name()} ({platform.machine()}), {usable_cores()} cores allowed")
    report.say("native", *native_builds())
    target = _say_devices(report, address)
    if target == "CPU" or address is None:
        _say_kernels(report, target)
    else:
        report.say("kernels", f"not tried: {target} is a device of the cluster")
    return 1 if report.failed else 0


def _say_versions(report: Report) -> None:
    report.say("esr_ray", f"{esr_ray.__version__}, {Path(esr_ray.__file__).parent}")
    report.say("python", f"{platform.python_version()}, {sys.executable}")
    for name in ("mindspore", "ray", "numpy"):
        try:
            report.say(name, version(name))
        except PackageNotFoundError:
            report.fail(name, "not installed")


def native_builds() -> list[str]:
    """The state of each build of the native library, and what its compilation said where one is missing."""
    return [*_builds(), *(f"{NOTE}: {line}" for line in _note())]


def _builds() -> Iterator[str]:
    usable = usable_instruction_sets()
    for name in instruction_sets():
        path = library_path(name)
        if not path.is_file():
            yield f"{name}: not built"
        elif name not in usable:
            yield f"{name}: built, but this CPU has no such instructions"
        else:
            try:
                Library(path)
                yield f"{name}: usable"
            except NativeUnavailable as error:
                yield f"{name}: {error}"


def _note() -> list[str]:
    note = FOLDER / NOTE
    return note.read_text().splitlines() if note.is_file() else []


def _say_devices(report: Report, address: str | None) -> str:
    """What MindSpore would compute on."""
    try:
        from esr_ray.runtime.doctor import ray_devices

        placement, nodes = ray_devices(address)
    except (UserError, ImportError) as error:
        report.fail("devices", str(error))
        return "CPU"
    report.say("devices", *nodes, placement.reason)
    return placement.target


@contextmanager
def _working_in(folder: str) -> Iterator[None]:
    """The working directory for a while: contextlib.chdir, which Python 3.10 does not have."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _say_kernels(report: Report, target: str) -> None:
    """Train one step as a candidate is trained."""
    config = check_config({"data": {"hr": "sample:scikit-image"}}, "the defaults")
    # MindSpore leaves folders where it compiles.
    with tempfile.TemporaryDirectory() as scratch, _working_in(scratch):
        try:
            from esr_ray.networks.target import use_target
            from esr_ray.space.spec import NetworkSpec
            from esr_ray.training.kernels import choose_kernels

            kernels = choose_kernels(config, target)
            if kernels.name != "plain":
                # These do without MindSpore, which a user's blocks need.
                use_target(target, config.runtime.mode)
            network = kernels.make(NetworkSpec(("S_2_4_4",), 4, 2, "bicubic"), config.fast_training, 0)
            lr, hr = np.zeros((1, 3, 8, 8), np.float32), np.ones((1, 3, 16, 16), np.float32)
            network.compile(lr, hr)
            loss = float(network.step(lr, hr))
        except Exception as error:
            # Whatever it is: to say so is what this command is for.
            report.fail("kernels", f"{type(error).__name__}: {error}")
            return
    if np.isfinite(loss):
        report.say("kernels", f"{kernels.reason}; a step of training on {target} works")
    else:
        report.fail("kernels", f"{kernels.reason}: the loss of a step of training on {target} is {loss}")


if __name__ == "__main__":
    sys.exit(main())
