"""The world in which benchmarks/search.py searches: what any network of the space would give, by a table of trainings.

    python benchmarks/search_surrogate.py --table search_table.jsonl     fits it, and says how well it fits

The kind of model is a **Gaussian process** (Matérn 5/2 on features of the network, all lengths of training together,
see search_process.py). A predictor inside of a contender must be of another kind (linear models, trees, ...): else it
would be right by construction. As in NAS-Bench-301 the world has a noise of its own, measured from pairs of seeds.

A world is a function *drawn* from the process, not its mean: where the table says little the mean is flat, and real
networks are not. To it comes what each network has of its own, drawn by its name, with the variance (and the covariance
between the lengths) that the table shows beyond features and noise. So a short training is biased for each network, the
same for all seeds. Different worlds (0, 1, ...) are equally likely by the table; a conclusion should hold in several.

Values are modelled on a scale that is stretched towards a floor and a ceiling of each length: noise and what a network
has of its own are larger or smaller at the top than at the bottom, as the table shows. Fit and best known networks are
kept in a file (`--fitted`) beside the table, and made anew where that is of another table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from common import FOLDER, say
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import ndtri
from search_features import feature_matrix
from search_process import Data, Drawn, Process, Shape, fit
from search_rows import LENGTHS, PACKED, Arch, Row, read_table, write_row
from search_world import Truth

from esr_ray.config.load import load_config
from esr_ray.randomness import generator, uniform
from esr_ray.space.block import parse_block
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.space.space import Space
from esr_ray.tasks.make import space_of

Array = NDArray[np.float64]
FITTED = FOLDER / "search_surrogate.json"
PLACE = {length: place for place, length in enumerate(LENGTHS)}
TAIL = 0.00135
"""Of a network's own part: it is cut at three standard deviations, beyond which no table of this size says anything."""
SAMPLE = 2000
"""Random networks of which the reference point of the hypervolume and the mean cost of a training are taken."""
BATCH = 2000
"""Networks that are predicted at once; bounds the memory."""


@dataclass(frozen=True)
class Fitted:
    """Everything that was fitted to a table: the process, the scale of its features, the cost in seconds."""

    space: Space
    process: Process
    middle: Array
    scale: Array
    means: Array
    """Of each length, on the z scale: over the seeds."""
    seed_spread: float
    """Standard deviation, on the z scale, of what all networks have in common under one seed and length."""
    seconds: Array
    """Coefficients of `cost_terms`."""

    def standardised(self, archs: Sequence[Arch]) -> Array:
        """Features of networks, as the process takes them."""
        return np.asarray((feature_matrix(archs, self.space)[0] - self.middle) / self.scale)


@dataclass(frozen=True)
class Surrogate:
    """One world. `values` are PSNR-Y in dB, noiseless."""

    fitted: Fitted
    world: int
    drawn: Drawn
    _known: dict[Arch, Array] = field(default_factory=dict, repr=False)

    @property
    def space(self) -> Space:
        return self.fitted.space

    def values(self, archs: Sequence[Arch]) -> Array:
        """True PSNR-Y in dB of networks (rows) at each of LENGTHS (columns)."""
        shape = self.fitted.process.shape
        parts = [
            self.drawn(self.fitted.standardised(archs[start : start + BATCH])) for start in range(0, len(archs), BATCH)
        ]
        own = np.array([self._own(arch) for arch in archs]) @ shape.own.T
        return shape.psnr(self.fitted.means + np.concatenate(parts) + own, np.arange(len(LENGTHS)))

    def true(self, arch: Arch, length: int) -> float:
        """PSNR-Y in dB that trainings of `length` (in units of the short one) have in the mean over seeds."""
        if arch not in self._known:
            self._known[arch] = self.values([arch])[0]
        return float(self._known[arch][PLACE[length]])

    def observe(self, arch: Arch, length: int, seed: int) -> float:
        """PSNR-Y in dB of one training: the same for the same network, length and seed."""
        shape, place = self.fitted.process.shape, PLACE[length]
        noise = _normal((len(LENGTHS),), seed, "noise " + " ".join(arch), self.world) @ shape.noise[place]
        common = _normal((1,), seed, "seed", self.world, length)[0] * self.fitted.seed_spread
        value = np.array(self.true(arch, length))
        return float(value + shape.slope(value, np.array(place)) * (noise + common))

    def seconds(self, arch: Arch, length: int) -> float:
        """Device seconds of one training."""
        return float(cost_terms(arch, length, self.space) @ self.fitted.seconds)

    def _own(self, arch: Arch) -> Array:
        return _normal((len(LENGTHS),), self.world, "own " + " ".join(arch), tail=TAIL)


def _normal(shape: tuple[int, ...], seed: int, purpose: str, *index: int, tail: float = 1e-9) -> Array:
    return np.asarray(ndtri(tail + (1 - 2 * tail) * uniform(shape, seed, purpose, *index)))


def cost_terms(arch: Arch, length: int, space: Space) -> Array:
    """What seconds are a sum of: a constant, and for each step mult-adds, convolutions and blocks."""
    blocks = [parse_block(name) for name in space.parts(arch)[1]]
    convs = sum(block.convs for block in blocks)
    return np.array([1, length, length * space.cost(arch).mult_adds / 1e4, length * convs / 10, length * len(blocks)])


