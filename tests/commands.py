"""Commands that run beside the tests, as a user would start them, and what their run folders say."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import psutil

from esr_ray.runs.journal import read_journal

SOON_KNOWN = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 2,
}
"""Of an imitated cluster: a node that was removed is known to be dead in a second or two, not in fifteen."""


def as_from_a_terminal() -> None:
    """In a new process: it hears the signals that these tests may be run without, in the background of a script."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Command:
    """`python -m MODULE` in a process group of its own, as a terminal would start it."""

    def __init__(self, home: Path, module: str, *arguments: str) -> None:
        self.log = (home / f"log-{time.monotonic_ns()}.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=home,
            preexec_fn=as_from_a_terminal,
        )

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def wait(self) -> int:
        return self.process.wait(timeout=300)

    def workers(self, title: str) -> list[psutil.Process]:
        """Ray's worker processes of this command whose title begins so, such as ray::Evaluator."""
        return _titled(self.process.pid, title)

    def kill_group(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


def workers_here(title: str) -> list[psutil.Process]:
    """Worker processes of those Rays that this process has started, whose title begins so."""
    return _titled(os.getpid(), title)


def _titled(root: int, title: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(root).children(recursive=True):
        try:
            if " ".join(child.cmdline()).startswith(title):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def run_here(main: Callable[[Sequence[str]], int], *arguments: object) -> tuple[int, str]:
    """A command's status and what it printed, run by this process: another one would import everything again."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = main([str(one) for one in arguments])
    return status, printed.getvalue()


def events(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_journal(folder / "journal.jsonl").events
    except Exception:
        # Not there yet.
        return []


def of_kind(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in events(folder) if event["event"] == kind]


def wait_for(condition: Callable[[], object], command: Command, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert command.process.poll() is None, command.output()
        assert time.monotonic() < deadline, f"waited {seconds} s in vain:\n{command.output()}"
        time.sleep(0.05)
