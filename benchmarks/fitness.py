"""Does the fitness carry a signal? Noise, and rank correlation with a four times longer training, on our own code.

    python benchmarks/fitness.py configs/demo.yml                   the configuration as it is
    python benchmarks/fitness.py configs/demo.yml --choices         and what each choice in it brings

Random genomes of the configuration's space are trained as candidates are, with several seeds. The table of fitness by
architecture and seed is split in two ways: what architectures have for themselves, what seeds have for themselves, and
the rest, which is what ranks wrongly. Fitness is compared in rank with the same training four times as long, of a seed
that the short ones do not have. One-thread processes, one to a core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Threads of each worker, before NumPy or MindSpore are loaded in it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_v", "3")

import numpy as np
from common import pinned_pool
from scipy.stats import spearmanr

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.randomness import generator
from esr_ray.space.genome import decode
from esr_ray.space.reach import check_budget
from esr_ray.space.sample import sample_genome
from esr_ray.space.space import Space
from esr_ray.tasks.make import space_of

FRAMEWORK = "the framework's initial weights"
LONG_SEED = 1000
"""Seed of the longer training; the short ones count from 0."""


@dataclass(frozen=True)
class Job:
    """One training. `own_seed` gives each architecture crops and initial weights of its own."""

    choice: str
    config: Config
    arch: tuple[str, ...]
    row: int
    seed: int
    own_seed: bool


def choices(config: Config) -> dict[str, tuple[Config, bool]]:
    """The configuration without each of its choices in turn: (configuration, own seed)."""
    fast = config.fast_training
    flat = {"type": "multistep", "milestones": [fast.steps]}

    def changed(section: str, **values: object) -> Config:
        content = config.model_dump(mode="json")
        content[section].update(values)
        return Config.model_validate_json(json.dumps(content))

    return {
        "as configured": (config, False),
        "no global skip": (changed("space", global_skip="none"), False),
        "a fifth of the rate": (changed("fast_training", learning_rate=fast.learning_rate / 5), False),
        "constant rate": (changed("fast_training", schedule=flat), False),
        "own crops and weights": (config, True),
        "no clipping": (changed("fast_training", clip_norm=None), False),
        FRAMEWORK: (config, False),
    }


def framework_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """What MindSpore (and PyTorch) would begin with: weights and biases uniform within ±1/sqrt(fan in); the last
    convolution's weights a tenth of that, so that the network begins near the skip."""
    values = {}
    for name, shape in shapes.items():
        weight = shapes.get(name.rpartition(".")[0] + ".weight", ())
        if len(weight) != 4:
            # Not a convolution's: a user's block may have them.
            continue
        bound = 1 / np.sqrt(np.prod(weight[1:]))
        bound *= 0.1 if name == "upsampler.last.weight" else 1.0
        values[name] = generator(seed, f"framework {name}").uniform(-bound, bound, shape).astype(np.float32)
    return values


_kernels: dict[str, Any] = {}


def train(job: Job) -> tuple[Job, float, float]:
    """Fitness in dB and seconds of one job (NaN where it diverged)."""
    from esr_ray.tasks.make import network_spec
    from esr_ray.tasks.pictures import open_pictures, plan_pictures
    from esr_ray.training.candidate import release_memory, train_candidate
    from esr_ray.training.kernels import choose_kernels
    from esr_ray.training.loop import Diverged

    if job.config.runtime.kernels not in _kernels:
        _kernels[job.config.runtime.kernels] = choose_kernels(job.config, "CPU")
    kernels = _kernels[job.config.runtime.kernels]
    pictures = open_pictures(plan_pictures(job.config), job.config)
    seed = job.seed + (10_000 * (1 + job.row) if job.own_seed else 0)

    def make(*given: Any) -> Any:
        network = kernels.make(*given)
        if job.choice == FRAMEWORK:
            begun = network.parameters()
            shapes = {name: value.shape for name, value in begun.items()}
            network.load({**begun, **framework_weights(shapes, seed)})
        return network

    began = time.perf_counter()
    try:
        trained = train_candidate(
            network_spec(job.arch, job.config),
            job.config.fast_training,
            pictures.train,
            pictures.validation,
            seed,
            make=make,
        )
        fitness = trained.quality.psnr_y
    except Diverged:
        fitness = float("nan")
    if kernels.name == "plain":
        release_memory()
    return job, fitness, time.perf_counter() - began


def sample_archs(space: Space, count: int) -> list[tuple[str, ...]]:
    """Different random networks of the space, as the first generation draws them."""
    archs: list[tuple[str, ...]] = []
    index = 0
    while len(archs) < count:
        arch = decode(sample_genome(space, generator(0, "benchmark of fitness", index)))
        if arch not in archs:
            archs.append(arch)
        index += 1
    return archs


@dataclass(frozen=True)
class Spread:
    """Standard deviations in dB: of architectures (a variance component), of the residual, of seeds' means."""

    architectures: float
    residual: float
    seeds: float

    @property
    def ratio(self) -> float:
        return self.architectures / self.residual if self.residual else float("inf")


