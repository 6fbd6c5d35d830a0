"""Which pictures are meant, and where each one's result goes."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.errors import UserError
from esr_ray.picture_files import is_picture, list_pictures
from esr_ray.upscale.picture import FORMATS


@dataclass(frozen=True)
class Enlargement:
    """One picture, and the file that its result is written to."""

    source: Path
    target: Path

    @property
    def comparison(self) -> Path:
        """Where the picture goes that compares it with bicubic."""
        return self.target.with_name(f"{self.target.stem}_compare.png")


def find_pictures(given: Sequence[str]) -> list[Path]:
    """Files, the pictures of folders (not of their subfolders), and what globs match, each once.

    Raises UserError for what is not there, and for a folder or glob without pictures.
    """
    found: list[Path] = []
    for text in given:
        path = Path(text).expanduser()
        if path.is_dir():
            found += list_pictures(path, FORMATS)
        elif path.exists() or not glob.has_magic(text):
            found.append(path)
        else:
            matched = [
                Path(one) for one in sorted(glob.glob(str(path), recursive=True)) if is_picture(Path(one), FORMATS)
            ]
            if not matched:
                raise UserError(f"{text}: matches no pictures")
            found += matched
    return list(dict.fromkeys(found))


def plan_targets(
    sources: Sequence[Path], output: Path | None, scale: int, force: bool, compare: bool = False
) -> list[Enlargement]:
    """Where each result goes: to `output`, a file for one picture, else a folder; without it beside the picture, with
    the enlargement in its name (or that it is clean).

    Raises UserError where two would go to one file, where a file is there already and not to be replaced, and for an
    ending that is not known.
    """
    into_file = output is not None and len(sources) == 1 and output.suffix and not output.is_dir()
    tasks = []
    for source in sources:
        ending = source.suffix if source.suffix.lower() in FORMATS else ".png"
        if output is None:
            target = source.with_name(f"{source.stem}_{f'x{scale}' if scale > 1 else 'clean'}{ending}")
        elif into_file:
            target = output
        else:
            target = output / f"{source.stem}{ending}"
        tasks.append(Enlargement(source, target))
    _check(tasks, output, force, compare)
    return tasks


def _check(tasks: Sequence[Enlargement], output: Path | None, force: bool, compare: bool) -> None:
    by_target: dict[Path, Path] = {}
    for task in tasks:
        if task.target.suffix.lower() not in FORMATS:
            raise UserError(f"{task.target}: is no format that is written; end it in {', '.join(FORMATS)}")
        other = by_target.setdefault(task.target, task.source)
        if other != task.source:
            raise UserError(f"{other} and {task.source}: both would be written to {task.target}; enlarge one by itself")
        if task.target.exists() and task.target.samefile(task.source):
            raise UserError(f"{task.source}: would be replaced by its own result; give another -o")
        for path in (task.target, *([task.comparison] if compare else [])):
            if path.exists() and not force:
                raise UserError(f"{path}: is there already; --force replaces it")
    if output is not None and len(tasks) > 1 and output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file, and there are {len(tasks)} pictures; give a folder")
