"""A task whose trainings wait at a gate, for tests that interrupt them: they are where a test wants them, however fast.

The gate is a file. While it is there, no training of a search goes on once so many of its run have finished, or no full
training once each of its processes has seen so many pictures; until the file is removed, or the process is killed.
"""

from __future__ import annotations

from pathlib import Path

TASK = """
import itertools
import time
from pathlib import Path

import numpy as np

NAME = "gated"
GATE = Path({gate!r})
seen = itertools.count()


def waits(pictures):
    # The driver and the command look at pictures too, and are not to wait.
    process = Path("/proc/self/cmdline").read_bytes()
    try:
        of, journal, count = GATE.read_text().splitlines()
    except (OSError, ValueError):
        return False
    if not process.startswith({{"search": b"ray::Evaluator.train", "full": b"ray::Trainer"}}[of]):
        return False
    done = Path(journal).read_text().count('"event":"finished"') if of == "search" else pictures
    return done >= int(count)


def degrade(picture, random):
    pictures = next(seen)
    while waits(pictures):
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
        """From so many finished trainings of a search on, those of the run wait."""
        self._file.write_text(f"search\n{run / 'journal.jsonl'}\n{finished}\n")

    def close_full_training(self, pictures: int) -> None:
        """Each process of a full training waits when it has seen so many crops."""
        self._file.write_text(f"full\n\n{pictures}\n")

    def open(self) -> None:
        self._file.unlink(missing_ok=True)
