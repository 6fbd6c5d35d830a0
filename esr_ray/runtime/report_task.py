"""The final tasks: the winner is trained in full and reported on, once the evaluators have let go of their devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import ray

from esr_ray.config.schema import Config
from esr_ray.runtime.placement import Placement, ray_options
from esr_ray.runtime.setup import WorkerSetup, worker_environment
from esr_ray.runtime.target import use_target
from esr_ray.space.user_block import load_blocks
from esr_ray.tasks.super_resolution import network_spec, open_benchmarks, open_pictures
from esr_ray.training.loop import CurvePoint
from esr_ray.training.result import FullyTrained, SetReport

RETRIES = 3
"""Times that a task is begun again where its process or node dies."""


def submit_training(setup: WorkerSetup, placement: Placement, arch: Sequence[str], driver: Any) -> ray.ObjectRef:
    """Start the full training; the reference of its FullyTrained. `driver` is told its progress."""
    task, threads = _task(_train, setup, placement)
    return task.remote(setup, threads, tuple(arch), driver)


def submit_report(setup: WorkerSetup, placement: Placement, weights: bytes) -> ray.ObjectRef:
    """Start the report on a checkpoint's network; the reference of a SetReport for the test set and each benchmark."""
    task, threads = _task(_report, setup, placement)
    return task.remote(setup, threads, weights)


def final_threads(config: Config) -> int:
    """CPU threads of a final task: those configured, at most those of Ray's largest node."""
    largest = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=1)
    wanted = config.runtime.final_threads
    return max(1, largest if wanted == "auto" else min(wanted, largest))


def _task(function: Callable[..., Any], setup: WorkerSetup, placement: Placement) -> tuple[Any, int]:
    options = ray_options(placement)
    threads = 1
    if placement.target == "CPU" and placement.resource == "CPU":
        threads = final_threads(setup.config)
        options["num_cpus"] = threads
    environment = {"env_vars": worker_environment(threads)}
    return ray.remote(function).options(**options, max_retries=RETRIES, runtime_env=environment), threads


def _prepare(setup: WorkerSetup, threads: int) -> None:
    """Set this process up, before MindSpore is imported."""
    if setup.target == "CPU":
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(allowed[:threads]))
    use_target(setup.target, setup.config.runtime.mode)
    load_blocks(setup.blocks)


def _train(setup: WorkerSetup, threads: int, arch: tuple[str, ...], driver: Any) -> FullyTrained:
    _prepare(setup, threads)
    from esr_ray.training.final import train_fully
    from esr_ray.training.kernels import choose_kernels

    config = setup.config
    pictures = open_pictures(setup.pictures, config)

    def report(point: CurvePoint) -> None:
        driver.full_training_progress.remote(point.step, point.loss)

    make = choose_kernels(config, setup.target).make
    return train_fully(network_spec(arch, config), config.full_training, pictures.train, config.seed, report, make)


def _report(setup: WorkerSetup, threads: int, weights: bytes) -> tuple[SetReport, ...]:
    _prepare(setup, threads)
    from esr_ray.training.final import report_on_checkpoint
    from esr_ray.training.kernels import choose_kernels

    config = setup.config
    sets = [("test", open_pictures(setup.pictures, config).test)]
    if "benchmarks" in config.pipeline:
        sets += open_benchmarks(setup.pictures)
    make = choose_kernels(config, setup.target).make
    return report_on_checkpoint(weights, config.full_training, sets, make)
