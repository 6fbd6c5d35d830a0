"""Where trained networks are: in the package, in checkpoint files, run folders, and folders of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from esr_ray.errors import UserError
from esr_ray.networks.checkpoint import SUFFIXES
from esr_ray.packaged import packaged_names, packaged_path
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.record import read_history
from esr_ray.runs.searched import is_run, run_experiment_config
from esr_ray.tasks.user_files import load_paths


@dataclass(frozen=True)
class Source:
    """A checkpoint, the name by which tables have it, and the run that it is of, whose files it may need."""

    name: str
    path: Path
    run: Path | None = None

    def load_files(self) -> None:
        """Make the user's block types and task of its run known in this process."""
        if self.run is not None:
            load_paths(run_experiment_config(self.run))


def find_networks(path: Path) -> list[Source]:
    """The networks of a path, or the package's network of that name (./NAME is a folder of the same name).

    The user's files of their runs are known from now on. Raises UserError if there is none.
    """
    packaged = packaged_path(str(path))
    if packaged is not None:
        return [Source(packaged.stem, packaged)]
    if not is_run(path):
        if path.is_dir():
            found = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES)
            if not found:
                raise UserError(f"{path}: is no run folder, and holds no network ({' or '.join(SUFFIXES)})")
        elif not path.exists() and not path.suffix:
            raise UserError(f"{path}: there is no such network; {_advice(str(path))}")
        else:
            found = [path]
        runs = {file: file.absolute().parent.parent for file in found}
        sources = [Source(file.stem, file, run if is_run(run) else None) for file, run in runs.items()]
        for source in sources:
            source.load_files()
        return sources
    folder = RunFolder(path.absolute())
    trained = read_history(folder.journal).trained
    if not trained:
        raise UserError(f"{path}: has no fully trained network; python -m esr_ray.train {path} trains its best one")
    load_paths(run_experiment_config(path))
    name = folder.path.name
    for label in trained:
        if not folder.checkpoint(label).is_file():
            raise UserError(
                f"{folder.checkpoint(label)}: is not there any more; --resume {path} trains the network again"
            )
    return [
        Source(name if len(trained) == 1 else f"{name}/{label}", folder.checkpoint(label), folder.path)
        for label in trained
    ]


def only_network(path: Path) -> Source:
    """The one network of a path. Raises UserError where there is none, or several."""
    found = find_networks(path)
    if len(found) > 1:
        names = ", ".join(str(one.path) for one in found[:4])
        raise UserError(f"{path}: has {len(found)} networks; give one of them: {names}")
    return found[0]


def _advice(name: str) -> str:
    """What could have been meant."""
    names = packaged_names()
    close = get_close_matches(name, names, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}give a run folder, a checkpoint, or one of the package's networks ({', '.join(names)})"


def distinct(sources: Sequence[Source], taken: Sequence[str]) -> list[Source]:
    """Each checkpoint once, and where two have one name, or one that is `taken`, as many of their folders before it as
    tell them apart."""
    files = {source.path.absolute(): source for source in sources}
    names = [*taken, *(source.name for source in files.values())]
    alike = [path for path, source in files.items() if names.count(source.name) > 1]
    depth = 2
    while len({path.parts[-depth:] for path in alike}) < len(alike):
        depth += 1
    for path in alike:
        files[path] = replace(files[path], name="/".join(path.parts[-depth:]))
    return list(files.values())
