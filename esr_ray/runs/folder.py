"""A run's folder: where each file lies, who may write in it, and that a resumed run is the same experiment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from esr_ray import durable
from esr_ray.config.load import check_config, read_yaml
from esr_ray.config.reference import PAPER_LOOP
from esr_ray.config.schema import Config
from esr_ray.durable import Held, write_atomically
from esr_ray.errors import UserError

FINAL = "final"
"""The label of the network that a search ends with."""

MAY_CHANGE = ("evolution", "space", "full_training", "benchmarks", "pipeline", "runtime", "output")
"""Keys that may differ when a run is resumed: they change no result that is already there."""
MAY_NOT = ("space.base_channels", "space.global_skip", "space.user_blocks")
"""Among them, those that may not: the same blocks would be another network. Of several base channels, which each
network names, others may be given."""
MAY_WITHOUT_RESULTS = ("fast_training",)
"""Keys that may differ as well as long as nothing was trained: what failed by them should not have to be begun anew."""
MAY_NEVER = ("fast_training.steps", "fast_training.epochs")
"""Among those, what jobs that were asked for already say: how long they are."""


@dataclass(frozen=True)
class RunFolder:
    """Paths within a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yml"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def population(self) -> Path:
        return self.path / "population.jsonl"

    @property
    def front(self) -> Path:
        return self.path / "front.json"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def blocks(self) -> Path:
        return self.path / "blocks"

    @property
    def task(self) -> Path:
        """Where the copy of a user's task is."""
        return self.path / "task"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    def candidate_checkpoint(self, candidate_id: int) -> Path:
        return self.checkpoints / f"candidate_{candidate_id:06d}.ckpt"

    def checkpoint(self, label: str) -> Path:
        """The fully trained network of that label."""
        return self.checkpoints / f"{label}.ckpt"

    def state(self, label: str) -> Path:
        """What its unfinished training goes on from."""
        return self.checkpoints / f"{label}.state.npz"


def new_folder(config: Config, config_path: Path) -> RunFolder:
    """The folder of a new run, not made yet: output.dir/output.name, or the file's name with date and time.

    Raises UserError where output.name names a run that is already there.
    """
    name = config.output.name or f"{config_path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = RunFolder(Path(config.output.dir).absolute() / name)
    if folder.path.exists() and not folder.path.is_dir():
        raise UserError(f"{folder.path}: is a file, not a folder; give another output.name")
    if folder.path.exists() and any(folder.path.iterdir()):
        raise UserError(
            f"{folder.path}: is already a run folder; go on with it by --resume {folder.path}, "
            "or give another output.name"
        )
    return folder


def create(folder: RunFolder, config: Config, files: Mapping[str, str]) -> None:
    """Make the folder with the resolved configuration and copies of the user's files (place in the folder: text).

    A resumed run takes the copies: the originals may have changed.
    """
    for path in (folder.path, folder.checkpoints, folder.pictures):
        path.mkdir(parents=True, exist_ok=True)
    for place, text in files.items():
        (folder.path / place).parent.mkdir(exist_ok=True)
        write_atomically(folder.path / place, text.encode())
    write_atomically(folder.config, dump_config(config).encode())


def check_record(folder: RunFolder) -> None:
    """Raise UserError where results lie in a folder whose journal is gone: a new search would be laid over them."""
    journal = folder.journal
    if journal.is_file() and journal.stat().st_size:
        return
    results = [one for one in (folder.population, folder.result) if one.is_file() and one.stat().st_size]
    results += sorted(folder.checkpoints.glob("*.ckpt"))
    if results:
        state, beside = "empty" if journal.is_file() else "gone", results[0].relative_to(folder.path)
        raise UserError(
            f"{journal}: is {state}, and {beside} beside it is of a run; restore it from a copy, or begin a new run in "
            "another folder"
        )


def with_copies(config: Config, folder: RunFolder) -> Config:
    """The configuration of a run with the folder's copies of the user's files in the place of the originals.

    Only files that the configuration names are taken: any other in that folder is not the run's.
    """
    copies = ((folder.blocks / Path(given).name, given) for given in config.space.user_blocks)
    blocks = tuple(str(copy) if copy.is_file() else given for copy, given in copies)
    config = config.model_copy(update={"space": config.space.model_copy(update={"user_blocks": blocks})})
    if config.task.file is not None and (copy := folder.task / Path(config.task.file).name).is_file():
        config = config.model_copy(update={"task": config.task.model_copy(update={"file": str(copy)})})
    return config


def dump_config(config: Config) -> str:
    """A configuration as YAML, every key with its value."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def stored_config(folder: RunFolder) -> Config:
    """The resolved configuration of a run. Raises UserError where the folder is none of a run's."""
    if not folder.config.is_file():
        raise UserError(
            f"{folder.path}: is not a run folder (it has no {folder.config.name}); give the folder of a run"
        )
    content = read_yaml(folder.config)
    if isinstance(content.get("evolution"), dict):
        # The run of a version that did not have these keys yet goes on as it began.
        content["evolution"] = PAPER_LOOP | content["evolution"]
    return check_config(content, str(folder.config))


def check_same_experiment(
    stored: Config, given: Config, folder: RunFolder, has_results: Callable[[], bool] = lambda: True
) -> None:
    """Raise UserError where a configuration given on resume would change results that are already there.

    `has_results` is asked whether there are any if that matters.
    """
    before, after = _leaves(stored.model_dump(mode="json")), _leaves(given.model_dump(mode="json"))
    changed = [
        key
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and (not _within(key, MAY_CHANGE) or _within(key, MAY_NOT))
    ]
    frames = stored.space.frames, given.space.frames
    if min(map(len, frames)) > 1 or frames[0] == frames[1]:
        changed = [key for key in changed if key != "space.base_channels"]
    if changed and all(_within(key, MAY_WITHOUT_RESULTS) and key not in MAY_NEVER for key in changed):
        changed = changed if has_results() else []
    if changed:
        key = changed[0]
        more = f" (and {len(changed) - 1} more keys)" if len(changed) > 1 else ""
        raise UserError(
            f"{folder.path}: is a run of another configuration: {key} is {before.get(key)!r} there and "
            f"{after.get(key)!r} here{more}; only {', '.join(MAY_CHANGE)} may change on resume, and of these not "
            f"{', '.join(MAY_NOT)}" + _of_frames(key)
        )


def _of_frames(key: str) -> str:
    return " (but that may become another list where both have two or more)" if key == "space.base_channels" else ""


def _within(key: str, sections: Sequence[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    return {
        key: value
        for name, part in content.items()
        for key, value in _leaves(part, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def lock(folder: RunFolder, patience_s: float = 0.0) -> Held:
    """Take the folder for this process, until that is released or the process ends.

    Waits up to `patience_s` for a process that is just dying. Raises UserError where another search has it.
    """
    try:
        held = durable.lock(folder.path / ".lock", patience_s)
    except OSError as error:
        raise UserError(f"{folder.path}: cannot be written ({error.strerror}); a run needs its folder") from None
    if held is None:
        raise UserError(f"{folder.path}: another run is at work in this folder; wait for it, or stop it there (Ctrl-C)")
    return held


def sweep(folder: RunFolder) -> int:
    """Remove half-written files of processes that were killed; how many there were. Only for who has the lock."""
    return sum(
        durable.sweep(path)
        for path in (folder.path, folder.checkpoints, folder.pictures, folder.blocks, folder.task)
        if path.is_dir()
    )
