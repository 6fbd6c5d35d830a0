"""`python -m esr_ray.search CONFIG`: search, train the winner in full, report. A thin command over the runtime."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from esr_ray.config.load import check_config, load_config, with_overrides
from esr_ray.config.paths import absolute_paths
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder, check_same_experiment, new_folder, stored_config
from esr_ray.runs.history import replay
from esr_ray.runs.journal import read_journal
from esr_ray.runs.result import report_rows
from esr_ray.view import print_line, report_table, watching

EPILOG = """\
examples:
  python -m esr_ray.search configs/demo.yml
  python -m esr_ray.search configs/demo.yml --set data.hr=photos/ --set evolution.num_generation=8
  python -m esr_ray.search configs/esr_ea_x2.yml --dry-run
  python -m esr_ray.search --resume runs/demo-20260101-120000
  python -m esr_ray.search configs/esr_ea_x2.yml --address auto

exit status: 0 finished, 2 something you can mend (one line says what), 130 stopped by Ctrl-C (resumable).
Every key of a configuration is explained in docs/configuration.md. A configuration of the reference
implementation (Vega, MindSpore's model zoo) is accepted as it is, and what it means here is said.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        return _search(options, console)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m esr_ray.search",
        description="Find the best super-resolution network within a budget by evolution, and train it in full.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", help="configuration file (YAML); with --resume only where it changed")
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
    parser.add_argument("--retry-failed", action="store_true", help="with --resume: train failed candidates again")
    parser.add_argument(
        "--address",
        help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without it Ray is started on this machine",
    )
    return parser


def _search(options: argparse.Namespace, console: Console) -> int:
    config, folder = _experiment(options, console)
    resume = options.resume is not None
    remote = (options.address or "").startswith("ray://")
    if remote and resume:
        raise UserError(
            "--resume with ray://: the run folder is on the cluster's head; resume there, with --address auto"
        )
    from esr_ray.plan import check_experiment

    checked = check_experiment(config, folder, pictures_here=not remote, resume=resume)
    if options.dry_run:
        from esr_ray.runtime.dry_run import print_plan

        print_plan(checked, options.address, console)
        return 0
    # Ray is imported only once all that can be checked without it was.
    from esr_ray.runtime.client import connection, follow, start_driver
    from esr_ray.runtime.driver import DriverSetup

    print_line(console, f"run folder: {folder.path} (needs about {checked.needed_bytes / 1e6:,.0f} MB)")
    setup = DriverSetup(str(folder.path), config, checked.blocks, resume, options.retry_failed)
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


def _experiment(options: argparse.Namespace, console: Console) -> tuple[Config, RunFolder]:
    """The checked configuration and the run folder, new or resumed."""
    if options.retry_failed and options.resume is None:
        raise UserError("--retry-failed goes with --resume RUN_DIR")
    given = None
    if options.config is not None:
        loaded = load_config(options.config, options.overrides)
        for warning in loaded.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        given = absolute_paths(loaded.config)
    if options.resume is None:
        if given is None:
            raise UserError("give a configuration file (configs/demo.yml), or --resume RUN_DIR; see --help")
        return given, new_folder(given, Path(options.config))
    folder = RunFolder(Path(options.resume).absolute())
    stored = stored_config(folder)
    if given is None:
        content = with_overrides(stored.model_dump(mode="json"), options.overrides)
        given = absolute_paths(check_config(content, str(folder.config)))
    check_same_experiment(stored, given, folder)
    return given, folder


def _print_report(folder: RunFolder, config: Config, console: Console) -> None:
    rows = report_rows(replay(read_journal(folder.journal)[0]))
    if rows:
        console.print(report_table(rows, config.task.scale))
    print_line(console, f"results: {folder.path} (tensorboard --logdir {folder.tensorboard})")


if __name__ == "__main__":
    sys.exit(main())
