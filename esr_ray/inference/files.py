"""Files that an evaluation leaves where the user says: the table, and enlarged pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from esr_ray.durable import atomic_file
from esr_ray.errors import UserError
from esr_ray.runs.pictures import to_png

if TYPE_CHECKING:
    from esr_ray.inference.measure import Measured


class PictureSaver:
    """Writes enlarged pictures to FOLDER/NETWORK/SET; without a folder nothing.

    `failure` is the first one, after which no more are written: what is measured is not to be lost for a full disk.
    Raises UserError where the folder cannot be written in.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.failure: UserError | None = None
        if folder is not None:
            _make_folder(folder)

    def save(self, network: str, name: str, measured: Sequence[Measured]) -> None:
        """Keep the pictures of a network's set."""
        if self.folder is None or self.failure is not None:
            return
        part = Path(*(_safe(one) for one in network.split("/")), _safe(name))
        try:
            _make_folder(self.folder / part)
            for one in measured:
                write_file(self.folder / part / f"{_safe(one.name)}.png", to_png(one.sr))
        except UserError as error:
            self.failure = error


def _safe(name: str) -> str:
    """A name as that of one file or folder, which leads to no other place."""
    plain = name.replace("/", "_").replace("\0", "_")
    return "_" * max(1, len(plain)) if plain.strip(".") == "" else plain


def prepare_file(path: Path) -> None:
    """See that a file can be written later. Raises UserError where it cannot."""
    _make_folder(path.parent)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file")


def write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole. Raises UserError where that fails."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which is there once the block has ended. Raises UserError where that fails.

    A link is followed, and what is no file, such as /dev/stdout or a pipe, is written through: neither is replaced.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as through:
                yield through
            return
        with atomic_file(path.resolve() if path.is_symlink() else path) as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another place") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another folder") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder}: cannot be written in; give another folder")
