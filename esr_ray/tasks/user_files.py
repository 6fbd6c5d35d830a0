"""The Python files that a user brings, block types and a task, on their way to every node and into the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esr_ray.config.schema import Config
from esr_ray.durable import write_atomically
from esr_ray.errors import UserError
from esr_ray.private import private_folder
from esr_ray.space.user_block import load_user_block
from esr_ray.tasks.user_task import load_user_task
from esr_ray.user_source import read_source, source_digest

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

    @property
    def digest(self) -> str:
        """By which the text is known again."""
        return source_digest(self.text)


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
    """Import them in this process, from a private folder that is named by their text: graph code is read from there."""
    for file in files:
        path = private_folder("user", f"{file.kind}-{source_digest(file.text)[:16]}") / file.name
        if not path.is_file() or path.read_bytes() != file.text.encode():
            write_atomically(path, file.text.encode())
        (load_user_block if file.kind == "block" else load_user_task)(path)


def _read(kind: Kind, path: str) -> UserFile:
    key = "space.user_blocks" if kind == "block" else "task.file"
    return UserFile(kind, Path(path).name, read_source(Path(path), key))
