"""Which search finds the better network for the same device seconds? Contenders in a world made of real trainings.

    python benchmarks/search.py                                  all contenders, 100 seeds
    python benchmarks/search.py --contenders 'random search' 'ours, all' --seeds 20
    python benchmarks/search.py --quick                          only to see that it works

Each contender has the device seconds of 160 and of 480 short trainings of the mean random network; every training that
it asks for costs what it would cost, long ones ten times as much. What it names is judged by its true value after the
long training, which no contender sees. It is compared with that of the best known network, which was looked for in the
world itself, and with that of the best network of the table. The world is benchmarks/search_surrogate.py; seeds go
round the worlds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from common import cores, parser, say, table
from search_best import Best, best_known
from search_contenders import PLAIN, REFERENCE
from search_libraries import installed
from search_rows import PACKED
from search_surrogate import (
    FITTED,
    PLACE,
    Fitted,
    Surrogate,
    make_world,
    mean_seconds,
    open_fitted,
    read_unique,
    table_key,
)
from search_world import LONGEST, Contender, World, hypervolume

try:
    # The product's own searches: name -> function of the same signature.
    from search_ours import OURS
except ModuleNotFoundError as missing:
    if missing.name != "search_ours":
        raise
    OURS: dict[str, Contender] = {}  # type: ignore[no-redef]

BUDGETS = (160, 480)
"""Device seconds, in short trainings of the mean random network."""
NEAR_DB = 0.02
"""So near to the best known counts as having found it."""


@dataclass(frozen=True)
class Job:
    contender: str
    budget: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """One run. `value` is the true long PSNR-Y in dB: `regret` below the best known, `below_table` below the
    best of the networks of the table. `volume` is the hypervolume of the front as a share of the best known's.

    `trail` has (share of the budget spent, regret in dB of the network named from then on); `took_s` is the processor
    time that the contender itself took.
    """

    contender: str
    budget: int
    seed: int
    arch: str
    value: float
    regret: float
    below_table: float
    volume: float
    trail: list[tuple[float, float]]
    took_s: float


@dataclass(frozen=True)
class Stage:
    """Where contenders are run, opened once in each process."""

    worlds: tuple[Surrogate, ...]
    bests: tuple[Best, ...]
    table_bests: tuple[float, ...]
    """True long values of the best of the table's networks, by world."""
    training_s: float
    """Device seconds of a short training of the mean random network."""
    contenders: dict[str, Contender]


_stage: dict[str, Stage] = {}


def set_stage(rows: Path, kept: Path, worlds: int) -> Stage:
    """Open the worlds of a table."""
    fitted: Fitted = open_fitted(rows, kept)
    opened = tuple(make_world(fitted, world) for world in range(worlds))
    trained = read_unique(rows)
    key, archs = table_key(trained), list(dict.fromkeys(row.arch for row in trained))
    return Stage(
        worlds=opened,
        bests=tuple(best_known(world, kept, key) for world in opened),
        table_bests=tuple(float(world.values(archs)[:, PLACE[LONGEST]].max()) for world in opened),
        training_s=mean_seconds(opened[0]),
        contenders={**PLAIN, **installed()[0], **OURS},
    )


def begin(rows: Path, kept: Path, worlds: int) -> None:
    """Of each process of the pool."""
    _stage["open"] = set_stage(rows, kept, worlds)


def run(job: Job) -> Outcome:
    """One contender with one budget and one seed."""
    stage = _stage["open"]
    place = job.seed % len(stage.worlds)
    truth, best = stage.worlds[place], stage.bests[place]
    budget_s = job.budget * stage.training_s
    began = time.process_time()
    named = stage.contenders[job.contender](World(truth, budget_s), budget_s, job.seed)
    took_s = time.process_time() - began
    points = [(truth.true(arch, LONGEST), truth.space.cost(arch).mult_adds) for arch in named.front]
    value = truth.true(named.arch, LONGEST)
    return Outcome(
        **asdict(job),
        arch=" ".join(named.arch),
        value=value,
        regret=best.value - value,
        below_table=stage.table_bests[place] - value,
        volume=hypervolume(points, *best.point) / best.volume,
        trail=[(spent / budget_s, best.value - truth.true(arch, LONGEST)) for spent, arch in named.trail],
        took_s=took_s,
    )


def reaches(outcomes: Sequence[Outcome], regret: float) -> float | None:
    """Share of the budget at which the median regret first is as small; None where it never is."""
    spents = sorted({spent for outcome in outcomes for spent, _ in outcome.trail})
    steps = np.full((len(outcomes), len(spents)), np.inf)
    for row, outcome in enumerate(outcomes):
        for spent, one in outcome.trail:
            steps[row, int(np.searchsorted(spents, spent)) :] = one
    reached = np.flatnonzero(np.median(steps, axis=0) <= regret + 1e-12)
    return spents[reached[0]] if len(reached) else None


