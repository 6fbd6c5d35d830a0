"""Has a promoted training to begin anew, or can it go on from the short one? And a child's, from its parent's weights?

    python benchmarks/continued.py --set data.hr=T91/HR

A rate that was annealed to zero has to be raised again to go on. Random networks of search_space.yml are trained for a
short time, 3 times as long anew, and twice as long from the short training's weights, with the whole rate and with
parts of it. They are also trained for a short time from the weights that a parent had after as short a training: the
network but for one block; all of its weights that fit are inherited, but those of this block. What counts beside the
value is whether networks are told apart as well: the rank correlation with another seed's training that is 3 times as
long and began anew. One-thread processes, one to a core.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

# Threads of each worker, before NumPy or MindSpore are loaded in it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_v", "3")

import numpy as np
from common import FOLDER, cores, machine, parser, pinned_pool, say, table
from scipy.stats import spearmanr
from search_rows import Arch
from search_surrogate import sample_archs

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.randomness import generator
from esr_ray.space.space import Space
from esr_ray.space.spec import split_frame
from esr_ray.tasks.make import space_of

PARTS = (1.0, 0.5, 0.25)
"""Of the rate, with which a training goes on."""
OTHER_CROPS = 1000
"""Added to the seed where a training goes on: it does not see the same crops again."""


@dataclass(frozen=True)
class Job:
    """All trainings of one network with one seed."""

    config: Config
    arch: Arch
    seed: int
    parent: Arch
    changed: int
    """The block in which the parent differs."""


def with_parent(arch: Arch, space: Space) -> tuple[Arch, int]:
    """A network of the space that differs from another one in one block, and in which."""
    rng, (_, blocks) = generator(0, "parent of " + " ".join(arch)), split_frame(arch)
    while True:
        place = int(rng.integers(len(arch) - len(blocks), len(arch)))
        parent = (*arch[:place], space.vocabulary.draw(rng), *arch[place + 1 :])
        if parent != arch and space.allows(parent):
            return parent, place


_opened: dict[str, Any] = {}


def train(job: Job) -> dict[str, float]:
    """PSNR-Y in dB of each way."""
    from esr_ray.networks.checkpoint import checkpoint_from_bytes
    from esr_ray.tasks.make import network_spec
    from esr_ray.tasks.pictures import open_pictures, plan_pictures
    from esr_ray.training.candidate import train_candidate
    from esr_ray.training.kernels import choose_kernels

    config = job.config
    if not _opened:
        _opened["make"] = choose_kernels(config, "CPU").make
        _opened["pictures"] = open_pictures(plan_pictures(config), config)
    pictures, fast = _opened["pictures"], config.fast_training

    def trained(
        lengths: float, seed: int, part: float = 1.0, start: Any = None, but: str = "none", arch: Arch = job.arch
    ) -> Any:
        def make(*given: Any) -> Any:
            network = _opened["make"](*given)
            if start is not None:
                own, theirs = network.parameters(), checkpoint_from_bytes(start)[0]
                fits = {
                    name: theirs[name]
                    for name in own.keys() & theirs.keys()
                    if own[name].shape == theirs[name].shape and not name.startswith(but)
                }
                network.load(own | fits)
            return network

        changed = {"steps": round(lengths * fast.steps), "learning_rate": part * fast.learning_rate}
        return train_candidate(
            network_spec(arch, config),
            fast.model_copy(update=changed),
            pictures.train,
            pictures.validation,
            seed,
            make=make,
        )

    short = trained(1, job.seed)
    found = {"short": short.quality.psnr_y, "anew": trained(3, job.seed).quality.psnr_y}
    for part in PARTS:
        found[f"2 more, {part:g} times the rate"] = trained(
            2, job.seed + OTHER_CROPS, part, short.weights
        ).quality.psnr_y
    parent = trained(1, job.seed, arch=job.parent)
    for part in PARTS:
        found[f"short, inherited, {part:g} times the rate"] = trained(
            1, job.seed + OTHER_CROPS, part, parent.weights, f"blocks.{job.changed}."
        ).quality.psnr_y
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--networks", type=int, default=10)
    given = options.parse_args()
    if given.quick:
        given.networks, given.overrides = 2, [*given.overrides, "fast_training.steps=4"]
    config = load_config(FOLDER / "search_space.yml", given.overrides).config
    space = space_of(config)
    archs = sample_archs(space, given.networks)
    print(f"{machine()}; {len(archs)} networks, two seeds, {config.fast_training.steps} steps are a short training")
    jobs = [Job(config, arch, seed, *with_parent(arch, space)) for arch in archs for seed in (0, 1)]
    results: list[dict[str, float]] = []
    with pinned_pool(len(cores())) as pool:
        for found in pool.imap(train, jobs):
            results.append(found)
            say(f"{len(results)}/{len(jobs)}")
    values = {way: np.array([one[way] for one in results]).reshape(-1, 2) for way in results[0]}
    anew = values["anew"]
    names = {"short": "short", "anew": "3 times as long, anew"}
    rows = [
        [
            names.get(way, way),
            f"{of_way.mean():.3f}",
            f"{np.std(of_way[:, 0] - of_way[:, 1], ddof=1) / 2**0.5:.3f}",
            f"{np.mean([spearmanr(of_way[:, one], anew[:, 1 - one]).statistic for one in (0, 1)]):.2f}",
        ]
        for way, of_way in values.items()
    ]
    print(table(["training", "mean PSNR-Y", "noise of one, dB", "rank correlation with another seed's anew"], rows))


if __name__ == "__main__":
    main()
