"""Makes the table that benchmarks/search.py searches in: real trainings of one space, short, longer and long.

    python benchmarks/search_table.py --set data.hr=BSDS400/        hours on two cores; goes on where it was

A round trains random networks and children of the best known for a short time; the most promising of them, and some
at random, 3 and 10 times as long with two seeds, so that the top is well covered and the rest is not left out. What a
round trains depends on the seed and on what the table holds. Rows are added to `--output` as they come (JSON lines);
`--pack` writes them into the compressed table of the repository.
"""

from __future__ import annotations

import argparse
import lzma
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

# Threads of each worker, before NumPy or MindSpore are loaded in it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_v", "3")

from common import pinned_pool
from search_rows import LENGTHS, PACKED, Arch, Row, read_row, read_table, write_row

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.randomness import generator
from esr_ray.search.variation import crossover, mutate
from esr_ray.space.genome import decode
from esr_ray.space.sample import genome_of, repair, sample_genome
from esr_ray.space.space import Space
from esr_ray.tasks.make import space_of

FOLDER = Path(__file__).resolve().parent
SEED = 0
"""Of the choice of networks; trainings have seeds of their own."""
RANDOM, CHILDREN = 100, 130
"""Networks of a round: random ones, and children of the best."""


@dataclass(frozen=True)
class Longer:
    """Networks of a round that are trained longer."""

    best: int
    """10 times as long, because they are the best by short training."""
    by_chance: int
    """10 times as long as well."""
    also_3x: int
    """Of both: 3 times as long too."""


STAGES = 4
"""Of a round."""
FIRST_ROUNDS = 3
FIRST, LATER = Longer(17, 8, 12), Longer(2, 1, 1)
"""Later rounds only follow the top, whose rows the first ones have shown how to read."""
REAL_STAGE = 1_000
"""Of the trainings of benchmarks/search_real.py: after all stages, which must not see them."""
PARENTS = 40
"""As many of the best are parents."""


@dataclass(frozen=True)
class Training:
    """One training to do."""

    arch: Arch
    length: int
    seed: int


def pack(rows: Iterable[Row], path: Path = PACKED) -> None:
    """Write the compressed table, sorted, so that the same rows give the same file."""
    lines = sorted(write_row(row) for row in rows)
    with lzma.open(path, "wt", preset=9) as file:
        file.writelines(f"{line}\n" for line in lines)


