"""The searches of benchmarks/search.py with real trainings: does what holds in its worlds hold for networks?

    python benchmarks/search_real.py --set data.hr=BSDS400/         hours on two cores; goes on where it was

Every contender has the device seconds of 160 short trainings of the mean random network, with several seeds each
(`--first-seed 4`: those that an earlier run did not have). What a training costs is worked out (as in `search.py`), so
that a busy machine does nobody harm. The networks that were named are then trained 20 times as long with two seeds that
no search has used; so is, for the contender that is given first, what it names if it has the same device seconds once
more and 20 % fewer mult-adds are allowed than its network has (not with `--no-cheaper`). All trainings are kept in
`--output` (JSON lines); the short, longer and long ones may be added to the table of `search.py` with
`search_table.py --add`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GLOG_v", "3")

import numpy as np
from common import cores, pinned_pool, say, table
from search_contenders import PLAIN, REFERENCE
from search_ours import OURS
from search_rows import PACKED, Arch, read_table, write_row
from search_surrogate import cost_terms, fit_seconds, mean_seconds
from search_table import REAL_STAGE, Training, train
from search_world import Contender, Named, World

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.space import Space
from esr_ray.tasks.make import space_of

FOLDER = Path(__file__).resolve().parent
BUDGET = 160
"""Device seconds of each search, in short trainings of the mean random network."""
FINAL, FINAL_SEED = 20, 1_000_000
"""Length and first seed of the trainings by which the named networks are compared."""
CHEAPER = 0.8
"""Mult-adds that the cheaper network may have, as a part of those of the one that was named."""
OUR_SEARCH = "ours, all"


@dataclass
class RealTruth:
    """Real trainings, each done once: what is in the file is not trained again."""

    config: Config
    space: Space
    costs: np.ndarray
    output: Path
    known: dict[Training, float] = field(default_factory=dict)

    def observe(self, arch: Arch, length: int, seed: int) -> float:
        """PSNR-Y in dB; one that diverged is as bad as can be."""
        training = Training(arch, length, seed)
        if training not in self.known:
            row = train((self.config, training, REAL_STAGE))
            if row is None:
                return 0.0
            self.known[training] = row.psnr_y
            with self.output.open("a") as file:
                # One write: two processes add lines to this file.
                file.write(write_row(row) + "\n")
        return self.known[training]

    def seconds(self, arch: Arch, length: int) -> float:
        """Device seconds of one training, by the costs of the table's."""
        return float(cost_terms(arch, length, self.space) @ self.costs)


@dataclass(frozen=True)
class Search:
    """One search to run."""

    contender: str
    seed: int
    config: Config
    costs: np.ndarray
    output: Path
    budget: int
    cheaper: bool
    """Search for a cheaper network too."""


def open_truth(config: Config, costs: np.ndarray, output: Path) -> RealTruth:
    """With all that the file has."""
    rows = read_table(output) if output.exists() else []
    known = {Training(row.arch, row.length, row.seed): row.psnr_y for row in rows}
    return RealTruth(config, space_of(config), costs, output, known)


def run(search: Search) -> tuple[Search, Named, Arch | None]:
    """One search: what it names, and what it names if only cheaper networks are allowed."""
    truth = open_truth(search.config, search.costs, search.output)
    budget_s = search.budget * mean_seconds(truth)
    contenders: dict[str, Contender] = {**PLAIN, **OURS}
    contender = contenders[search.contender]
    named = contender(World(truth, budget_s), budget_s, search.seed)
    if not search.cheaper:
        return search, named, None
    space = truth.space
    most = int(CHEAPER * mult_adds_720p(space.cost(named.arch), space.scale))
    limited = replace(truth, space=replace(space, max_mult_adds=most))
    return search, named, contender(World(limited, budget_s), budget_s, search.seed).arch


