"""`python -m esr_ray.train RUN_DIR|--arch NAMES CONFIG`: train networks in full and report, without a search."""

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

from esr_ray.api.planned import new_training, resumed
from esr_ray.command import add_options, make_parser, print_warning, run_command, run_planned
from esr_ray.errors import UserError
from esr_ray.view import make_console

EPILOG = """\
examples:
  python -m esr_ray.train runs/demo-20260101-120000                       the best network of a search, as it was set
  python -m esr_ray.train runs/ configs/esr_ea_x2.yml                     the best of each search in a folder
  python -m esr_ray.train output/nas/arch.txt configs/esr_ea_x2.yml       the best of a file of the reference
  python -m esr_ray.train --arch G_8_16_24,S_4_16_24 configs/esr_ea_x2.yml
  python -m esr_ray.train mine.yml                                        the networks that its key `networks` names
  python -m esr_ray.train --resume runs/esr_ea_x2-20260101-120000

The training uses all devices that Ray has, each on its share of full_training.batch_size (runtime.trainers). Where a
process or node dies it goes on from its last state (full_training.checkpoint_steps).
exit status: 0 finished, 2 something you can mend (one line says what), 130 stopped by Ctrl-C (resumable).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    console = make_console()
    return run_command(lambda: _train(options, console))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "train", "Train one or several networks in full, on all devices together, and report on them.", EPILOG
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="RUN_DIR|CONFIG",
        help="where networks come from (a run folder, a folder of such, or an arch.txt), and a configuration (.yml)",
    )
    parser.add_argument(
        "--arch",
        metavar="NAME,NAME,...",
        action="append",
        default=[],
        help="a network by its blocks, as result.json names it (may be repeated)",
    )
    parser.add_argument(
        "--best", metavar="N", type=int, default=1, help="networks to take of each search, the best in fitness (1)"
    )
    add_options(parser)
    return parser


def _train(options: argparse.Namespace, console: Console) -> int:
    files = [path for path in options.paths if Path(path).suffix in (".yml", ".yaml")]
    sources = [path for path in options.paths if path not in files]
    if len(files) > 1:
        raise UserError(f"{files[1]}: a second configuration; give one")
    file = files[0] if files else None
    if options.resume is not None:
        if sources or options.arch:
            raise UserError("--resume goes on with the networks of that run; begin a new run for others")
        planned = resumed(options.resume, file, options.overrides, print_warning)
    else:
        networks = [[name.strip() for name in arch.split(",")] for arch in options.arch]
        planned = new_training(file, options.overrides, print_warning, networks, sources, options.best)
    return run_planned(planned, options.address, options.dry_run, console)


if __name__ == "__main__":
    sys.exit(main())
