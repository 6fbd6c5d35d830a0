"""An evaluator trains any number of networks without MindSpore; and a search's fitness is that of plain kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from worlds import PAPER

from esr_ray.native.library import NativeUnavailable, load_library
from esr_ray.runs.journal import read_journal
from esr_ray.runtime.setup import worker_environment

GROWTH_MB = 40
"""By how much an evaluator's memory may grow once it has trained so many networks that a large one was among them."""


@pytest.fixture(autouse=True, scope="module")
def _library() -> None:
    try:
        load_library()
    except NativeUnavailable as error:
        pytest.skip(f"there is no native library: {error}")


# A process of its own: an evaluator takes a core for itself, and its memory is that of its process.
MANY = """
import json, sys

import numpy as np

from esr_ray.config.load import check_config
from esr_ray.runtime import evaluator as module
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.job import Candidate, Job
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.space.space import make_space
from esr_ray.tasks.make import space_of
from esr_ray.tasks.pictures import plan_pictures

count, cache = int(sys.argv[1]), sys.argv[2]
config = check_config(
    {
        "space": {
            "node_num": 6,
            "min_active": 1,
            "base_channels": 8,
            "conv_num": [1, 2, 4],
            "growth_rate": [4, 8, 16],
            "max_params": 30000,
        },
        "data": {"hr": "sample:scikit-image", "validation_size": 16},
        "fast_training": {"steps": 2, "batch_size": 2, "crop_size": 8},
        "full_training": {"crop_size": 8},
        "runtime": {"cache_dir": cache, "kernels": "native"},
    },
    "test",
)
# There is no cluster: a reference is what it refers to.
module.ray.get = lambda reference: reference
evaluator = module.Evaluator(WorkerSetup(config, "CPU", plan_pictures(config), ()))

space, rng = space_of(config), np.random.default_rng(0)
genomes = {}
while len(genomes) < count:
    genome = sample_genome(space, rng)
    genomes.setdefault(decode(genome), genome)
for number, (arch, genome) in enumerate(genomes.items()):
    job = Job(number, Candidate(number, genome, arch, "random", (), 0, 0), config.fast_training.steps, 0)
    reply = evaluator.train([{number: job}], number)
    trained = reply.trained
    print(
        json.dumps(
            {
                "arch": arch,
                "params": None if trained is None else [trained.params, space.cost(arch).params],
                "reason": reply.reason,
                "psnr": None if trained is None else trained.quality.psnr_y,
                "start": None if trained is None else trained.seconds.start,
                "memory": reply.rss_mb,
                "mindspore": "mindspore" in sys.modules,
                "kernels": None if trained is None else trained.kernels,
            }
        ),
        flush=True,
    )
"""


def train_many(count: int, tmp_path: Path) -> list[dict]:
    """One evaluator's replies to so many different architectures."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(count), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **worker_environment(1)},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def check_many(replies: list[dict], count: int, settled: int) -> None:
    """`settled`: candidates after which memory stays, but for GROWTH_MB."""
    assert len({tuple(reply["arch"]) for reply in replies}) == len(replies) == count
    assert [reply["reason"] for reply in replies if reply["reason"]] == []
    assert all(reply["params"][0] == reply["params"][1] for reply in replies)
    assert all(5 < reply["psnr"] < 60 for reply in replies)
    assert len({reply["psnr"] for reply in replies}) > 0.9 * count
    assert {reply["kernels"] for reply in replies} == {f"native {load_library().instruction_set}"}
    # It would take a second of each evaluator's start, and twice the memory.
    assert {reply["mindspore"] for reply in replies} == {False}
    # The process is started once, too.
    assert replies[0]["start"] > 0
    assert {reply["start"] for reply in replies[1:]} == {0.0}
    memory = [reply["memory"] for reply in replies]
    print(f"memory in MB after 1, {settled} and {count}: {memory[0]:.0f}, {memory[settled - 1]:.0f}, {memory[-1]:.0f}")
    assert max(memory[settled:]) < memory[settled - 1] + GROWTH_MB


def test_60_networks_are_trained_by_one_evaluator_without_mindspore(tmp_path: Path) -> None:
    check_many(train_many(60, tmp_path), 60, settled=30)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_1000_networks_are_trained_by_one_evaluator_in_memory_that_stays(tmp_path: Path) -> None:
    check_many(train_many(1000, tmp_path), 1000, settled=200)


# ------------------------------------------------------------------------------------------------------------- a search

# The demo's space; few steps.
SEARCH = {
    "seed": 1,
    "pipeline": ["search"],
    "space": {
        "node_num": 6,
        "min_active": 1,
        "base_channels": 8,
        "conv_num": [2, 4],
        "growth_rate": [8, 16],
        "min_params": 4000,
        "max_params": 40000,
    },
    "evolution": {"num_generation": 2, "num_individual": 4, "num_elitism": 2, "mutation_rate": 0.2, **PAPER},
    "data": {"hr": "sample:scikit-image", "validation_size": 32, "validation_crops": 2},
    "fast_training": {"steps": 100, "batch_size": 4, "crop_size": 16, "learning_rate": 4e-3, "clip_norm": 1.0},
    "full_training": {"crop_size": 16},
}


@dataclass(frozen=True)
class Ended:
    """A search's first generation: architectures, fitness in dB, and what computed it, by job."""

    archs: dict[int, list[str]]
    fitness: dict[int, float]
    kernels: set[str]


def searched(home: Path, kernels: str) -> Ended:
    content = {
        **SEARCH,
        "runtime": {"cache_dir": str(home / "cache"), "kernels": kernels},
        "output": {"dir": str(home), "name": kernels},
    }
    # JSON is YAML.
    (home / f"{kernels}.yml").write_text(json.dumps(content))
    done = subprocess.run(
        [sys.executable, "-m", "esr_ray.search", f"{kernels}.yml"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    events = read_journal(home / kernels / "journal.jsonl").events
    archs = {one["job"]: one["birth"]["arch"] for one in events if one["event"] == "asked" and one["batch"] == 0}
    finished = [one for one in events if one["event"] == "finished"]
    fitness = {one["job"]: one["psnr_y"] for one in finished if one["job"] in archs}
    return Ended(archs, fitness, {one["kernels"] for one in finished})


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_with_native_kernels_has_the_fitnesses_of_one_with_plain_ones(tmp_path: Path) -> None:
    """In the first generation, which does not depend on fitness: later ones may take another way for a rounding."""
    native, plain = searched(tmp_path, "native"), searched(tmp_path, "plain")
    assert native.archs == plain.archs
    assert len(native.fitness) == 4
    print({one: (native.fitness[one], plain.fitness[one]) for one in native.fitness})
    assert native.fitness == pytest.approx(plain.fitness, abs=0.05)
    # And by much less than candidates differ from each other.
    largest = max(abs(native.fitness[one] - plain.fitness[one]) for one in plain.fitness)
    assert largest < 0.1 * (max(plain.fitness.values()) - min(plain.fitness.values()))
    assert native.kernels == {f"native {load_library().instruction_set}"}
    assert plain.kernels == {"plain"}
