"""`python -m esr_ray.upscale INPUT…`: pictures, larger."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from esr_ray.api import load
from esr_ray.command import run_command
from esr_ray.data.resize import upscale as bicubic
from esr_ray.errors import UserError
from esr_ray.inference.enlarge import enlarge_by
from esr_ray.inference.files import prepare_file, write_file
from esr_ray.inference.load import Loaded
from esr_ray.upscale.compare import split_picture
from esr_ray.upscale.files import Enlargement, find_pictures, plan_targets
from esr_ray.upscale.picture import FORMATS, Opened, each, encode, lost, open_picture
from esr_ray.view import print_line

EPILOG = """\
examples:
  python -m esr_ray.upscale photo.jpg --network runs/demo-20260101-120000
  python -m esr_ray.upscale photos/ -o large/ --network net.ckpt
  python -m esr_ray.upscale 'scans/*.tif' -o large/ --network net.ckpt --scale 4 --compare

PNG, JPEG, WebP, TIFF and BMP; transparency, ICC profile, EXIF and resolution are kept where the format has them. The
result lies beside its picture (photo_x2.jpg), or in the folder (or file) of -o.
exit status: 0 done, 1 some pictures failed, 2 something you can mend (one line says what), 130 stopped by Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    # Before MindSpore loads: of its own log errors only.
    os.environ.setdefault("GLOG_v", "3")
    return run_command(lambda: _upscale(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m esr_ray.upscale",
        description="Make pictures larger with a trained network.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures, folders of pictures, or patterns")
    parser.add_argument("-o", "--output", metavar="OUT", help="a folder, or for one picture a file")
    parser.add_argument("--network", required=True, metavar="NETWORK", help="a checkpoint, or a run's folder")
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
    network = load(options.network, options.kernels).loaded
    scale = options.scale or network.spec.scale
    if network.spec.scale == 1 and scale > 1:
        raise UserError(
            f"--scale {scale}: {options.network} is for {network.task.title} and keeps the size of pictures"
        )
    output = None if options.output is None else Path(options.output).expanduser()
    work = plan_targets(sources, output, scale, options.force, options.compare)
    for one in work:
        prepare_file(one.target)
    way = _Way(network, scale, options.workers, options.first_frame, options.compare)
    console = Console(stderr=True)
    failed = 0
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        for number, one in enumerate(work, 1):
            label = one.source.name if len(work) == 1 else f"{one.source.name} ({number} of {len(work)})"
            shown = bar.add_task(label, total=1.0)
            try:
                notes = _enlarge(one, way, lambda part, shown=shown: bar.update(shown, completed=part))  # type: ignore[misc]
            except UserError as error:
                if len(work) == 1:
                    raise
                failed += 1
                print_line(bar.console, f"failed: {error}")
                bar.remove_task(shown)
                continue
            for note in notes:
                print_line(bar.console, f"{one.source}: {note}")
    if len(work) == 1:
        print(work[0].target)
    else:
        print(f"{len(work) - failed} of {len(work)} pictures enlarged: {output or 'beside them'}")
    return 1 if failed else 0


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
    opened = open_picture(work.source, way.first_frame)
    notes = [*opened.notes]
    if (missing := lost(opened, kind)) is not None:
        notes.append(missing)
    try:
        made = each(opened, partial(enlarge_by, scale=way.scale, network=way.network, workers=way.workers), progress)
    except ValueError as error:
        raise UserError(f"{work.source}: the network made no picture of it ({error})") from None
    write_file(work.target, encode(made, kind))
    if way.compare:
        split = split_picture(bicubic(opened.colour, way.scale), made.colour)
        write_file(work.comparison, encode(Opened(split, None, False), "PNG"))
    progress(1.0)
    return notes


if __name__ == "__main__":
    sys.exit(main())
