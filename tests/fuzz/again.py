"""Reads one input of a fuzzer again, so that its find is seen: `python tests/fuzz/again.py KIND NUMBER [COUNT]`."""

import sys
import tempfile
import time
from pathlib import Path
from random import Random

from fuzzing import bounded, fuzz

# The folder of this file is where Python looks already.
sys.path.insert(1, str(Path(__file__).parents[1]))


def main(name: str, number: int, count: int | None = None) -> None:
    """One input with its traceback, or what becomes of `count` from that number on."""
    from kinds import KINDS

    kind = next(one for one in KINDS if one.name == name)
    with tempfile.TemporaryDirectory() as folder:
        if count is not None:
            began = time.process_time()
            outcome = fuzz(kind, Path(folder), range(number, number + count))
            print(f"{outcome.right} right, {outcome.refused} refused, {time.process_time() - began:.1f} s")
            for place, first in outcome.finds.items():
                print(f"{place}\n    input {first!r}")
            return
        given = kind.make(Random(f"{name} {number}"))
        print(f"{given!r:.2000}")
        with bounded(kind.memory):
            print(kind.read(given, Path(folder) / "input"))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
