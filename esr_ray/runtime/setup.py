"""What a process of ours is given to begin with: plain data, and the environment it needs before MindSpore loads."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.space.user_block import load_user_block
from esr_ray.tasks.super_resolution import PicturePlan


@dataclass(frozen=True)
class BlockSource:
    """A user's block file: its name and its text, so that nodes without a common disk have it too."""

    name: str
    text: str


@dataclass(frozen=True)
class WorkerSetup:
    """All that a process needs to train networks of a run."""

    config: Config
    target: str
    pictures: PicturePlan
    blocks: tuple[BlockSource, ...]


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of a process that trains, set by Ray before it starts.

    ONEDNN_MAX_CPU_ISA: see `esr_ray/__init__.py`. GLOG_v=3: MindSpore's own log says errors only.
    """
    return {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": str(threads), "GLOG_v": "3"}


def read_blocks(paths: Sequence[str | Path]) -> tuple[BlockSource, ...]:
    """The user's block files. Raises UserError where two have one name: the run folder's copies go by it."""
    names = [Path(path).name for path in paths]
    if len(set(names)) != len(names):
        raise UserError(f"space.user_blocks: two files have the same name ({', '.join(sorted(names))}); rename one")
    return tuple(BlockSource(Path(path).name, Path(path).read_text(encoding="utf-8")) for path in paths)


def load_blocks(sources: Sequence[BlockSource]) -> None:
    """Import block files in this process, from a folder that is named by their text."""
    for source in sources:
        key = hashlib.sha256(source.text.encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"esr_ray-blocks-{key}"
        folder.mkdir(exist_ok=True)
        path = folder / source.name
        if not path.is_file() or path.read_text(encoding="utf-8") != source.text:
            path.write_text(source.text, encoding="utf-8")
        load_user_block(path)
