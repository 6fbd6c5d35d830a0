"""One core for each evaluator on CPU: Ray counts cores but pins nothing.

A core is claimed by a lock on a file that names it, held while the process lives, so that evaluators of two searches
on one host do not take the same core. The node itself knows which cores it allows and which are taken; a driver on
another node does not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import psutil

from esr_ray.durable import Held, lock
from esr_ray.private import private_folder

_held: list[Held] = []

PATIENCE_S = 3.0
"""How long to wait for an evaluator that is just dying to let go of its core."""
LOOK_S = 0.1
"""How long it is looked which cores are in use."""


def pin_to_free_core(patience_s: float = PATIENCE_S) -> int | None:
    """Pin this process, before it starts threads, to an allowed core that no evaluator has; None if all are taken."""
    deadline = time.monotonic() + patience_s
    while (core := _try_cores()) is None and time.monotonic() < deadline:
        # Each try has looked for LOOK_S.
        continue
    return core


def idle_first(cores: Iterable[int]) -> list[int]:
    """By number (on most machines the second threads of cores come last), but those at the end that are in use now.

    What uses them has no lock: other programs, or the search of another user, whose locks are in a folder of their own.
    """
    use = psutil.cpu_percent(interval=LOOK_S, percpu=True)
    # Quarters: a short burst of another program does not matter.
    return sorted(cores, key=lambda core: (round(use[core] / 25) if core < len(use) else 0, core))


def _try_cores() -> int | None:
    folder = private_folder("cores")
    for core in idle_first(os.sched_getaffinity(0)):
        held = lock(folder / str(core))
        if held is not None:
            os.sched_setaffinity(0, {core})
            _held.append(held)
            return core
    return None
