"""`--replay`: the choices of a search made again from its record, nothing trained, to see that they are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.config.load import check_config
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.runs.events import Asked, Event, Resumed, RunBegan
from esr_ray.runs.journal import read_journal
from esr_ray.runs.record import read_events
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.events import Dropped, fold, job_of
from esr_ray.search.job import Job
from esr_ray.search.state import State


@dataclass(frozen=True)
class Replayed:
    """How many choices were made again, all as they were, and by how many processes of the run."""

    choices: int
    processes: int


def replay_run(path: Path, make: Callable[[Config], Algorithm]) -> Replayed:
    """Make the choices of the journal at `path` again, with the algorithm that `make` puts together.

    Raises UserError where the journal is damaged or of an older format, and at the first choice that differs.
    """
    lines = read_journal(path).events
    if any(line.get("v") == 1 for line in lines):
        raise UserError(
            f"{path}: begins in format 1, of the search before this one, whose choices cannot be made again; it can be "
            "gone on with (--resume)"
        )
    return replay_events(read_events(lines, path), str(path), make)


def replay_events(events: Sequence[Event], name: str, make: Callable[[Config], Algorithm]) -> Replayed:
    """As `replay_run`, of events; `name` is what they are called."""
    state, algorithm, choices, processes = State(), None, 0, 0
    steps = next((event.steps for event in events if isinstance(event, Asked)), 1)
    for number, event in enumerate(events, 1):
        if isinstance(event, RunBegan | Resumed) and event.config is not None:
            config = _in_steps(check_config(event.config, f"{name}, event {number}"), steps)
            if "search" in config.pipeline:
                algorithm, processes = make(config), processes + 1
        if isinstance(event, Asked):
            if algorithm is None:
                raise UserError(
                    f"{name}, event {number}: a job was asked for before the run began; the record is damaged"
                )
            chosen, recorded = algorithm.ask(state, 1), _recorded(event, state, f"{name}, event {number}")
            if chosen != (recorded,):
                raise UserError(
                    f"{name}, event {number}: {_words(recorded)} was chosen there, and "
                    f"{_words(chosen[0]) if chosen else 'nothing'} is now: another version of esr_ray, NumPy or "
                    "SciPy made that choice (the record's first event names them), or the record was changed"
                )
            choices += 1
        if isinstance(event, Dropped) and (algorithm is None or event.job not in algorithm.unneeded(state)):
            raise UserError(
                f"{name}, event {number}: job {event.job} was dropped there as one that nothing depends on, and is "
                "needed now: another version of esr_ray or NumPy made that choice, or the record was changed"
            )
        try:
            state = fold(state, event)
        except ValueError as error:
            raise UserError(f"{name}, event {number}: cannot follow on those before it: {error}") from None
    if choices == 0:
        raise UserError(f"{name}: is the record of no search: nothing was asked for in it")
    return Replayed(choices, processes)


def _in_steps(config: Config, steps: int) -> Config:
    """A length given in epochs, as the record has it in steps."""
    if config.fast_training.epochs is None:
        return config
    fast = config.fast_training.model_copy(update={"epochs": None, "steps": steps})
    return config.model_copy(update={"fast_training": fast})


def _recorded(event: Asked, state: State, where: str) -> Job:
    try:
        return job_of(event, state.candidates)
    except ValueError as error:
        raise UserError(f"{where}: {error}; the record is damaged") from None


def _words(job: Job) -> str:
    one = job.candidate
    of_parents = f" of {', '.join(map(str, one.parents))}" if one.parents else ""
    return (
        f"candidate {one.id} ({one.operator}{of_parents}: {' '.join(one.arch)}, {one.params:,} parameters) for "
        f"{job.steps} steps with seed {job.seed} as {job.purpose} in batch {job.batch}"
    )
