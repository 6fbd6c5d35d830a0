"""Where trained networks are: checkpoint files, run folders, and folders of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.record import read_history
from esr_ray.runs.searched import is_run, run_experiment_config
from esr_ray.space.user_block import load_user_block


@dataclass(frozen=True)
class Source:
    """A checkpoint, the name by which tables have it, and the files of its run's block types."""

    name: str
    path: Path
    blocks: tuple[str, ...] = ()


def find_networks(path: Path) -> list[Source]:
    """The checkpoints of a path; the block types of their runs are known from now on. UserError where there is none."""
    if not is_run(path):
        if path.is_dir():
            found = sorted(path.glob("*.ckpt"))
            if not found:
                raise UserError(f"{path}: is no run folder, and holds no checkpoint (.ckpt)")
        else:
            found = [path]
        # Where they lie in a run's folder, its block types are found there.
        runs = {file: file.absolute().parent.parent for file in found}
        return [Source(file.stem, file, _blocks(run) if is_run(run) else ()) for file, run in runs.items()]
    folder = RunFolder(path.absolute())
    trained = read_history(folder.journal).trained
    if not trained:
        raise UserError(f"{path}: has no fully trained network; python -m esr_ray.train {path} trains its best one")
    blocks = _blocks(path)
    name = folder.path.name
    for label in trained:
        if not folder.checkpoint(label).is_file():
            raise UserError(
                f"{folder.checkpoint(label)}: is not there any more; --resume {path} trains the network again"
            )
    return [
        Source(name if len(trained) == 1 else f"{name}/{label}", folder.checkpoint(label), blocks) for label in trained
    ]


def only_network(path: Path) -> Source:
    """The one network of a path. Raises UserError where there is none, or several."""
    found = find_networks(path)
    if len(found) > 1:
        names = ", ".join(str(one.path) for one in found[:4])
        raise UserError(f"{path}: has {len(found)} networks; give one of them: {names}")
    return found[0]


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


def _blocks(run: Path) -> tuple[str, ...]:
    """The files of a run's block types, which are known from now on."""
    blocks = run_experiment_config(run).space.user_blocks
    for block in blocks:
        load_user_block(block)
    return blocks
