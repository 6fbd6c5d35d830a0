"""What the commands share: options, exit statuses, and running an experiment to its report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from esr_ray.config.load import check_config, load_config, with_overrides
from esr_ray.config.paths import absolute_paths
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder, check_same_experiment, stored_config
from esr_ray.runs.record import read_history
from esr_ray.runs.result import report_rows
from esr_ray.tables import report_table
from esr_ray.tasks.make import make_task
from esr_ray.view import print_line, watching


def run_command(command: Callable[[], int]) -> int:
    """A command's exit status: what the user can mend is one line and status 2, Ctrl-C is 130."""
    try:
        return command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that runs an experiment on Ray."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a key, such as evolution.num_generation=3 (may be repeated)",
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything, print the plan, train nothing")
    parser.add_argument("--resume", metavar="RUN_DIR", help="go on with a run that was interrupted or is to go further")
    parser.add_argument(
        "--address",
        help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without it Ray is started on this machine",
    )


def read_config(path: str, overrides: list[str]) -> Config:
    """A checked configuration with absolute paths; warnings are printed."""
    loaded = load_config(path, overrides)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return absolute_paths(loaded.config)


def resumed(run_dir: str, given: Config | None, overrides: list[str]) -> tuple[Config, RunFolder]:
    """The configuration and folder of a run that goes on, with `given` in the place of what it had where that may be.

    Raises UserError where it is no run, or `given` is of another one.
    """
    folder = RunFolder(Path(run_dir).absolute())
    stored = stored_config(folder)
    if given is None:
        content = with_overrides(stored.model_dump(mode="json"), overrides)
        given = absolute_paths(check_config(content, str(folder.config)))
    check_same_experiment(stored, given, folder)
    return given, folder


def run_experiment(
    config: Config, folder: RunFolder, options: argparse.Namespace, console: Console, retry_failed: bool = False
) -> int:
    """Check an experiment, run it on Ray, print its report; the exit status. Raises UserError."""
    resume = options.resume is not None
    remote = (options.address or "").startswith("ray://")
    if remote and resume:
        raise UserError(
            "--resume with ray://: the run folder is on the cluster's head; resume there, with --address auto"
        )
    from esr_ray.plan import check_experiment

    if options.dry_run:
        _print_plan(config, folder, options, console)
        return 0
    checked = check_experiment(config, folder, pictures_here=not remote, resume=resume)
    # Ray is imported only once all that can be checked without it was.
    from esr_ray.runtime.client import connection, follow, start_driver
    from esr_ray.runtime.driver import DriverSetup

    print_line(console, f"run folder: {folder.path} (needs about {checked.needed_bytes / 1e6:,.0f} MB)")
    nodes_may_join = options.address is not None
    setup = DriverSetup(
        str(folder.path), config, checked.blocks, resume, retry_failed, nodes_may_join, checked.search_notes
    )
    with connection(options.address), watching(console) as show:
        outcome = follow(start_driver(setup), show)
    # From elsewhere the user must be told where the results are.
    place = f"\nrun folder: {outcome.folder} on {outcome.host}" if remote else ""
    if outcome.kind == "error":
        raise UserError(outcome.message + place)
    if outcome.kind == "stopped":
        print(outcome.message + place, file=sys.stderr)
        return 130
    if not remote:
        _print_report(folder, config, console)
    print(outcome.message + place)
    return 0


def _print_plan(config: Config, folder: RunFolder, options: argparse.Namespace, console: Console) -> None:
    """The plan in words. Raises UserError for what is wrong; where it is the pictures alone, after the rest."""
    from esr_ray.plan import check_experiment

    resume, remote = options.resume is not None, (options.address or "").startswith("ray://")
    missing = None
    try:
        checked = check_experiment(config, folder, pictures_here=not remote, resume=resume)
    except UserError as error:
        if remote:
            raise
        # Raises again where it is not the pictures.
        checked = check_experiment(config, folder, pictures_here=False, resume=resume)
        missing = error
    # Ray is imported only once all that can be checked without it was.
    from esr_ray.runtime.dry_run import print_plan

    print_plan(checked, options.address, console)
    if missing is not None:
        raise missing


def _print_report(folder: RunFolder, config: Config, console: Console) -> None:
    history = read_history(folder.journal)
    for label, reported in history.reported.items():
        name = label if config.networks else None
        rows = report_rows(history, label)
        console.print(report_table(rows, make_task(config.task), name, reported.baseline))
    print_line(console, f"results: {folder.path} (tensorboard --logdir {folder.tensorboard})")
