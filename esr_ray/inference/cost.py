"""Latency and memory of a network, measured in a process of its own.

In another one it would count what other networks, or larger pictures, have left there.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from esr_ray.config.schema import Config
from esr_ray.inference.find import Source
from esr_ray.inference.load import load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.result import InferenceCost
from esr_ray.networks.target import memory_use
from esr_ray.space.counts import OUTPUT_PIXELS

OUTPUT = (720, 1280)
"""The output that latency and memory are of, as mult-adds are."""
ROUNDS = 3
assert OUTPUT[0] * OUTPUT[1] == OUTPUT_PIXELS


def inference_cost(source: Source, config: Config, target: str, self_ensemble: bool = False) -> InferenceCost | None:
    """What one 1280x720 output costs a checkpoint's network on this machine; None where that process was killed.

    Raises UserError for a damaged checkpoint, or kernels or a target
    that cannot be had.
    """
    # Not forked: a child would have what this process has used.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        try:
            return process.submit(_measure, source, config, target, self_ensemble).result()
        except BrokenProcessPool:
            return None


def _measure(source: Source, config: Config, target: str, self_ensemble: bool) -> InferenceCost:
    source.load_files()
    make = choose_predictor(config.runtime.kernels, target, config.runtime.mode)
    # Once before: what it makes the process import is not the network's.
    load_network(source.path, make, self_ensemble)
    before, _ = memory_use(target)
    loaded = load_network(source.path, make, self_ensemble)
    height, width = (-(-size // loaded.spec.scale) for size in OUTPUT)
    lr = np.random.default_rng(0).random((1, loaded.spec.in_channels, height, width), np.float32)
    loaded.predictor.compile_predict(lr)
    loaded.predictor.predict(lr)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        loaded.predictor.predict(lr)
        seconds.append(time.perf_counter() - began)
    _, peak = memory_use(target)
    return InferenceCost(statistics.median(seconds), (peak - before) / 1e6)
