"""The Python files that a user brings, block types and a task, on their way to every node and into the run folder."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.space.user_block import load_user_block
from esr_ray.tasks.user_task import load_user_task

Kind = Literal["block", "task"]


@dataclass(frozen=True)
class UserFile:
    """What it defines, its name and its text, so that nodes without a common disk have it too."""

    kind: Kind
    name: str
    text: str

    @property
    def place(self) -> str:
        """Where the run folder has its copy."""
        return f"{'blocks' if self.kind == 'block' else 'task'}/{self.name}"


def load_paths(config: Config) -> None:
    """Import the files that a configuration names. Raises UserError as `load_user_block` and `load_user_task` do."""
    for block in config.space.user_blocks:
        load_user_block(block)
    if config.task.file is not None:
        load_user_task(config.task.file)


def read_files(config: Config) -> tuple[UserFile, ...]:
    """The files that a configuration names. Raises UserError if two blocks have one name: the run folder's copies go
    by it."""
    names = [Path(path).name for path in config.space.user_blocks]
    if len(set(names)) != len(names):
        raise UserError(f"space.user_blocks: two files have the same name ({', '.join(sorted(names))}); rename one")
    files = [_read("block", path) for path in config.space.user_blocks]
    return (*files, *([_read("task", config.task.file)] if config.task.file is not None else []))


def load_files(files: Sequence[UserFile]) -> None:
    """Import them in this process, from a folder that is named by their text."""
    for file in files:
        key = hashlib.sha256(file.text.encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"esr_ray-{file.kind}-{key}"
        folder.mkdir(exist_ok=True)
        path = folder / file.name
        if not path.is_file() or path.read_text(encoding="utf-8") != file.text:
            path.write_text(file.text, encoding="utf-8")
        (load_user_block if file.kind == "block" else load_user_task)(path)


def _read(kind: Kind, path: str) -> UserFile:
    return UserFile(kind, Path(path).name, Path(path).read_text(encoding="utf-8"))
