"""`esr-ray COMMAND`, or `python -m esr_ray COMMAND`: one name for all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

from esr_ray.signals import guard

COMMANDS = {
    "search": ("esr_ray.search.__main__", "find the best network within a budget, and train it in full"),
    "train": ("esr_ray.train", "train networks in full, without a search"),
    "evaluate": ("esr_ray.evaluate", "measure networks on benchmarks"),
    "upscale": ("esr_ray.upscale.__main__", "make pictures larger"),
    "export": ("esr_ray.export.__main__", "write a network as ONNX or MindIR, and its card"),
    "cache": ("esr_ray.cache", "show or empty the folder of decoded pictures"),
    "doctor": ("esr_ray.doctor", "say what is installed and what will be used"),
}
"""Module and purpose of each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that is named first; its exit status."""
    if arguments is None:
        guard()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print("usage: esr-ray COMMAND …; each has --help\n")
        for name, (_, purpose) in COMMANDS.items():
            print(f"  {name:10} {purpose}")
        return 0 if given else 2
    if given[0] not in COMMANDS:
        close = get_close_matches(given[0], COMMANDS, 1)
        meant = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(COMMANDS)}"
        print(f"error: there is no command {given[0]!r}{meant}", file=sys.stderr)
        return 2
    run: int = import_module(COMMANDS[given[0]][0]).main(given[1:])
    return run


def _script(command: str) -> Callable[[], int]:
    """What the script `esr-ray-COMMAND` calls."""

    def run() -> int:
        guard()
        return main([command, *sys.argv[1:]])

    return run


search, train, evaluate = _script("search"), _script("train"), _script("evaluate")
upscale, export, cache, doctor = _script("upscale"), _script("export"), _script("cache"), _script("doctor")


if __name__ == "__main__":
    sys.exit(main())
