"""`python -m esr_ray.evaluate CHECKPOINT|RUN_DIR`: trained networks on benchmark sets, beside bicubic."""

from __future__ import annotations

if __name__ == "__main__":
    # Before the rest is imported, which takes a second.
    from esr_ray.signals import guard

    guard()

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from esr_ray.api.evaluation import Place, common_task, evaluate_networks
from esr_ray.command import make_parser, print_warning, run_command
from esr_ray.config.reference_eval import EvalFile, check_scale, translate_eval
from esr_ray.errors import UserError
from esr_ray.inference.files import PictureSaver, prepare_file, write_file
from esr_ray.tables import print_tables, to_json, to_markdown
from esr_ray.view import make_console, print_line

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
    parser = make_parser("evaluate", "Measure trained networks on sets of pictures, beside bicubic.", EPILOG)
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
    data = _data(options.data)
    for file, one in reference:
        check_scale(one, common_task(paths, options.scale).scale, file)
        data[one.name] = one.hr if one.lr is None else (one.hr, one.lr)
    output = Path(options.output) if options.output else None
    if output is not None:
        prepare_file(output)
    saver = PictureSaver(Path(options.save) if options.save else None)
    console = Console(stderr=True)
    found = evaluate_networks(
        paths,
        data,
        benchmarks=options.benchmarks,
        scale=options.scale,
        self_ensemble=options.self_ensemble,
        with_cost=True,
        target=options.target,
        kernels=options.kernels,
        cache_dir=options.cache_dir,
        on_pictures=saver.save,
        say=lambda line: print_line(console, line),
    )
    results, task = found.results, found.task
    # First what cannot fail: it may have taken hours.
    if options.format == "table":
        print_tables(results, task, make_console())
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
            print_warning(warning)
        models = options.models or one.models
        if models is None and not paths:
            raise UserError(f"{file}: its models_folder names nothing that can be read here; give --models PATH")
        if models is not None:
            paths.append(Path(models))
        found.append((file, one))
    return list(dict.fromkeys(paths)), found


def _data(texts: Sequence[str]) -> dict[str, Place]:
    """The sets that --data names."""
    found: dict[str, Place] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise UserError(f"--data {text}: write NAME=FOLDER or NAME=HR,LR")
        if "/" in name or name.startswith("."):
            raise UserError(
                f"--data {name}: a name is also that of a folder (--save); give one without / or . before it"
            )
        if name in found:
            raise UserError(f"--data {name}: two sets have this name; rename one")
        hr, comma, lr = place.partition(",")
        found[name] = place if not comma or Path(place).expanduser().exists() else (hr, lr)
    return found


if __name__ == "__main__":
    sys.exit(main())
