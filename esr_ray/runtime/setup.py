"""What a process of ours is given to begin with: plain data, and the environment it needs before MindSpore loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esr_ray.config.schema import Config
from esr_ray.tasks.pictures import PicturePlan
from esr_ray.tasks.user_files import UserFile


@dataclass(frozen=True)
class WorkerSetup:
    """All that a process needs to train networks of a run."""

    config: Config
    target: str
    pictures: PicturePlan
    files: tuple[UserFile, ...]
    driver: Any = None
    """The driver actor, which sends pictures to nodes that do not have them. None where all is on one node."""
    driver_node: str | None = None
    """Ray's id of its node, which has them: it has looked at them when it began."""


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of a process that trains, set by Ray before it starts.

    ONEDNN_MAX_CPU_ISA: see `esr_ray/__init__.py`. GLOG_v=3: MindSpore's own log says errors only.
    """
    return {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": str(threads), "GLOG_v": "3"}
