"""`python -m esr_ray.evaluate CHECKPOINT|RUN_DIR`: trained networks on benchmark sets, beside bicubic."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from esr_ray.command import run_command
from esr_ray.config.load import check_config
from esr_ray.config.reference_eval import EvalFile, check_scale, translate_eval
from esr_ray.data.crops import PicturePair
from esr_ray.data.layouts import benchmark_pairs, benchmarks_in
from esr_ray.data.sets import Pair, resolve_folder
from esr_ray.data.store import StoreSpec, open_store
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder, write_atomically
from esr_ray.runs.history import replay
from esr_ray.runs.journal import read_journal
from esr_ray.runs.pictures import to_png
from esr_ray.runs.searched import is_run, run_experiment_config
from esr_ray.space.user_block import load_user_block
from esr_ray.tables import print_tables, to_json, to_markdown
from esr_ray.tasks.super_resolution import default_cache_dir
from esr_ray.training.result import Evaluated
from esr_ray.view import print_line

if TYPE_CHECKING:
    from esr_ray.training.evaluation import Measured

EPILOG = """\
examples:
  python -m esr_ray.evaluate runs/demo-20260101-120000 --data Set5=benchmarks/Set5
  python -m esr_ray.evaluate runs/a/checkpoints/final.ckpt runs/b --benchmarks benchmarks/ --self-ensemble
  python -m esr_ray.evaluate net.ckpt --data Mine=photos/HR,photos/LR --save enlarged/ --format markdown
  python -m esr_ray.evaluate --scale 2 --data Set5=benchmarks/Set5        bicubic alone
  python -m esr_ray.evaluate eval.yml --models output/fully_train         a file of the reference