def finish(given: tuple[Config, np.ndarray, Path, Arch, int]) -> tuple[Arch, int, float]:
    """One of the trainings by which networks are compared."""
    config, costs, output, arch, seed = given
    return arch, seed, open_truth(config, costs, output).observe(arch, FINAL, seed)


def report(
    found: Sequence[tuple[Search, Named, Arch | None]], values: dict[Arch, list[float]], space: Space, ours: str
) -> str:
    """The named networks of each contender and seed, and paired differences from ours."""
    names = list(dict.fromkeys(search.contender for search, _, _ in found))
    seeds = sorted({search.seed for search, _, _ in found})
    final = {(search.contender, search.seed): fmean(values[named.arch]) for search, named, _ in found}
    rows = []
    for name in names:
        one = [final[name, seed] for seed in seeds]
        pairs = [final[ours, seed] - final[name, seed] for seed in seeds] if (ours, seeds[0]) in final else []
        against = "-"
        if name != ours and len(pairs) > 1:
            against = f"{fmean(pairs):+.3f} ± {stdev(pairs) / len(pairs) ** 0.5:.3f}"
        rows.append([name, f"{fmean(one):.3f}", ", ".join(f"{value:.3f}" for value in one), against])
    lines = [table(["search", f"mean after {FINAL}x, dB", "seeds", "ours less this, paired"], rows)]
    for search, named, cheaper in found:
        if cheaper is not None:
            share = space.cost(cheaper).mult_adds / space.cost(named.arch).mult_adds
            less = fmean(values[named.arch]) - fmean(values[cheaper])
            lines.append(
                f"{ours}, seed {search.seed}: {' '.join(cheaper)} has {100 * (1 - share):.0f} % fewer mult-adds than "
                f"{' '.join(named.arch)} and {less:+.3f} dB less"
            )
    return "\n\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--table", type=Path, default=PACKED, help="what trainings cost is taken from there")
    parser.add_argument("--output", type=Path, default=Path("search_real.jsonl"), help="trainings are kept there")
    parser.add_argument("--contenders", nargs="+", default=[OUR_SEARCH, REFERENCE, "random search"], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=4, help="searches of each contender")
    parser.add_argument("--first-seed", type=int, default=0, metavar="SEED")
    parser.add_argument("--final-seeds", type=int, default=2, metavar="N", help="trainings of each named network")
    parser.add_argument("--cheaper", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--budget", type=int, default=BUDGET, metavar="TRAININGS")
    parser.add_argument("--workers", type=int, default=len(cores()))
    options = parser.parse_args()
    unknown = [name for name in options.contenders if name not in {**PLAIN, **OURS}]
    if unknown:
        parser.error(f"no such contender: {', '.join(unknown)}; there are: {', '.join([*PLAIN, *OURS])}")

    config = load_config(FOLDER / "search_space.yml", options.overrides).config
    space = space_of(config)
    costs = fit_seconds(read_table(options.table), space)
    ours = options.contenders[0]
    searches = [
        Search(name, seed, config, costs, options.output, options.budget, cheaper=options.cheaper and name == ours)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for name in options.contenders
    ]
    with pinned_pool(options.workers) as pool:
        found = []
        for one in pool.imap(run, searches):
            found.append(one)
            say(f"{one[0].contender}, seed {one[0].seed}: {' '.join(one[1].arch)}")
        to_compare = [named.arch for _, named, _ in found]
        to_compare += [cheaper for search, _, cheaper in found if cheaper is not None]
        finals = [
            (config, costs, options.output, arch, FINAL_SEED + seed)
            for arch in dict.fromkeys(to_compare)
            for seed in range(options.final_seeds)
        ]
        values: dict[Arch, list[float]] = {}
        for done, (arch, _, value) in enumerate(pool.imap_unordered(finish, finals), 1):
            values.setdefault(arch, []).append(value)
            print(f"compared: {done}/{len(finals)}", file=sys.stderr, flush=True)
    print(report(found, values, space, ours))


if __name__ == "__main__":
    main()