def fit_seconds(rows: Sequence[Row], space: Space) -> Array:
    """Non-negative coefficients of `cost_terms`; trainings that took strangely long (a busy machine) are left out."""
    terms = np.array([cost_terms(row.arch, row.length, space) for row in rows])
    seconds = np.array([row.seconds for row in rows])
    kept = np.ones(len(rows), bool)
    for _ in range(5):
        # Relative errors count: a long training is not ten times as important.
        found = nnls(terms[kept] / seconds[kept, None], np.ones(kept.sum()))[0]
        ratio = np.log(seconds / (terms @ found))
        off = np.abs(ratio - np.median(ratio))
        kept = off < 4 * np.median(off) + 1e-6
    return np.asarray(found)


def open_space() -> Space:
    """The space of the table."""
    config = load_config(FOLDER / "search_space.yml").config
    return space_of(config)


def read_unique(table: Path) -> list[Row]:
    """The rows of a table, each training once. Raises SystemExit where a length has none."""
    rows = list({(row.arch, row.length, row.seed): row for row in read_table(table)}.values())
    absent = [str(length) for length in LENGTHS if not any(row.length == length for row in rows)]
    if absent:
        raise SystemExit(f"{table}: no training of length {', '.join(absent)}; search_table.py has to go on")
    return rows


def table_key(rows: Sequence[Row]) -> str:
    """Names the contents of a table."""
    return hashlib.sha256("\n".join(sorted(map(write_row, rows))).encode()).hexdigest()[:16]


def arrange(rows: Sequence[Row], space: Space) -> tuple[Data, list[Arch], list[tuple[int, int]], Array, Array]:
    """A table as data of the process; also its networks, its (length, seed) pairs, and the scale of the features."""
    archs = list(dict.fromkeys(row.arch for row in rows))
    places = {arch: place for place, arch in enumerate(archs)}
    matrix, groups = feature_matrix(archs, space)
    middle, scale = matrix.mean(0), matrix.std(0)
    scale[scale < 1e-9] = 1.0
    pairs = sorted({(row.length, row.seed) for row in rows})
    data = Data(
        features=(matrix - middle) / scale,
        groups=groups,
        network=np.array([places[row.arch] for row in rows]),
        length=np.array([PLACE[row.length] for row in rows]),
        seed=np.array([row.seed for row in rows]),
        effect=np.array([pairs.index((row.length, row.seed)) for row in rows]),
        values=np.array([row.psnr_y for row in rows]),
    )
    return data, archs, pairs, middle, scale


def fit_table(rows: Sequence[Row], shape: Shape | None = None) -> Fitted:
    """Fit everything; with a shape that was fitted before, only what takes seconds."""
    space = open_space()
    data, _, pairs, middle, scale = arrange(rows, space)
    process = Process(data, fit(data) if shape is None else shape)
    effects = dict(zip(pairs, process.effects, strict=True))
    of_length = [[value for (length, _), value in effects.items() if length == one] for one in LENGTHS]
    both = [one for one in of_length if len(one) > 1]
    return Fitted(
        space=space,
        process=process,
        middle=middle,
        scale=scale,
        means=np.array([np.mean(one) for one in of_length]),
        seed_spread=float(np.sqrt(np.mean([np.var(one, ddof=1) for one in both]))) if both else 0.0,
        seconds=fit_seconds(rows, space),
    )


def open_fitted(table: Path = PACKED, kept: Path = FITTED) -> Fitted:
    """The fit of a table; from `kept` where that is of this table, else made (minutes) and kept there."""
    rows = read_unique(table)
    content = read_kept(kept, table_key(rows))
    if "shape" not in content:
        say(f"fitting {len(rows)} trainings of {table}; kept in {kept}")
        fitted = fit_table(rows)
        content["shape"] = {name: values.tolist() for name, values in vars(fitted.process.shape).items()}
        kept.write_text(json.dumps(content))
        return fitted
    return fit_table(rows, Shape(**{name: np.array(values) for name, values in content["shape"].items()}))


def read_kept(kept: Path, key: str) -> dict[str, Any]:
    """What the file keeps of a table; empty but for the key where it is of another one."""
    content = json.loads(kept.read_text()) if kept.exists() else {}
    return content if content.get("table") == key else {"table": key}


def make_world(fitted: Fitted, world: int = 0) -> Surrogate:
    """One of the worlds that the table leaves possible."""
    return Surrogate(fitted, world, fitted.process.draw(generator(world, "world")))


def sample_archs(space: Space, count: int, seed: int = 0) -> list[Arch]:
    """Different random networks, drawn as a search draws its first."""
    found: dict[Arch, None] = {}
    index = 0
    while len(found) < count:
        found.setdefault(decode(sample_genome(space, generator(seed, "benchmark of search", index))))
        index += 1
    return list(found)


def mean_seconds(truth: Truth) -> float:
    """Device seconds of a short training of the mean random network: what a contender's budget is counted in."""
    return float(np.mean([truth.seconds(arch, 1) for arch in sample_archs(truth.space, SAMPLE)]))


def main() -> None:
    # Only here: they need this module.
    from search_check import report

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--table", type=Path, default=PACKED)
    options.add_argument("--fitted", type=Path, default=FITTED, help="where the fit is kept")
    options.add_argument("--others", action="store_true", help="also how well other kinds of model fit (scikit-learn)")
    given = options.parse_args()
    report(read_unique(given.table), open_fitted(given.table, given.fitted), others=given.others)


if __name__ == "__main__":
    main()
