"""What is to be run: a checked configuration and a run folder, new or to go on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esr_ray.config.load import check_config, load_config, with_overrides
from esr_ray.config.paths import absolute_paths
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder, check_same_experiment, new_folder, stored_config
from esr_ray.runs.record import read_history
from esr_ray.runs.searched import is_run, run_experiment_config, searched_networks
from esr_ray.space.spec import named_among

Given = str | Path | Mapping[str, Any]
"""A configuration: its file, or its content."""
Warn = Callable[[str], object]
GIVEN_NAME = "esr_ray"
"""What a run is called whose configuration has no file."""


@dataclass(frozen=True)
class Planned:
    """One experiment, before it was checked against the pictures and the disk."""

    config: Config
    folder: RunFolder
    resume: bool = False
    retry_failed: bool = False


def new_search(config: Given, overrides: Sequence[str], warn: Warn, seed_from: str | Path | None = None) -> Planned:
    """A search from its start. Raises UserError for a configuration that is not sound, or a run that is none."""
    given = _read(config, overrides, warn)
    if seed_from is not None:
        framed = len(given.space.frames) > 1
        founders = tuple(dict.fromkeys(searched_networks(Path(seed_from), given.evolution.num_individual, framed)))
        evolution = given.evolution.model_copy(update={"founders": (*given.evolution.founders, *founders)})
        given = given.model_copy(update={"evolution": evolution})
    return Planned(given, new_folder(given, _name_of(config)))


def new_training(
    config: Given | None,
    overrides: Sequence[str],
    warn: Warn,
    networks: Sequence[Sequence[str]] = (),
    sources: Sequence[str | Path] = (),
    best: int = 1,
) -> Planned:
    """A full training of networks that are given, found in `sources`, or named by the configuration.

    Raises UserError as `new_search`, and if there is no network.
    """
    given = None if config is None else _read(config, [], warn)
    if not sources and not networks and not (given and given.networks):
        raise UserError("give a run folder, or --arch NAME,NAME,... with a configuration; see --help")
    if best < 1:
        raise UserError(f"--best {best}: must be 1 or more")
    chosen = [tuple(arch) for arch in networks]
    for source in sources:
        # Beside another configuration they are the networks that they were there.
        chosen += searched_networks(Path(source), best, framed=given is not None)
    if given is not None:
        chosen = chosen or [tuple(arch) for arch in given.networks]
        where, name = _origin(config), _name_of(config).stem
    elif len(sources) == 1 and is_run(Path(sources[0])):
        given, where, name = run_experiment_config(Path(sources[0])), str(sources[0]), Path(sources[0]).name
    else:
        raise UserError("give a configuration file too (.yml); only one run folder alone brings its own")
    content = given.model_dump(mode="json")
    steps = ["full_training", "benchmarks"] if "benchmarks" in given.pipeline else ["full_training"]
    named = (named_among(arch, given.space.frames) for arch in chosen)
    content |= {"networks": list(dict.fromkeys(named)), "pipeline": steps}
    content["output"]["name"] = None
    # Overrides last: they may be of what is set here.
    made = absolute_paths(check_config(with_overrides(content, overrides), where))
    return Planned(made, new_folder(made, Path(f"{name}-train")))


def resumed(
    run_dir: str | Path, config: Given | None, overrides: Sequence[str], warn: Warn, retry_failed: bool = False
) -> Planned:
    """A run that goes on, with `config` in the place of what it had if that may be.

    Raises UserError if it is no run, or `config` is of another experiment.
    """
    folder = RunFolder(Path(run_dir).absolute())
    stored = stored_config(folder)
    if config is not None:
        given = _read(config, overrides, warn)
    else:
        content = with_overrides(stored.model_dump(mode="json"), overrides)
        given = absolute_paths(check_config(content, str(folder.config)))
    check_same_experiment(stored, given, folder, lambda: _has_results(folder))
    return Planned(given, folder, True, retry_failed)


def _has_results(folder: RunFolder) -> bool:
    state = read_history(folder.journal).state
    return len(state.outcomes) > len(state.failed)


def _read(config: Given, overrides: Sequence[str], warn: Warn) -> Config:
    """A checked configuration with absolute paths."""
    if isinstance(config, Mapping):
        return absolute_paths(check_config(with_overrides(dict(config), overrides), GIVEN_NAME))
    loaded = load_config(str(config), list(overrides))
    for warning in loaded.warnings:
        warn(warning)
    return absolute_paths(loaded.config)


def _origin(config: Given | None) -> str:
    return str(config) if isinstance(config, str | Path) else GIVEN_NAME


def _name_of(config: Given | None) -> Path:
    return Path(_origin(config))
