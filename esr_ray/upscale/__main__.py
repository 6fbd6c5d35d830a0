"""`python -m esr_ray.upscale INPUT…`: pictures, larger."""

from __future__ import annotations

if __name__ == "__main__":
    # Before the rest is imported, which takes a second.
    from esr_ray.signals import guard

    guard()

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from esr_ray.api import load
from esr_ray.command import make_parser, run_command
from esr_ray.config.task import Name
from esr_ray.errors import UserError
from esr_ray.inference.files import prepare_file
from esr_ray.inference.load import Loaded
from esr_ray.inference.rows import bands_of, without_alpha
from esr_ray.packaged import packaged_for
from esr_ray.upscale.compare import split_rows
from esr_ray.upscale.files import Enlargement, find_pictures, plan_targets
from esr_ray.upscale.picture import FORMATS, Kept, larger, open_picture
from esr_ray.upscale.write import lost, writing
from esr_ray.view import print_line

TASKS: tuple[str, ...] = get_args(Name)
EPILOG = """\
examples:
  python -m esr_ray.upscale photo.jpg
  python -m esr_ray.upscale photo.jpg --network runs/demo-20260101-120000
  python -m esr_ray.upscale photos/ -o large/ --network net.ckpt
  python -m esr_ray.upscale 'scans/*.tif' -o large/ --network net.onnx --scale 4 --compare

PNG, JPEG, WebP, TIFF and BMP; transparency, ICC profile, EXIF and resolution are kept where the format has them, 16
bits in PNG and TIFF. The result lies beside its picture (photo_x2.jpg), or in the folder (or file) of -o. A network for
demosaicking takes grey pictures, the mosaic of a sensor.
exit status: 0 done, 1 some pictures failed, 2 all of them, or something you can mend (one line says what), 130 stopped
by Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    # Before MindSpore loads: of its own log errors only.
    os.environ.setdefault("GLOG_v", "3")
    return run_command(lambda: _upscale(options))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("upscale", "Make pictures larger with a trained network.", EPILOG)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures, folders of pictures, or patterns")
    parser.add_argument("-o", "--output", metavar="OUT", help="a folder, or for one picture a file")
    parser.add_argument(
        "--network",
        metavar="NETWORK",
        help="one of the package's by its name (without it by --task and --scale), a run's folder, a checkpoint, or an "
        "ONNX file",
    )
    parser.add_argument("--task", choices=TASKS, help="what the network must be for; another one is refused")
    parser.add_argument("--scale", type=int, help="how many times as large (as the network enlarges)")
    parser.add_argument("--force", action="store_true", help="replace results that are there already")
    parser.add_argument("--first-frame", action="store_true", help="of an animated picture take the first frame")
    parser.add_argument("--compare", action="store_true", help="write NAME_compare.png too: bicubic left, ours right")
    parser.add_argument("--workers", type=int, help="tiles that are computed at once (one for each core)")
    parser.add_argument("--kernels", choices=("auto", "native", "plain"), default="auto", help="what computes")
    return parser


def _upscale(options: argparse.Namespace) -> int:
    for name in ("scale", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: must be 1 or more")
    sources = find_pictures(options.inputs)
    name = options.network or _of_package(options.task or "super_resolution", options.scale)
    network = load(name, options.kernels).loaded
    factor, title = network.task.enlargement, network.task.title
    if options.task not in (None, network.task.name):
        raise UserError(f"--task {options.task}: {name} is for {title}; give another network")
    scale = options.scale or factor
    if factor == 1 and scale > 1:
        raise UserError(f"--scale {scale}: {name} is for {title} and keeps the size of pictures")
    output = None if options.output is None else Path(options.output).expanduser()
    work = plan_targets(sources, output, scale, options.force, options.compare)
    for one in work:
        prepare_file(one.target)
    way = _Way(network, scale, options.workers, options.first_frame, options.compare)
    console = Console(stderr=True)
    failed = 0
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        shown = bar.add_task("", total=len(work))
        for number, one in enumerate(work):
            label = one.source.name if len(work) == 1 else f"{one.source.name} ({number + 1} of {len(work)})"
            bar.update(shown, description=label)
            try:
                notes = _enlarge(one, way, lambda part, number=number: bar.update(shown, completed=number + part))  # type: ignore[misc]
            except UserError as error:
                if len(work) == 1:
                    raise
                failed += 1
                print_line(bar.console, f"failed: {error}")
                bar.update(shown, completed=number + 1)
                continue
            for note in notes:
                print_line(bar.console, f"{one.source}: {note}")
    if len(work) == 1:
        print(work[0].target)
    else:
        print(f"{len(work) - failed} of {len(work)} pictures enlarged: {output or 'beside them'}")
    return 0 if not failed else 1 if failed < len(work) else 2


def _of_package(task: str, scale: int | None) -> str:
    name = packaged_for(task, scale)
    if name is None:
        raise UserError(f"--task {task}: the package has no network for it; give one with --network")
    return name


@dataclass(frozen=True)
class _Way:
    """How pictures are enlarged."""

    network: Loaded
    scale: int
    workers: int | None
    first_frame: bool
    compare: bool


def _enlarge(work: Enlargement, way: _Way, progress: Callable[[float], None]) -> list[str]:
    """Enlarge one picture; what is to be said of it."""
    kind = FORMATS[work.target.suffix.lower()]
    network, task = way.network, way.network.task
    with ExitStack() as stack:
        opened = stack.enter_context(open_picture(work.source, way.first_frame, task.of_mosaic))
        if task.of_mosaic and opened.rows().channels != 1:
            raise UserError(
                f"{work.source}: has colours or transparency, and {network.origin} is for {task.title}; give a grey "
                "picture, the mosaic of a sensor, or another network"
            )
        made = stack.enter_context(larger(opened, network, way.scale, way.workers, progress))
        target = stack.enter_context(writing(work.target, kind, made, opened.kept))
        comparison = None
        if way.compare:
            small, colours = without_alpha(opened.rows()), without_alpha(made)
            comparison = stack.enter_context(writing(work.comparison, "PNG", colours, Kept()))
        row = 0
        try:
            for band in bands_of(made):
                target.write(band)
                if comparison is not None:
                    comparison.write(split_rows(small, band[..., : colours.channels], row, way.scale))
                row += len(band)
        except ValueError as error:
            raise UserError(f"{work.source}: the network made no picture of it ({error})") from None
        for writer in (target, comparison):
            if writer is not None:
                writer.close()
    progress(1.0)
    return [*opened.notes, *lost(opened, kind)]


if __name__ == "__main__":
    sys.exit(main())
