"""`python -m esr_ray.evaluate CHECKPOINT|RUN_DIR`: trained networks on benchmark sets, beside bicubic."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from esr_ray.command import run_command
from esr_ray.config.load import check_config
from esr_ray.config.reference_eval import EvalFile, check_scale, translate_eval
from esr_ray.config.task import TaskConfig
from esr_ray.data.crops import PicturePair, check_border
from esr_ray.data.layouts import benchmarks_in, read_set
from esr_ray.data.pairs import FoundSet, Pair, same_name
from esr_ray.data.store import StoreSpec, open_store
from esr_ray.errors import UserError
from esr_ray.inference.cost import inference_cost
from esr_ray.inference.files import PictureSaver, prepare_file, write_file
from esr_ray.inference.find import Source, distinct, find_networks
from esr_ray.inference.load import load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.report import evaluate_baseline, evaluate_network
from esr_ray.inference.result import Evaluated
from esr_ray.networks.checkpoint import load_checkpoint
from esr_ray.networks.target import use_target
from esr_ray.tables import print_tables, to_json, to_markdown
from esr_ray.tasks.make import make_task, task_of
from esr_ray.tasks.pictures import default_cache_dir
from esr_ray.tasks.task import Task
from esr_ray.view import print_line

EPILOG = """\
examples:
  python -m esr_ray.evaluate runs/demo-20260101-120000 --data Set5=benchmarks/Set5
  python -m esr_ray.evaluate runs/a/checkpoints/final.ckpt runs/b --benchmarks benchmarks/ --self-ensemble
  python -m esr_ray.evaluate net.ckpt --data Mine=photos/HR,photos/LR --save enlarged/ --format markdown
  python -m esr_ray.evaluate --scale 2 --data Set5=benchmarks/Set5        bicubic alone
  python -m esr_ray.evaluate eval.yml --models output/fully_train         a file of the reference

