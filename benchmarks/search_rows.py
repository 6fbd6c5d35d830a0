"""Rows of the table that benchmarks/search_table.py makes: what one training of a network gave."""

from __future__ import annotations

import json
import lzma
from dataclasses import asdict, dataclass
from pathlib import Path

PACKED = Path(__file__).resolve().parent / "search_table.jsonl.xz"
LENGTHS = (1, 3, 10)
"""Lengths of training, in units of fast_training.steps."""

Arch = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One training: `length` in units of fast_training.steps, PSNR in dB, `seconds` of processor time.

    `stage` counts the stages of all rounds: what is chosen depends on the rows of earlier stages alone, also where a
    round was interrupted.
    """

    arch: Arch
    length: int
    seed: int
    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    seconds: float
    stage: int


def read_table(path: Path = PACKED) -> list[Row]:
    """The rows of a table, packed or not."""
    with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
        return [read_row(line) for line in file]


def read_row(line: str) -> Row:
    """A row of a line of JSON."""
    content = json.loads(line)
    return Row(**{**content, "arch": tuple(content["arch"].split())})


def write_row(row: Row) -> str:
    """A row as a line of JSON, its figures rounded."""
    content = asdict(row) | {"arch": " ".join(row.arch)}
    return json.dumps({key: round(value, 5) if isinstance(value, float) else value for key, value in content.items()})
