"""`python -m esr_ray.search CONFIG`: search, train the winner in full, report. A thin command over the runtime."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from esr_ray.command import add_options, read_config, resumed, run_command, run_experiment
from esr_ray.errors import UserError
from esr_ray.runs.folder import new_folder

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
    return run_command(lambda: _search(options, console))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m esr_ray.search",
        description="Find the best super-resolution network within a budget by evolution, and train it in full.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", help="configuration file (YAML); with --resume only where it changed")
    add_options(parser)
    parser.add_argument("--retry-failed", action="store_true", help="with --resume: train failed candidates again")
    return parser


def _search(options: argparse.Namespace, console: Console) -> int:
    if options.retry_failed and options.resume is None:
        raise UserError("--retry-failed goes with --resume RUN_DIR")
    given = None if options.config is None else read_config(options.config, options.overrides)
    if options.resume is not None:
        config, folder = resumed(options.resume, given, options.overrides)
    elif given is None:
        raise UserError("give a configuration file (configs/demo.yml), or --resume RUN_DIR; see --help")
    else:
        config, folder = given, new_folder(given, Path(options.config))
    return run_experiment(config, folder, options, console, options.retry_failed)


if __name__ == "__main__":
    sys.exit(main())