Sets may lie as they are handed on: Set5/HR with Set5/LR_bicubic/X2, Set5/GTmod12 with Set5/LRbicx2, Set5/image_SRF_2,
DIV2K_valid_HR, HR and LR in one folder by their names (_HR, _LR), or a folder of HR pictures (LR is then made by
MATLAB's bicubic; LR folders beside it are told and not used). PSNR and SSIM: the border of `scale`
pixels cropped, output rounded to 8 bits, Y of BT.601 as MATLAB's rgb2ycbcr, not rounded. Latency (median) and memory
are for an output of 1280x720, each network in a process of its own; native kernels use one thread.
exit status: 0 done, 2 something you can mend (one line says what).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    # Before MindSpore loads: of its own log errors only.
    os.environ.setdefault("GLOG_v", "3")
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
    parser.add_argument("--target", choices=("cpu", "ascend"), default="cpu", help="what computes (as runtime.target)")
    parser.add_argument("--kernels", choices=("auto", "native", "plain"), default="auto", help="as runtime.kernels")
    parser.add_argument("--cache-dir", metavar="DIR", help="where decoded pictures are kept (~/.cache/esr_ray)")
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    paths, reference = _reference(options)
    found = [source for path in paths for source in find_networks(path)]
    task = _task(found, options.scale)
    sources = distinct(found, [one.name for one in task.baselines])
    scale = task.scale
    sets = _sets(options, task)
    for file, one in reference:
        check_scale(one, scale, file)
        sets.append((one.name, read_set(one.name, one.hr, one.lr, scale, task.given_lr)))
    for name, _ in sets:
        if "/" in name or name.startswith("."):
            raise UserError(
                f"--data {name}: a name is also that of a folder (--save); give one without / or . before it"
            )
    if not sets:
        raise UserError("give pictures: --data Set5=FOLDER, or --benchmarks FOLDER; see --help")
    cache = Path(options.cache_dir) if options.cache_dir else default_cache_dir()
    for name, found_set in sets:
        for note in found_set.notes:
            print(f"{name}: {note}", file=sys.stderr)
    pictures = [(name, _open(name, found_set.pairs, task, cache)) for name, found_set in sets]
    output = Path(options.output) if options.output else None
    if output is not None:
        prepare_file(output)
    saver = PictureSaver(Path(options.save) if options.save else None)
    results = _measure(sources, task, pictures, options, saver)
    # First what cannot fail: it may have taken hours.
    if options.format == "table":
        print_tables(results, task, Console())
    else:
        print(to_json(results, task) if options.format == "json" else to_markdown(results, task), end="", flush=True)
    if output is not None:
        content = to_json(results, task) if output.suffix == ".json" else to_markdown(results, task)
        write_file(output, content.encode())
    if saver.failure is not None:
        raise saver.failure
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


def _task(sources: list[Source], given: int | None) -> Task:
    """What all networks are for. Raises UserError where they differ, or there is none to tell."""
    if not sources:
        if given is None:
            raise UserError("give networks (checkpoints or run folders), or --scale for bicubic alone; see --help")
        return make_task(TaskConfig(scale=given))  # type: ignore[arg-type]
    tasks = {source.path: task_of(load_checkpoint(source.path)[1]) for source in sources}
    first = next(iter(tasks.values()))
    for path, task in tasks.items():
        if task.title != first.title and task.scale == first.scale:
            raise UserError(f"{path}: is for {task.title}, and others for {first.title}; evaluate each by itself")
        if task.scale != (given or first.scale):
            raise UserError(f"{path}: enlarges by {task.scale}, not by {given or first.scale}; evaluate each by itself")
    return first


def _sets(options: argparse.Namespace, task: Task) -> list[tuple[str, FoundSet]]:
    sets = []
    for text in options.data:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise UserError(f"--data {text}: write NAME=FOLDER or NAME=HR,LR")
        hr, comma, lr = place.partition(",")
        if not comma or Path(place).expanduser().exists():
            sets.append((name, read_set(name, place, None, task.scale, task.given_lr)))
        else:
            sets.append((name, read_set(name, hr, lr, task.scale, task.given_lr)))
    if options.benchmarks:
        sets += benchmarks_in(Path(options.benchmarks).expanduser(), task.scale, task.given_lr)
    names = [same_name(name) for name, _ in sets]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--data {name}: two sets have this name; rename one")
    return sets


def _open(name: str, pairs: tuple[Pair, ...], task: Task, cache: Path) -> list[PicturePair]:
    store = open_store(StoreSpec(((name, pairs),), task.scale), cache)
    for note in store.notes:
        print(f"{name}: {note}", file=sys.stderr)
    check_border(store.sets[name], task.border)
    return store.sets[name]


def _measure(
    sources: list[Source],
    task: Task,
    pictures: list[tuple[str, list[PicturePair]]],
    options: argparse.Namespace,
    saver: PictureSaver,
) -> list[Evaluated]:
    config = check_config({"data": {"hr": "unused"}, "runtime": {"kernels": options.kernels}}, "evaluate")
    target = {"cpu": "CPU", "ascend": "Ascend"}[options.target]
    console = Console(stderr=True)
    # Before this process takes the device.
    costs = [inference_cost(source, config, target, options.self_ensemble) for source in sources]
    for source, cost in zip(sources, costs, strict=True):
        if cost is None:
            print_line(console, f"{source.name}: latency and memory unknown: the process that measured them was killed")
    results = [evaluate_baseline(task, pictures, saver.of(one.name), one) for one in task.baselines]
    if not sources:
        return results
    use_target(target, config.runtime.mode)
    make = choose_predictor(options.kernels, target)
    for source, cost in zip(sources, costs, strict=True):
        print_line(console, f"{source.name}: {make.reason}")
        network = load_network(source.path, make, options.self_ensemble)
        results.append(evaluate_network(source.name, network, pictures, saver.of(source.name), cost))
    return results


if __name__ == "__main__":
    sys.exit(main())