class Table:
    """The rows known so far, by training."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {Training(row.arch, row.length, row.seed): row for row in rows}
        self.archs = dict.fromkeys(row.arch for row in self.rows.values())

    def add(self, row: Row) -> None:
        """Take a row in; its figures have to be those that the file has, or choices differ when the file is read."""
        self.rows[Training(row.arch, row.length, row.seed)] = row
        self.archs.setdefault(row.arch)

    def before(self, stage: int) -> Table:
        """What was known before a stage."""
        return Table(row for row in self.rows.values() if row.stage < stage)

    def value(self, arch: Arch, length: int) -> float | None:
        """Mean PSNR-Y over the seeds of one length; None where it has none."""
        found = [row.psnr_y for seed in (0, 1) if (row := self.rows.get(Training(arch, length, seed))) is not None]
        return fmean(found) if found else None

    def best(self, length: int, count: int) -> list[Arch]:
        """The best networks by one length."""
        valued = [(value, arch) for arch in self.archs if (value := self.value(arch, length)) is not None]
        return [arch for _, arch in sorted(valued, reverse=True)[:count]]


def children(table: Table, space: Space, rng: Any, count: int) -> list[Arch]:
    """New networks by mutation and crossover of the best by short and by long training."""
    pool = table.best(1, PARENTS) + table.best(10, PARENTS)
    found: dict[Arch, None] = {}
    while len(found) < count:
        one, other = (genome_of(pool[int(rng.integers(len(pool)))], space, rng) for _ in range(2))
        child = crossover(one, other, rng)[0] if rng.random() < 0.5 else one
        repaired = repair(mutate(child, space, 0.15, rng), space, rng)
        if repaired is not None and decode(repaired) not in table.archs:
            found.setdefault(decode(repaired))
    return list(found)


def wanted(known: Table, space: Space, stage: int) -> list[Training]:
    """What a stage trains, chosen from what was known before it: random networks, children of the best, long trainings
    of the most promising, and the same networks with other seeds and lengths."""
    table = known.before(stage)
    rng = generator(SEED, "table", stage)
    longer = FIRST if stage < FIRST_ROUNDS * STAGES else LATER
    if stage % STAGES == 0:
        return [Training(decode(sample_genome(space, rng)), 1, 0) for _ in range(RANDOM)]
    if stage % STAGES == 1:
        return [Training(arch, 1, 0) for arch in children(table, space, rng, CHILDREN)]
    if stage % STAGES == 2:
        left = [arch for arch in table.best(1, len(table.archs)) if table.value(arch, 10) is None]
        by_chance = [left[int(place)] for place in rng.permutation(len(left))[: longer.by_chance]]
        return [
            Training(arch, 10, seed) for arch in dict.fromkeys([*left[: longer.best], *by_chance]) for seed in (0, 1)
        ]
    chosen = list(dict.fromkeys(row.arch for row in table.rows.values() if row.stage == stage - 1))
    chosen.sort()
    also = [chosen[int(place)] for place in rng.permutation(len(chosen))[: longer.also_3x]]
    return [
        *(Training(arch, 1, 1) for arch in chosen),
        *(Training(arch, 3, seed) for arch in also for seed in (0, 1)),
    ]


_opened: dict[str, Any] = {}


def train(job: tuple[Config, Training, int]) -> Row | None:
    """One training in a worker; None where it diverged."""
    from esr_ray.tasks.make import network_spec
    from esr_ray.tasks.pictures import open_pictures, plan_pictures
    from esr_ray.training.candidate import train_candidate
    from esr_ray.training.kernels import choose_kernels
    from esr_ray.training.loop import Diverged

    config, training, stage = job
    if not _opened:
        _opened["kernels"] = choose_kernels(config, "CPU")
        _opened["pictures"] = open_pictures(plan_pictures(config), config)
    pictures = _opened["pictures"]
    fast = config.fast_training
    began = time.process_time()
    try:
        trained = train_candidate(
            network_spec(training.arch, config),
            fast.model_copy(update={"steps": training.length * fast.steps}),
            pictures.train,
            pictures.validation,
            training.seed,
            make=_opened["kernels"].make,
        )
    except Diverged:
        return None
    found, took = trained.quality, time.process_time() - began
    return Row(
        **asdict(training), psnr_y=found.psnr_y, psnr_rgb=found.psnr_rgb, ssim_y=found.ssim_y, seconds=took, stage=stage
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, default=Path("search_table.jsonl"), help="rows are added there")
    parser.add_argument("--pack", action="store_true", help=f"write {PACKED.name} at the end")
    parser.add_argument("--add", type=Path, metavar="FILE", help="also take the trainings of search_real.py into it")
    options = parser.parse_args()
    if options.add and not options.pack:
        parser.error("--add only makes a difference with --pack")

    config = load_config(FOLDER / "search_space.yml", options.overrides).config
    space = space_of(config)
    known = read_table(PACKED) if PACKED.exists() else []
    known += read_table(options.output) if options.output.exists() else []
    table = Table(known)
    with (
        pinned_pool(options.workers) as pool,
        options.output.open("a") as output,
    ):
        for stage in range(STAGES * options.rounds):
            _run(config, wanted(table, space, stage), stage, table, pool, output)
    if options.add:
        # Those of other lengths than the table's are the comparison of what was named.
        for row in read_table(options.add):
            if row.length in LENGTHS:
                table.add(row)
    if options.pack:
        pack(table.rows.values())


def _run(config: Config, trainings: Sequence[Training], stage: int, table: Table, pool: Any, output: Any) -> None:
    todo = [(config, training, stage) for training in dict.fromkeys(trainings) if training not in table.rows]
    began = time.monotonic()
    for done, row in enumerate(pool.imap_unordered(train, todo), 1):
        if row is not None:
            line = write_row(row)
            table.add(read_row(line))
            output.write(line + "\n")
            output.flush()
        print(f"stage {stage}: {done}/{len(todo)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
