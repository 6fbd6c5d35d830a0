"""`python -m esr_ray.export NETWORK`: a trained network as files for other programs."""

from __future__ import annotations

if __name__ == "__main__":
    # Before the rest is imported, which takes a second.
    from esr_ray.signals import guard

    guard()

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from esr_ray.command import make_parser, run_command
from esr_ray.errors import UserError
from esr_ray.export.card import card_markdown, describe_network
from esr_ray.export.check import LIMITS_OF_LUMINANCE, check_same, run_onnx, seen_as_luminance
from esr_ray.export.mindir import run_mindir, write_mindir
from esr_ray.export.onnx import to_onnx
from esr_ray.inference.files import prepare_file, write_file
from esr_ray.inference.find import only_network
from esr_ray.inference.load import ready_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.checkpoint import PLAIN, load_checkpoint, plain_bytes
from esr_ray.networks.target import use_target
from esr_ray.packaged import FOLDER
from esr_ray.plain_json import to_plain_json

EPILOG = """\
examples:
  python -m esr_ray.export runs/demo-20260101-120000 --onnx net.onnx --card net/
  python -m esr_ray.export net.ckpt --onnx net.onnx --half
  python -m esr_ray.export runs/demo-20260101-120000 --weights net.safetensors
  python -m esr_ray.export net.ckpt --mindir net.mindir --size 360x640

ONNX files have plain standard operators and take any batch, height and width; they are run in onnxruntime beside the
network before they are written. MindIR is for one size; it is loaded again and compared. A plain file
is what all commands take in the place of a checkpoint; it has the card inside.
exit status: 0 done, 2 something you can mend (one line says what).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    # Before MindSpore loads: of its own log errors only.
    os.environ.setdefault("GLOG_v", "3")
    return run_command(lambda: _export(options))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("export", "Write a trained network as files for other programs, and a card of it.", EPILOG)
    parser.add_argument("network", metavar="NETWORK", help="a checkpoint, or a run's folder")
    parser.add_argument("--onnx", metavar="FILE", help="write an ONNX file")
    parser.add_argument("--half", action="store_true", help="of float16")
    parser.add_argument("--rgb", action="store_true", help="of a network of luminance: let it take and give RGB")
    parser.add_argument("--mindir", metavar="FILE", help="write a MindIR file")
    parser.add_argument("--size", default="360x640", metavar="HxW", help="of the pictures that MindIR takes (360x640)")
    parser.add_argument(
        "--weights", metavar="FILE", help=f"write a plain file ({PLAIN}), which needs no MindSpore to be read"
    )
    parser.add_argument("--card", metavar="DIR", help="write README.md and card.json")
    parser.add_argument("--name", help="of the network, in the card and in the plain file (that of its run)")
    parser.add_argument("--licence", help="likewise: under which licence it is handed on")
    parser.add_argument("--pictures", help="likewise: which pictures it was trained on, and whose they are")
    return parser


def _export(options: argparse.Namespace) -> int:
    if not (options.onnx or options.mindir or options.weights or options.card):
        raise UserError("give what to write: --onnx FILE, --mindir FILE, --weights FILE or --card DIR; see --help")
    if options.rgb and not options.onnx:
        raise UserError("--rgb is of an ONNX file: give --onnx FILE too")
    if options.half and not (options.onnx or options.weights):
        raise UserError("--half is of an ONNX or a plain file: give --onnx FILE or --weights FILE too")
    size = _size(options.size)
    source = only_network(Path(options.network).expanduser())
    endings = {"onnx": ".onnx", "mindir": ".mindir", "weights": PLAIN}
    places = {name: Path(getattr(options, name)).expanduser() for name in endings if getattr(options, name)}
    for name, path in places.items():
        if path.suffix != endings[name]:
            raise UserError(f"--{name} {path}: give a name that ends in {endings[name]}")
        prepare_file(path)
    if "mindir" in places:
        use_target("CPU", "graph")
    parameters, spec = load_checkpoint(source.path)
    network = ready_network(parameters, spec, choose_predictor("auto", "CPU"), str(source.path))
    if options.rgb and spec.in_channels != 1:
        raise UserError(f"--rgb: {source.path} takes {spec.in_channels} channels already; leave it out")
    if "onnx" in places:
        content = to_onnx(spec, parameters, options.rgb, options.half).SerializeToString()
        run, what = run_onnx(content), str(places["onnx"])
        if options.rgb:
            worst = check_same(network, seen_as_luminance(run), what, options.half, limits=LIMITS_OF_LUMINANCE)
        else:
            worst = check_same(network, run, what, options.half)
        write_file(places["onnx"], content)
        print(f"{places['onnx']}: {len(content) / 1e3:,.0f} KB, differs by at most {worst:.1e} in onnxruntime")
    if "mindir" in places:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "network.mindir"
            write_mindir(spec, parameters, made, size)
            worst = check_same(network, run_mindir(made), str(places["mindir"]), sizes=(size,))
            write_file(places["mindir"], made.read_bytes())
        print(f"{places['mindir']}: for pictures of {size[1]}x{size[0]}, differs by at most {worst:.1e}")
    about = {key: getattr(options, key) for key in ("name", "licence", "pictures") if getattr(options, key)}
    if "weights" in places and places["weights"].absolute().parent.parent == FOLDER:
        # One of the package's own, which has a name.
        about["load"] = places["weights"].stem
    described = describe_network(source, network, [path.name for path in places.values()], about)
    if "weights" in places:
        content = plain_bytes(parameters, spec, options.half, described)
        write_file(places["weights"], content)
        print(f"{places['weights']}: {len(content) / 1e3:,.0f} KB")
    if options.card:
        folder_of_card = Path(options.card).expanduser()
        for name, text in (
            ("README.md", card_markdown(described)),
            ("card.json", to_plain_json(described, indent=2) + "\n"),
        ):
            prepare_file(folder_of_card / name)
            write_file(folder_of_card / name, text.encode())
        print(f"{folder_of_card}: README.md and card.json")
    return 0


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise UserError(f"--size {text}: write HEIGHTxWIDTH, such as 360x640")
    return int(height), int(width)


if __name__ == "__main__":
    sys.exit(main())
