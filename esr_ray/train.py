"""`python -m esr_ray.train RUN_DIR|--arch NAMES CONFIG`: train networks in full and report, without a search."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from esr_ray.command import add_options, read_config, resumed, run_command, run_experiment
from esr_ray.config.load import check_config, with_overrides
from esr_ray.config.paths import absolute_paths
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.runs.folder import new_folder
from esr_ray.runs.searched import is_run, run_experiment_config, searched_networks

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
    console = Console()
    return run_command(lambda: _train(options, console))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m esr_ray.train",
        description="Train one or several networks in full, on all devices together, and report on them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
        help="a network by its blocks (may be repeated)",
    )
    parser.add_argument(
        "--best", metavar="N", type=int, default=1, help="networks to take of each search, the best in fitness (1)"
    )
    add_options(parser)
    return parser


def _train(options: argparse.Namespace, console: Console) -> int:
    files = [path for path in options.paths if Path(path).suffix in (".yml", ".yaml")]
    sources = [Path(path) for path in options.paths if path not in files]
    if len(files) > 1:
        raise UserError(f"{files[1]}: a second configuration; give one")
    if options.resume is not None:
        if sources or options.arch:
            raise UserError("--resume goes on with the networks of that run; begin a new run for others")
        changed = read_config(files[0], options.overrides) if files else None
        config, folder = resumed(options.resume, changed, options.overrides)
        return run_experiment(config, folder, options, console)
    given = read_config(files[0], []) if files else None
    if not sources and not options.arch and not (given and given.networks):
        raise UserError("give a run folder, or --arch NAME,NAME,... with a configuration; see --help")
    if options.best < 1:
        raise UserError(f"--best {options.best}: must be 1 or more")
    networks = [tuple(name.strip() for name in arch.split(",")) for arch in options.arch]
    for source in sources:
        networks += searched_networks(source, options.best)
    if given is not None and not networks:
        networks = [tuple(arch) for arch in given.networks]
    config = _config(given, files, sources, list(dict.fromkeys(networks)), options.overrides)
    name = Path(files[0]).stem if files else sources[0].name
    return run_experiment(config, new_folder(config, Path(f"{name}-train")), options, console)


def _config(
    given: Config | None, files: list[str], sources: list[Path], networks: list[tuple[str, ...]], overrides: list[str]
) -> Config:
    """The configuration that was given, or else that of the one run the networks are from, to train them."""
    if given is not None:
        # Overrides below: they may be of what is set here.
        base, where = given, files[0]
    elif len(sources) == 1 and is_run(sources[0]):
        base, where = run_experiment_config(sources[0]), str(sources[0])
    else:
        raise UserError("give a configuration file too (.yml); only one run folder alone brings its own")
    content = base.model_dump(mode="json")
    steps = ["full_training", "benchmarks"] if "benchmarks" in base.pipeline else ["full_training"]
    content |= {"networks": networks, "pipeline": steps}
    content["output"]["name"] = None
    return absolute_paths(check_config(with_overrides(content, overrides), where))


if __name__ == "__main__":
    sys.exit(main())