Sets may lie as they are handed on: Set5/HR with Set5/LR_bicubic/X2, Set5/GTmod12 with Set5/LRbicx2, Set5/image_SRF_2,
DIV2K_valid_HR, or a folder of HR pictures (LR is then made by MATLAB's bicubic). PSNR and SSIM: the border of `scale`
pixels cropped, output rounded to 8 bits, Y of BT.601 as MATLAB's rgb2ycbcr, not rounded.
exit status: 0 done, 2 something you can mend (one line says what).
"""


@dataclass(frozen=True)
class _Source:
    """A checkpoint to evaluate, and the name by which tables have it."""

    name: str
    path: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: _evaluate(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m esr_ray.evaluate",
        description="Measure trained networks on sets of pictures, beside bicubic.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="CHECKPOINT|RUN_DIR|eval.yml", help="networks; without: bicubic alone"
    )
    parser.add_argument(
        "--data",
        metavar="NAME=FOLDER|HR,LR",
        action="append",
        default=[],
        help="a set: a folder in a known layout, or folders of HR and LR pictures (may be repeated)",
    )
    parser.add_argument("--benchmarks", metavar="FOLDER", help="a folder of such sets, all of which are taken")
    parser.add_argument("--models", metavar="PATH", help="with eval.yml: the checkpoint or run folder it is about")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), help="without a network: the enlargement of bicubic")
    parser.add_argument("--self-ensemble", action="store_true", help="mean over the eight flips and turns of a picture")
    parser.add_argument("--save", metavar="DIR", help="write the enlarged pictures to DIR/NETWORK/SET")
    parser.add_argument("--format", choices=("table", "markdown", "json"), default="table", help="what is printed")
    parser.add_argument(
        "--output", metavar="FILE", help="write what is printed to a file too (.md or .json by its name)"
    )
    parser.add_argument("--kernels", choices=("auto", "native", "plain"), default="auto", help="as runtime.kernels")
    parser.add_argument("--cache-dir", metavar="DIR", help="where decoded pictures are kept (~/.cache/esr_ray)")
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    paths, reference = _reference(options)
    sources = [source for path in paths for source in _sources(path)]
    scale = _scale(sources, options.scale)
    sets = _sets(options, scale)
    for file, one in reference:
        check_scale(one, scale, file)
        sets.append((one.name, resolve_folder(one.name, one.hr, one.lr, scale)))
    if not sets:
        raise UserError("give pictures: --data Set5=FOLDER, or --benchmarks FOLDER; see --help")
    cache = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    pictures = [(name, _open(name, pairs, scale, cache)) for name, pairs in sets]
    results = _measure(sources, scale, pictures, options)
    if options.output:
        content = to_json(results, scale) if options.output.endswith(".json") else to_markdown(results, scale)
        write_atomically(Path(options.output), content.encode())
    if options.format == "table":
        print_tables(results, scale, Console())
    else:
        print(to_json(results, scale) if options.format == "json" else to_markdown(results, scale), end="")
    return 0


def _reference(options: argparse.Namespace) -> tuple[list[Path], list[tuple[str, EvalFile]]]:
    """The networks' paths, and the reference's eval.yml files among what was given."""
    files = [path for path in options.paths if Path(path).suffix in (".yml", ".yaml")]
    paths = [Path(path) for path in options.paths if path not in files]
    found = []
    for file in files:
        one = translate_eval(file)
        for warning in one.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        models = options.models or one.models
        if models is None and not paths:
            raise UserError(f"{file}: its models_folder is a place of the reference's own; give --models PATH")
        if models is not None:
            paths.append(Path(models))
        found.append((file, one))
    return list(dict.fromkeys(paths)), found


def _sources(path: Path) -> list[_Source]:
    """The checkpoints of a path. Raises UserError where there is none."""
    if not is_run(path):
        if path.is_dir():
            found = sorted(path.glob("*.ckpt"))
            if not found:
                raise UserError(f"{path}: is no run folder, and holds no checkpoint (.ckpt)")
            return [_Source(file.stem, file) for file in found]
        return [_Source(path.stem, path)]
    folder = RunFolder(path.absolute())
    trained = replay(read_journal(folder.journal)[0]).trained
    if not trained:
        raise UserError(f"{path}: has no fully trained network; python -m esr_ray.train {path} trains its best one")
    for block in run_experiment_config(path).space.user_blocks:
        load_user_block(block)
    name = folder.path.name
    return [_Source(name if len(trained) == 1 else f"{name}/{label}", folder.checkpoint(label)) for label in trained]


def _scale(sources: list[_Source], given: int | None) -> int:
    """The enlargement of all networks. Raises UserError where they differ, or there is none to tell."""
    if not sources:
        if given is None:
            raise UserError("give networks (checkpoints or run folders), or --scale for bicubic alone; see --help")
        return given
    from esr_ray.training.checkpoint import load_checkpoint

    scales = {source.path: load_checkpoint(source.path)[1].scale for source in sources}
    first = next(iter(scales.values()))
    for path, scale in scales.items():
        if scale != (given or first):
            raise UserError(f"{path}: enlarges by {scale}, not by {given or first}; evaluate each scale by itself")
    return first


def _sets(options: argparse.Namespace, scale: int) -> list[tuple[str, tuple[Pair, ...]]]:
    sets = []
    for text in options.data:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise UserError(f"--data {text}: write NAME=FOLDER or NAME=HR,LR")
        hr, comma, lr = place.partition(",")
        folder = Path(place).expanduser()
        if comma and not folder.exists():
            sets.append((name, resolve_folder(name, hr, lr, scale)))
        else:
            sets.append((name, benchmark_pairs(name, folder, scale)))
    if options.benchmarks:
        sets += benchmarks_in(Path(options.benchmarks).expanduser(), scale)
    names = [name for name, _ in sets]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--data {name}: two sets have this name; rename one")
    return sets


def _open(name: str, pairs: tuple[Pair, ...], scale: int, cache: Path) -> list[PicturePair]:
    store = open_store(StoreSpec(((name, pairs),), scale), cache)
    for note in store.notes:
        print(f"{name}: {note}", file=sys.stderr)
    return store.sets[name]


def _measure(
    sources: list[_Source], scale: int, pictures: list[tuple[str, list[PicturePair]]], options: argparse.Namespace
) -> list[Evaluated]:
    from esr_ray.runtime.target import use_target
    from esr_ray.training.benchmarks import evaluate_bicubic, evaluate_network
    from esr_ray.training.kernels import choose_kernels

    results = [evaluate_bicubic(scale, pictures, _saver(options.save, "bicubic"))]
    if not sources:
        return results
    use_target("CPU", "graph")
    content = {"data": {"hr": "unused"}, "runtime": {"kernels": options.kernels}}
    kernels = choose_kernels(check_config(content, "evaluate"), "CPU")
    console = Console(stderr=True)
    for source in sources:
        print_line(console, f"{source.name}: {kernels.reason}")
        results.append(
            evaluate_network(
                source.name,
                source.path,
                pictures,
                kernels.make,
                options.self_ensemble,
                _saver(options.save, source.name),
            )
        )
    return results


def _saver(folder: str | None, network: str) -> Callable[[str, list[Measured]], None]:
    """Writes a set's enlarged pictures to FOLDER/NETWORK/SET, where there is a folder."""

    def save(name: str, measured: list[Measured]) -> None:
        if folder is None:
            return
        place = Path(folder) / network / name
        place.mkdir(parents=True, exist_ok=True)
        for one in measured:
            write_atomically(place / f"{one.name}.png", to_png(one.sr))

    return save


if __name__ == "__main__":
    sys.exit(main())
