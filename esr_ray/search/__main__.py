"""`python -m esr_ray.search CONFIG`: search, train the winner in full, report. A thin command over the runtime."""

from __future__ import annotations

if __name__ == "__main__":
    # Before the rest is imported, which takes a second.
    from esr_ray.signals import guard

    guard()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from esr_ray.api.planned import new_search, resumed
from esr_ray.command import add_options, make_parser, print_warning, run_command, run_planned
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.replay import replay_run
from esr_ray.runs.searched import run_experiment_config
from esr_ray.search.make import make_algorithm
from esr_ray.tasks.make import space_of
from esr_ray.tasks.user_files import load_paths
from esr_ray.view import make_console

EPILOG = """\
examples:
  python -m esr_ray.search configs/demo.yml
  python -m esr_ray.search configs/demo.yml --set data.hr=photos/ --set evolution.num_generation=8
  python -m esr_ray.search configs/esr_ea_x2.yml --dry-run
  python -m esr_ray.search --resume runs/demo-20260101-120000
  python -m esr_ray.search --resume runs/demo-20260101-120000 --set evolution.num_generation=8
  python -m esr_ray.search configs/demo.yml --seed-from runs/demo-20260101-120000
  python -m esr_ray.search --replay runs/demo-20260101-120000
  python -m esr_ray.search configs/esr_ea_x2.yml --address auto

exit status: 0 finished, 2 something you can mend (one line says what), 130 stopped by Ctrl-C (resumable).
Every key of a configuration is explained in docs/configuration.md. A configuration of the reference
implementation (Vega, MindSpore's model zoo) is accepted as it is, and what it means here is said.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    console = make_console()
    return run_command(lambda: _search(options, console))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("search", "Find the best network within a budget by evolution, and train it in full.", EPILOG)
    parser.add_argument("config", nargs="?", help="configuration file (YAML); with --resume only where it changed")
    add_options(parser)
    parser.add_argument(
        "--seed-from",
        metavar="RUN_DIR",
        help="begin with the best networks of a run (num_individual of them), or of an arch.txt",
    )
    parser.add_argument(
        "--replay",
        metavar="RUN_DIR",
        help="make the choices of a run again from its record, and say if all are the same",
    )
    parser.add_argument("--retry-failed", action="store_true", help="with --resume: train failed candidates again")
    return parser


def _search(options: argparse.Namespace, console: Console) -> int:
    if options.retry_failed and options.resume is None:
        raise UserError("--retry-failed goes with --resume RUN_DIR")
    if options.replay is not None:
        return _replay(options)
    if options.seed_from is not None and options.resume is not None:
        raise UserError("--seed-from begins a new run: it does not go with --resume")
    if options.resume is not None:
        planned = resumed(options.resume, options.config, options.overrides, print_warning, options.retry_failed)
    elif options.config is None:
        raise UserError("give a configuration file (configs/demo.yml), or --resume RUN_DIR; see --help")
    else:
        planned = new_search(options.config, options.overrides, print_warning, options.seed_from)
    return run_planned(planned, options.address, options.dry_run, console)


def _replay(options: argparse.Namespace) -> int:
    if options.resume is not None or options.config is not None or options.seed_from is not None or options.overrides:
        raise UserError("--replay RUN_DIR goes alone: the run's own record says with which configuration it was made")
    folder = RunFolder(Path(options.replay).absolute())
    load_paths(run_experiment_config(folder.path))
    done = replay_run(folder.journal, lambda config: make_algorithm(config, space_of(config)))
    processes = "" if done.processes == 1 else f", over {done.processes} beginnings and resumptions"
    print(f"{folder.path}: {done.choices} choices made again{processes}: all the same; nothing was trained")
    return 0


if __name__ == "__main__":
    sys.exit(main())
