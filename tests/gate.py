"""A task whose trainings wait at a gate, for tests that interrupt a search: it is where they want it, however fast.

The gate is a file that names a run's journal and a number. While it is there, no training of that run goes on once so
many have finished. Those that are under way then wait until the file is removed, or they are killed.
"""

from __future__ import annotations

from pathlib import Path

TASK = """
import time
from pathlib import Path

import numpy as np

NAME = "gated"
GATE = Path({gate!r})


def waits():
    # The driver and the command look at pictures too, and are not to wait.
    if not Path("/proc/self/cmdline").read_bytes().startswith(b"ray::Evaluator.train"):
        return False
    try:
        journal, count = GATE.read_text().splitlines()
    except (OSError, ValueError):
        return False
    return Path(journal).read_text().count('"event":"finished"') >= int(count)


def degrade(picture, random):
    while waits():
        time.sleep(0.05)
    height, width, _ = picture.shape
    return picture.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)) / 255
"""


class Gate:
    """The gate of the runs in a folder; `task` is the section of their configuration."""

    def __init__(self, home: Path) -> None:
        self._file = home / "gate"
        (home / "gated.py").write_text(TASK.format(gate=str(self._file)))
        self.task = {"file": str(home / "gated.py"), "scale": 2}

    def close(self, run: Path, finished: int) -> None:
        """From so many finished trainings on, those of the run wait."""
        self._file.write_text(f"{run / 'journal.jsonl'}\n{finished}\n")

    def open(self) -> None:
        self._file.unlink(missing_ok=True)
