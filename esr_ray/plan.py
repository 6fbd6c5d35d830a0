"""Everything that can be wrong with an experiment is found here, before anything runs."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from esr_ray.config.epochs import in_steps
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.randomness import generator
from esr_ray.runs.folder import RunFolder, check_record, lock, stored_config, with_copies
from esr_ray.runs.record import read_history
from esr_ray.runs.searched import check_files
from esr_ray.search.device_figures import DEVICE_FIGURES, was_measured
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.space.counts import spec_cost
from esr_ray.space.reach import Reach, check_budget
from esr_ray.space.sample import sample_genome
from esr_ray.space.space import Space
from esr_ray.space.spec import frame_name, split_frame
from esr_ray.tasks.make import network_spec, space_of
from esr_ray.tasks.pictures import PicturePlan, open_benchmarks, open_pictures, plan_pictures
from esr_ray.tasks.user_files import UserFile, load_paths, read_files
from esr_ray.training.result import NOT_MEASURED

LOCK_PATIENCE_S = 3.0
"""How long a resume waits for a search that is just ending to let go of its folder."""
_JOURNAL_BYTES = 20_000
"""For each candidate: journal, population and TensorBoard."""


@dataclass(frozen=True)
class Experiment:
    """A configuration that was found sound, and what checking it found."""

    config: Config
    """In steps where the pictures are here; what the run folder keeps is what the user gave."""
    folder: RunFolder
    space: Space
    reach: Reach | None
    """None where networks are given: nothing is searched."""
    files: tuple[UserFile, ...]
    pictures: PicturePlan | None
    """None where the pictures are on another machine."""
    search_notes: tuple[str, ...]
    """What to tell of the networks that the search begins or goes on with."""
    notes: tuple[str, ...]
    """What else to tell; a run finds that again."""
    needed_bytes: int
    """Room that the run folder will need."""


def check_experiment(config: Config, folder: RunFolder, pictures_here: bool, resume: bool) -> Experiment:
    """Check space, budget, blocks, pictures, disk and the run folder. Raises UserError, one line a fault."""
    state, recorded = State(), None
    if resume:
        _check_free(folder)
        check_record(folder)
        if folder.journal.exists():
            history = read_history(folder.journal)
            state, recorded = history.state, None if history.run is None else history.run.pictures
            check_files(folder, history)
    named = with_copies(config, folder) if resume else config
    load_paths(named)
    space = space_of(config)
    reach = None
    search_notes: tuple[str, ...] = ()
    if config.networks:
        needed = _check_networks(config)
    else:
        reach = check_budget(space)
        # Mult-adds are outside that exact check: finding one network within both limits is.
        sample_genome(space, generator(config.seed, "check"))
        needed = _needed_bytes(config, reach)
        search_notes = (*_founders(config, space, resume), *_left_out(folder, state, space))
        _check_measured(folder, state, config)
    _check_disk(folder.path, needed)
    pictures = None
    notes: tuple[str, ...] = ()
    if pictures_here:
        pictures = plan_pictures(config, recorded)
        opened = open_pictures(pictures, config)
        config, lengths = in_steps(config, len(opened.train))
        notes = (*pictures.notes, *opened.notes, *lengths)
        if "search" in config.pipeline:
            # Only now the lengths are in steps.
            search_notes += _to_measure(folder, state, config, space)
        open_benchmarks(pictures)
    files = read_files(named)
    return Experiment(config, folder, space, reach, files, pictures, search_notes, notes, needed)


def _founders(config: Config, space: Space, resume: bool) -> tuple[str, ...]:
    """What to tell of the networks that a search begins with. Raises UserError where none of them can be used.

    A run that goes on, perhaps in another space, may have found others since.
    """
    own = {arch: space.own(arch) for arch in config.evolution.founders}
    found = {one for one in own.values() if one is not None}
    # One network may be called by two names.
    held = len(found)
    given = held + sum(one is None for one in own.values())
    if given and not held and not resume:
        unnamed = len(config.space.frames) > 1 and all(split_frame(arch)[0] is None for arch in own)
        told = f"; they name no base channels: put them first, such as {frame_name(config.space.frames[0])}"
        raise UserError(
            f"evolution.founders: none of the {given} networks is in this space (blocks, nodes, budget, base "
            f"channels){told if unnamed else ''}; widen the space, or begin without them"
        )
    if held < given:
        return (f"{held} of {given} networks to begin with are in this space; the others are left out",)
    return (f"{given} networks to begin with",) if given else ()


def _left_out(folder: RunFolder, state: State, space: Space) -> tuple[str, ...]:
    """What to tell of networks of a run that a changed space does not hold. Raises UserError where it holds none."""
    trained = {state.jobs[job].candidate.id for job, outcome in state.outcomes.items() if outcome.quality is not None}
    held = sum(space.holds(state.candidates[one].arch) for one in trained)
    if trained and not held:
        raise UserError(
            f"space: none of the {len(trained)} networks that {folder.path} has trained is in the changed space; "
            "begin a new run"
        )
    if held < len(trained):
        return (f"{len(trained) - held} of {len(trained)} trained networks are not in the changed space: left out",)
    return ()


def _check_measured(folder: RunFolder, state: State, config: Config) -> None:
    """Raise UserError where latency would be measured with other pictures than that of earlier networks was."""
    if all(outcome.cost == NOT_MEASURED for outcome in state.outcomes.values()):
        return
    before, now = stored_config(folder).evolution.latency_size, config.evolution.latency_size
    if before != now:
        raise UserError(
            f"evolution.latency_size: networks of {folder.path} were measured with {list(before)}, and others cannot "
            f"be compared with them at {list(now)}; leave it, or begin a new run (--seed-from)"
        )


def _to_measure(folder: RunFolder, state: State, config: Config, space: Space) -> tuple[str, ...]:
    """What to tell of networks that were trained before anybody asked for latency or memory. Raises UserError where
    nothing is left to train, so that none would be measured."""
    evolution, notes = config.evolution, []
    trained = sum(outcome.quality is not None for outcome in state.outcomes.values())
    for name, limit in (("latency", evolution.max_latency_ms), ("memory", evolution.max_memory_mb)):
        wanted = name in evolution.objectives or limit is not None
        if not wanted or not trained or was_measured(state, DEVICE_FIGURES[name]):
            continue
        if not state.pending | state.failed and not make_algorithm(config, space).ask(state, 1):
            raise UserError(
                f"evolution: {name} was measured of no network of {folder.path}, and no training is left in which it "
                "would be; raise evolution.num_generation"
            )
        notes.append(f"{name} was measured of no network yet: it is of those that are trained from now on")
    return tuple(notes)


def _check_free(folder: RunFolder) -> None:
    """Raise UserError where another search runs in the folder (it is looked at again when the run begins)."""
    lock(folder, LOCK_PATIENCE_S).release()


def _check_networks(config: Config) -> int:
    """Bytes that their checkpoints and states will need. Raises UserError for a block that cannot be built."""
    params = 0
    for index, arch in enumerate(config.networks):
        if len(config.space.frames) > 1 and split_frame(arch)[0] is None:
            raise UserError(
                f"networks[{index}]: names no base channels, and space.base_channels has several; put them before the "
                f"blocks, such as {frame_name(config.space.frames[0])}"
            )
        try:
            params += spec_cost(network_spec(arch, config)).params
        except UserError as error:
            raise UserError(f"networks[{index}]: {error}") from None
    # A checkpoint, and weights, moments and averages of the state; twice while they are written.
    return 4 * params * (1 + 2 * 4)


def _needed_bytes(config: Config, reach: Reach) -> int:
    largest = min(reach.greatest, config.space.max_params or reach.greatest)
    # Of the winner also the state of its training, twice while it is written.
    kept = config.evolution.num_elitism + config.evolution.num_individual + 1 + 2 * 4
    candidates = config.evolution.num_generation * config.evolution.num_individual
    return kept * 4 * largest + candidates * _JOURNAL_BYTES


def _check_disk(path: Path, needed: int) -> None:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not existing.is_dir():
        raise UserError(f"{existing}: is a file, not a folder; give another output.dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing}: cannot be written in; set output.dir to a folder that can")
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        raise UserError(f"{existing}: the disk cannot be looked at ({error.strerror})") from None
    if free < needed:
        raise UserError(
            f"{path}: the run needs about {needed / 1e6:,.0f} MB and the disk has {free / 1e6:,.0f} MB free; "
            "make room, or set output.dir to another disk"
        )
