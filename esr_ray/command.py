"""What the commands share: parsers, exit statuses, and running an experiment to its report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console

from esr_ray import signals
from esr_ray.errors import UserError
from esr_ray.printable import printable
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.record import read_history
from esr_ray.runs.result import report_rows, reported_networks
from esr_ray.tables import report_table
from esr_ray.tasks.make import make_task
from esr_ray.view import print_line, watching

if TYPE_CHECKING:
    from esr_ray.api.experiment import RunResult
    from esr_ray.api.planned import Planned


def run_command(command: Callable[[], int]) -> int:
    """A command's exit status: what the user can mend is one line and status 2; a signal that asks it to stop gives 128
    and the signal's number."""
    try:
        with signals.listening():
            return command()
    except UserError as error:
        _tell(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _tell("interrupted")
        return signals.status()


def _tell(line: str) -> None:
    # A terminal that is gone is told nothing.
    with suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def make_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of `python -m esr_ray.COMMAND`; the epilog is printed as it is."""
    return argparse.ArgumentParser(
        prog=f"python -m esr_ray.{command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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


def print_warning(warning: str) -> None:
    """What is said of a configuration and stops nothing."""
    print(printable(f"warning: {warning}"), file=sys.stderr)


def run_planned(planned: Planned, address: str | None, dry_run: bool, console: Console) -> int:
    """Run an experiment, show it, and print its report, or its plan; the exit status. Raises UserError."""
    if dry_run:
        _print_plan(planned, address, console)
        return 0
    from esr_ray.api.experiment import run

    with watching(console) as show:
        result = run(planned, address, show)
    remote = (address or "").startswith("ray://")
    # From elsewhere the user must be told where the results are.
    place = f"\nrun folder: {result.folder} on {result.host}" if remote else ""
    if not result.finished:
        _tell(result.message + place)
        return signals.status()
    if not remote:
        _print_report(planned, result, console)
    print_line(console, result.message + place)
    return 0


def _print_plan(planned: Planned, address: str | None, console: Console) -> None:
    """The plan in words. Raises UserError for what is wrong; if it is the pictures alone, after the rest."""
    from esr_ray.plan import check_experiment

    config, folder, resume = planned.config, planned.folder, planned.resume
    remote = (address or "").startswith("ray://")
    missing = None
    try:
        checked = check_experiment(config, folder, pictures_here=not remote, resume=resume)
    except UserError as error:
        if remote:
            raise
        # Raises again if it is not the pictures.
        checked = check_experiment(config, folder, pictures_here=False, resume=resume)
        missing = error
    # Ray is imported only once all that can be checked without it was.
    from esr_ray.runtime.dry_run import print_plan

    print_plan(checked, address, console)
    if missing is not None:
        raise missing


def _print_report(planned: Planned, result: RunResult, console: Console) -> None:
    """The networks that were trained in full beside the baseline, and who won the search: it was said long before."""
    folder: RunFolder = planned.folder
    history = read_history(folder.journal)
    for label, name in reported_networks(folder.result).items():
        rows, baseline = report_rows(history, label), history.reported[label].baseline
        console.print(report_table(rows, make_task(planned.config.task), name, baseline))
    if "full_training" in planned.config.pipeline:
        for line in result.conclusion:
            print_line(console, line)
    print_line(console, f"results: {folder.path} (tensorboard --logdir {folder.tensorboard})")