def report(outcomes: Sequence[Outcome], names: Sequence[str], budget: int, near_db: float = NEAR_DB) -> str:
    """The table of one budget."""
    by_name = {name: [one for one in outcomes if (one.contender, one.budget) == (name, budget)] for name in names}
    medians = {name: float(np.median([one.regret for one in found])) for name, found in by_name.items()}
    others = [name for name in names if name not in OURS and name != REFERENCE]
    peer = min(others, key=medians.__getitem__, default=None)
    rows = []
    for name, found in by_name.items():
        values, regrets = (np.array([getattr(one, key) for one in found]) for key in ("value", "regret"))
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        rows.append(
            [
                name,
                f"{np.median(values):.3f}",
                f"{values.mean():.3f} ± {error:.3f}",
                f"{np.median(regrets):.3f} / {regrets.mean():.3f}",
                _share([one.regret <= near_db for one in found]),
                _share([one.below_table <= near_db for one in found]),
                f"{100 * np.mean([one.volume for one in found]):.0f} %",
                *(
                    "-" if of is None or of not in medians else _reached(reaches(found, medians[of]))
                    for of in (REFERENCE, peer)
                ),
                f"{np.mean([one.took_s for one in found]):.1f}",
            ]
        )
    head = [
        f"{budget} short trainings",
        "true long PSNR-Y, median",
        "mean",
        "regret, median / mean",
        f"within {near_db:g} dB of the best known",
        "of the best of the table",
        "hypervolume of the front",
        "reaches the reference's median at",
        "the best peer's at" if peer is None else f"the best peer's ({peer}) at",
        "own seconds",
    ]
    return table(head, rows)


def _share(hits: Sequence[bool]) -> str:
    share = sum(hits) / len(hits)
    return f"{share:.2f} ± {(share * (1 - share) / len(hits)) ** 0.5:.2f}"


def _reached(share: float | None) -> str:
    return "never" if share is None else f"{share:.2f}"


def describe(stage: Stage) -> str:
    """What the figures are measured against."""
    bests = [f"{best.value:.3f}" for best in stage.bests]
    tabled = [f"{value:.3f}" for value in stage.table_bests]
    least = [f"{best.point[0]:.3f}" for best in stage.bests]
    most = stage.bests[0].point[1]
    looked = min(best.looked_at for best in stage.bests)
    return (
        f"Worlds: {len(stage.worlds)}; best known of {looked:,} or more networks each: {', '.join(bests)} dB; "
        f"best of the table's networks: {', '.join(tabled)} dB. A short training of the mean random network: "
        f"{stage.training_s:.1f} device seconds. Hypervolume: true long PSNR-Y above the median of random networks "
        f"({', '.join(least)} dB) times mult-adds for each LR pixel below the greatest of random "
        f"networks ({most:,.0f}), as a share of the best known front's."
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--table", type=Path, default=PACKED)
    options.add_argument("--fitted", type=Path, default=FITTED, help="where the fit and the best known are kept")
    options.add_argument("--seeds", type=int, default=100)
    options.add_argument(
        "--first-seed", type=int, default=0, help="other seeds than those that settings were chosen by"
    )
    options.add_argument("--worlds", type=int, default=4, help="worlds that the seeds go round")
    options.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), metavar="TRAININGS")
    options.add_argument("--near", type=float, default=NEAR_DB, metavar="DB", help="counts as the best known")
    options.add_argument("--contenders", nargs="+", metavar="NAME", help="of those that there are; default: all")
    options.add_argument("--workers", type=int, default=len(cores()))
    options.add_argument("--json", type=Path, help="write all outcomes there")
    given = options.parse_args()
    if given.quick:
        given.seeds, given.worlds, given.budgets = min(given.seeds, 2), 1, [20]

    found, missing = installed()
    for line in missing:
        print(line)
    names = list({**PLAIN, **found, **OURS})
    if given.contenders:
        unknown = [name for name in given.contenders if name not in names]
        if unknown:
            options.error(f"no such contender: {', '.join(unknown)}; there are: {', '.join(names)}")
        names = [name for name in names if name in given.contenders]
    # Also makes what the processes of the pool then read.
    stage = set_stage(given.table, given.fitted, given.worlds)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    jobs = [
        Job(name, budget, seed) for budget in sorted(given.budgets, reverse=True) for seed in seeds for name in names
    ]
    outcomes: list[Outcome] = []
    context: Any = multiprocessing.get_context("spawn")
    setup = partial(begin, given.table, given.fitted, given.worlds)
    with context.Pool(given.workers, initializer=setup) as pool:
        for outcome in pool.imap_unordered(run, jobs):
            outcomes.append(outcome)
            if len(outcomes) % max(1, len(jobs) // 20) == 0:
                say(f"{len(outcomes)}/{len(jobs)} runs")
    # In an order that does not depend on which process was quicker.
    outcomes.sort(key=lambda one: (one.budget, names.index(one.contender), one.seed))
    print(describe(stage))
    for budget in given.budgets:
        print("\n" + report(outcomes, names, budget, given.near))
    if given.json:
        given.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))


if __name__ == "__main__":
    main()
