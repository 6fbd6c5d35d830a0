"""The report on a trained network: one task measures it, and the baseline, on the test set and the benchmarks."""

from __future__ import annotations

import os

import ray

from esr_ray.inference.load import ready_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.report import evaluate_baseline, evaluate_network
from esr_ray.inference.result import Evaluated
from esr_ray.runtime.node_pictures import open_here
from esr_ray.runtime.placement import Placement, ray_options
from esr_ray.runtime.setup import WorkerSetup, worker_environment
from esr_ray.tasks.pictures import open_benchmarks
from esr_ray.tasks.user_files import load_files

RETRIES = 3
"""Times that the task is begun again where its process or node dies."""


def submit_report(setup: WorkerSetup, placement: Placement, weights: bytes) -> ray.ObjectRef:
    """Start the report on a checkpoint's network.

    The reference of its figures, and the baseline's, on the test set and each benchmark.
    """
    options = ray_options(placement)
    threads = 1
    if placement.target == "CPU" and placement.resource == "CPU":
        # MindSpore's own operators use them; nothing else of ours runs now. Reserved is one: of a cluster that others
        # use too, all CPUs of a node may never be free.
        threads = _most_cpus()
    environment = {"env_vars": worker_environment(threads)}
    task = ray.remote(_report).options(**options, max_retries=RETRIES, runtime_env=environment)
    return task.remote(setup, threads, weights)


def _most_cpus() -> int:
    """CPUs of Ray's largest node."""
    return max(1, *(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]))


def _report(setup: WorkerSetup, threads: int, weights: bytes) -> tuple[Evaluated, Evaluated]:
    if setup.target == "CPU":
        # Before MindSpore is imported, if it has to be: it starts its threads then.
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(allowed[:threads]))
    load_files(setup.files)
    from esr_ray.networks.checkpoint import checkpoint_from_bytes

    config = setup.config
    sets = [("test", open_here(setup).test)]
    if "benchmarks" in config.pipeline:
        sets += open_benchmarks(setup.pictures)
    make = choose_predictor(config.runtime.kernels, setup.target, config.runtime.mode)
    network = ready_network(*checkpoint_from_bytes(weights), make, "the trained network")
    return evaluate_network("network", network, sets), evaluate_baseline(network.task, sets)
