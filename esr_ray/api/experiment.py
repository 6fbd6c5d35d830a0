"""Searches and full trainings from Python: a configuration goes in, a run is watched, its results come out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from esr_ray.api.planned import Planned, new_search, new_training, resumed
from esr_ray.errors import UserError
from esr_ray.inference.result import Figures
from esr_ray.plan import Experiment, check_experiment
from esr_ray.runs.history import History
from esr_ray.runs.record import read_history
from esr_ray.runs.result import baseline_of, winner_lines
from esr_ray.runs.status import Status
from esr_ray.search.front import FrontRow, front_rows, row_of
from esr_ray.search.make import make_algorithm
from esr_ray.space.counts import mult_adds_720p, spec_cost
from esr_ray.tasks.make import network_spec

OnStatus = Callable[[Status], None]
"""Told twice a second where a run stands, with the lines of its log since the last time."""


@dataclass(frozen=True)
class SetReport:
    """The means of one set of pictures: of the network, and of the baseline beside it."""

    name: str
    network: Figures
    baseline: Figures


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that was trained in full. Mult-adds are of an output of 1280x720; `baseline` names what `sets` compare
    it with (the test pictures first), and `seconds` is how long the training took."""

    label: str
    arch: tuple[str, ...]
    params: int
    mult_adds: int
    checkpoint: Path
    seconds: float
    baseline: str
    sets: tuple[SetReport, ...]


@dataclass(frozen=True)
class RunResult:
    """How a run ended. `finished` is False if it was stopped: it goes on with `resume`.

    `winner`, `confidence` and `front` are of a search, which `conclusion` sums up in words; `networks` were trained in
    full. Of a run on a cluster that was reached with ray:// only `folder` (on `host`) and `message` are known here.
    """

    folder: Path
    host: str
    finished: bool
    message: str
    winner: FrontRow | None = None
    confidence: float | None = None
    front: tuple[FrontRow, ...] = ()
    conclusion: tuple[str, ...] = ()
    networks: tuple[TrainedNetwork, ...] = ()


def search_networks(
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    seed_from: str | Path | None = None,
    resume: str | Path | None = None,
    retry_failed: bool = False,
    address: str | None = None,
    on_status: OnStatus = lambda status: None,
) -> RunResult:
    """Search for networks within a budget, and train and report the best, as `python -m esr_ray.search` does.

    `config` is a file or a mapping with its content, `overrides` are "key=value"; `seed_from` is a run whose best
    networks to begin with. `resume` is the folder of a run to go on with. Ray is started on this machine, unless
    `address` names a cluster. Raises UserError with what the command would say, before anything runs if it can.
    """
    if resume is not None:
        if seed_from is not None:
            raise UserError("seed_from begins a new run: it does not go with resume")
        planned = resumed(resume, config, overrides, warnings.warn, retry_failed)
    elif config is None:
        raise UserError("give a configuration, or resume a run")
    else:
        planned = new_search(config, overrides, warnings.warn, seed_from)
    return run(planned, address, on_status)


def train_networks(
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    networks: Sequence[Sequence[str]] = (),
    sources: Sequence[str | Path] = (),
    best: int = 1,
    resume: str | Path | None = None,
    address: str | None = None,
    on_status: OnStatus = lambda status: None,
) -> RunResult:
    """Train networks in full and report on them, without a search, as `python -m esr_ray.train` does.

    `networks` are lists of blocks, before which base channels (`G0_16`) may stand; `sources` are runs, folders of runs,
    or files of the reference whose `best` networks are taken; without either the configuration names them. One run
    folder alone brings its own configuration; beside another one its networks keep their base channels. The rest as for
    `search_networks`.
    """
    if resume is not None:
        if networks or sources:
            raise UserError("resume goes on with the networks of that run; begin a new run for others")
        planned = resumed(resume, config, overrides, warnings.warn)
    else:
        planned = new_training(config, overrides, warnings.warn, networks, sources, best)
    return run(planned, address, on_status)


def run(planned: Planned, address: str | None, on_status: OnStatus) -> RunResult:
    """Check an experiment, run it on Ray to its end, and read its results. Raises UserError."""
    remote = (address or "").startswith("ray://")
    if remote and planned.resume:
        raise UserError(
            "--resume with ray://: the run folder is on the cluster's head; resume there, with --address auto"
        )
    config, folder = planned.config, planned.folder
    checked = check_experiment(config, folder, pictures_here=not remote, resume=planned.resume)
    # Ray is imported only once all that can be checked without it was.
    from esr_ray.runtime.client import connection, follow, start_driver
    from esr_ray.runtime.driver import DriverSetup
    from esr_ray.runtime.lifeline import RayLost

    needed = f"run folder: {folder.path} (needs about {checked.needed_bytes / 1e6:,.0f} MB)"
    on_status(Status(lines=(needed,)))
    setup = DriverSetup(
        str(folder.path),
        config,
        checked.files,
        planned.resume,
        planned.retry_failed,
        address is not None,
        checked.search_notes,
    )
    try:
        with connection(address):
            outcome = follow(start_driver(setup), on_status)
    except RayLost as error:
        where = f" on the cluster's head, in {folder.path}" if remote else f": go on with --resume {folder.path}"
        raise UserError(f"{error}; what was finished is kept{where}") from None
    if outcome.kind == "error":
        # From elsewhere the user must be told where the results are.
        raise UserError(outcome.message + (f"\nrun folder: {outcome.folder} on {outcome.host}" if remote else ""))
    result = RunResult(Path(outcome.folder), outcome.host, outcome.kind == "finished", outcome.message)
    return result if remote else _with_results(result, planned, checked)


def _with_results(result: RunResult, planned: Planned, checked: Experiment) -> RunResult:
    # As it was checked its lengths are in steps.
    history, config = read_history(planned.folder.journal), checked.config
    networks = tuple(_trained(history, label, planned) for label in history.trained)
    if "search" not in config.pipeline:
        return replace(result, networks=networks)
    algorithm = make_algorithm(config, checked.space)
    verdict = algorithm.verdict(history.state)
    winner = None if verdict is None else row_of(algorithm.view(history.state), verdict.winner.candidate.id)
    confidence = None if verdict is None else verdict.confidence
    front = front_rows(algorithm, history.state)
    conclusion = tuple(winner_lines(algorithm, history.state))
    return replace(result, winner=winner, confidence=confidence, front=front, conclusion=conclusion, networks=networks)


def _trained(history: History, label: str, planned: Planned) -> TrainedNetwork:
    event, reported = history.trained[label], history.reported.get(label)
    cost = spec_cost(network_spec(event.arch, planned.config))
    sets = tuple(
        SetReport(part["name"], Figures("mean", **part["network"]), Figures("mean", **baseline_of(part)))
        for part in (reported.sets if reported is not None else [])
    )
    return TrainedNetwork(
        label,
        tuple(event.arch),
        cost.params,
        mult_adds_720p(cost, planned.config.task.scale),
        planned.folder.path / event.checkpoint,
        event.seconds.total,
        reported.baseline if reported is not None else "",
        sets,
    )