def spread(table: np.ndarray) -> Spread:
    """Two-way analysis of variance of fitness (architectures, seeds) without repetition."""
    rows, columns = table.shape
    residual = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
    residual_variance = float((residual**2).sum() / ((rows - 1) * (columns - 1)))
    between = float(table.mean(1).var(ddof=1)) - residual_variance / columns
    return Spread(max(0.0, between) ** 0.5, residual_variance**0.5, float(table.mean(0).std(ddof=1)))


def rank_correlation(table: np.ndarray, longer: np.ndarray) -> float:
    """Mean over seeds of Spearman's correlation of one seed's fitness with the longer training."""
    return float(np.mean([spearmanr(column, longer).statistic for column in table.T]))


def run(jobs: Sequence[Job], workers: int) -> dict[tuple[str, int, int, int], tuple[float, float]]:
    """Train all jobs; (fitness, seconds) by (choice, row, seed, steps)."""
    results: dict[tuple[str, int, int, int], tuple[float, float]] = {}
    with pinned_pool(workers) as pool:
        for job, fitness, seconds in pool.imap_unordered(train, jobs):
            key = (job.choice, job.row, job.seed, job.config.fast_training.steps)
            results[key] = (fitness, seconds)
            done = f"{len(results)}/{len(jobs)}"
            print(f"{done} {job.choice}: {fitness:.3f} dB, {seconds:.1f} s", file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/demo.yml")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--genomes", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--longer", type=int, default=4, help="times as long the training compared with; 0: none")
    parser.add_argument(
        "--choices", nargs="*", metavar="NAME", help="also without each choice of the configuration, or without these"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()

    config = load_config(options.config, options.overrides).config
    space = space_of(config)
    check_budget(space)
    archs = sample_archs(space, options.genomes)
    variants = choices(config)
    if options.choices != []:
        unknown = set(options.choices or ()) - set(variants)
        if unknown:
            parser.error(f"no such choice: {', '.join(sorted(unknown))}; there are: {', '.join(variants)}")
        variants = {name: variants[name] for name in ("as configured", *(options.choices or ()))}
    jobs = [
        Job(name, variant, arch, row, seed, own)
        for name, (variant, own) in variants.items()
        for row, arch in enumerate(archs)
        for seed in range(options.seeds)
    ]
    fast = config.fast_training
    longer = config.model_copy(
        update={"fast_training": fast.model_copy(update={"steps": max(1, options.longer) * fast.steps})}
    )
    long_jobs = [Job("longer", longer, arch, row, LONG_SEED, False) for row, arch in enumerate(archs)]
    results = run([*(long_jobs if options.longer else []), *jobs], options.workers)

    reference = np.full(len(archs), np.nan)
    if options.longer:
        keys = [("longer", row, LONG_SEED, options.longer * fast.steps) for row in range(len(archs))]
        reference = np.array([results[key][0] for key in keys])
    params = np.array([space.cost(arch).params for arch in archs])
    print(f"{len(archs)} genomes, {options.seeds} seeds, {fast.steps} steps; longer: {options.longer} times as many")
    print("| fitness | mean dB | SD architectures | SD of what ranks wrongly | ratio | SD seeds | rank corr. longer |")
    print("|---|---|---|---|---|---|---|")
    summary = {}
    for name, (variant, _) in variants.items():
        steps = variant.fast_training.steps
        table = np.array(
            [[results[name, row, seed, steps][0] for seed in range(options.seeds)] for row in range(len(archs))]
        )
        alive = np.isfinite(table).all(1)
        parts = spread(table[alive])
        compared = alive & np.isfinite(reference)
        correlation = rank_correlation(table[compared], reference[compared]) if compared.any() else float("nan")
        lost = f" ({(~alive).sum()} diverged)" if not alive.all() else ""
        print(
            f"| {name}{lost} | {table[alive].mean():.2f} | {parts.architectures:.3f} | {parts.residual:.3f} | "
            f"{parts.ratio:.2f} | {parts.seeds:.3f} | {correlation:.2f} |"
        )
        summary[name] = {"table": table.tolist(), "ratio": parts.ratio, "rank_correlation": correlation}
    seconds = [took for (name, *_), (_, took) in results.items() if name == "as configured"]
    if options.longer:
        by_params = rank_correlation(params[:, None], reference)
        print(f"longer training: mean {np.nanmean(reference):.2f} dB, SD {np.nanstd(reference, ddof=1):.3f}")
        print(f"rank correlation of the parameter count with the longer training: {by_params:.2f}")
    print(f"seconds a candidate, one pinned core: median {np.median(seconds):.1f}")
    base = summary["as configured"]
    if options.json:
        archs_text = [" ".join(arch) for arch in archs]
        options.json.write_text(
            json.dumps({"archs": archs_text, "params": params.tolist(), "longer": reference.tolist(), **summary})
        )
    compared = f", rank correlation {base['rank_correlation']:.2f}" if options.longer else ""
    print(f"signal to noise {base['ratio']:.2f}{compared}")


if __name__ == "__main__":
    main()
