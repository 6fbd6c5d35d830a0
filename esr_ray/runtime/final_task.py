"""The final task: the winner is trained in full, once the evaluators have let go of their devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import ray

from esr_ray.config.schema import Config
from esr_ray.runtime.placement import Placement, ray_options
from esr_ray.runtime.setup import WorkerSetup, worker_environment
from esr_ray.runtime.target import use_target
from esr_ray.space.user_block import load_blocks
from esr_ray.tasks.super_resolution import network_spec, open_benchmarks, open_pictures
from esr_ray.training.loop import CurvePoint
from esr_ray.training.result import FullyTrained

RETRIES = 3
"""Times that the task is begun again where its process or node dies."""


def submit_final(
    setup: WorkerSetup, placement: Placement, arch: Sequence[str], weights: bytes | None, driver: Any
) -> ray.ObjectRef:
    """Start the task; the reference of its FullyTrained. `driver` is told its progress.

    With `weights`, the content of a checkpoint, the network is only reported on.
    """
    options = ray_options(placement)
    threads = 1
    if placement.target == "CPU" and placement.resource == "CPU":
        threads = final_threads(setup.config)
        options["num_cpus"] = threads
    task = ray.remote(_train_final).options(
        **options,
        max_retries=RETRIES,
        retry_exceptions=False,
        runtime_env={"env_vars": worker_environment(threads)},
    )
    return task.remote(setup, threads, tuple(arch), weights, driver)


def final_threads(config: Config) -> int:
    """CPU threads of the full training: those configured, at most those of Ray's largest node."""
    largest = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=1)
    wanted = config.runtime.final_threads
    return max(1, largest if wanted == "auto" else min(wanted, largest))


def _train_final(
    setup: WorkerSetup, threads: int, arch: tuple[str, ...], weights: bytes | None, driver: Any
) -> FullyTrained:
    if setup.target == "CPU":
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(allowed[:threads]))
    use_target(setup.target, setup.config.runtime.mode)
    load_blocks(setup.blocks)
    # Here and not above: it imports MindSpore, which must see the cores and the target set.
    from esr_ray.training.final import report_again, train_fully

    config = setup.config
    pictures = open_pictures(setup.pictures, config)
    sets = [("test", pictures.test)]
    if "benchmarks" in config.pipeline:
        sets += open_benchmarks(setup.pictures)

    def report(point: CurvePoint) -> None:
        driver.full_training_progress.remote(point.step, point.loss)

    spec = network_spec(arch, config)
    if weights is not None:
        return report_again(spec, config.full_training, weights, sets, config.seed)
    return train_fully(spec, config.full_training, pictures.train, sets, config.seed, report)
