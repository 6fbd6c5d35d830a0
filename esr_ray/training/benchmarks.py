"""What is reported of a trained network: quality on sets of pictures, size, latency and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil

from esr_ray.config.schema import TrainingConfig
from esr_ray.data.crops import PicturePair
from esr_ray.errors import UserError
from esr_ray.metrics import ssim
from esr_ray.space.counts import OUTPUT_PIXELS, mult_adds_720p, network_cost
from esr_ray.training.checkpoint import load_checkpoint
from esr_ray.training.ensemble import SelfEnsemble
from esr_ray.training.evaluation import Measured, compile_for, measure, measure_bicubic
from esr_ray.training.network import NetworkMaker, Predictor
from esr_ray.training.result import Evaluated, Figures, SetFigures

OUTPUT = (720, 1280)
"""The output that latency, memory and mult-adds are of."""
ROUNDS = 3
Keep = Callable[[str, list[Measured]], None]
assert OUTPUT[0] * OUTPUT[1] == OUTPUT_PIXELS


def evaluate_bicubic(
    scale: int, pictures: Sequence[tuple[str, Sequence[PicturePair]]], keep: Keep = lambda name, measured: None
) -> Evaluated:
    """Bicubic enlargement on sets of pictures, (name, pictures). `keep` is given each set's name and pictures."""
    sets = []
    for name, pairs in pictures:
        measured = measure_bicubic(pairs, scale)
        sets.append(_figures(name, measured, pairs, scale))
        keep(name, measured)
    return Evaluated("bicubic", (), 0, 0, None, None, "", tuple(sets))


def evaluate_network(
    name: str,
    checkpoint: Path,
    pictures: Sequence[tuple[str, Sequence[PicturePair]]],
    make: NetworkMaker,
    self_ensemble: bool = False,
    keep: Keep = lambda name, measured: None,
) -> Evaluated:
    """A checkpoint's network on sets of pictures. `keep` is given each set's name and pictures.

    Raises UserError for a checkpoint that is damaged or does not fit the network that it names.
    """
    parameters, spec = load_checkpoint(checkpoint)
    # One step: nothing is trained, so no table of rates is needed.
    network = make(spec, TrainingConfig(steps=1), seed=0)
    try:
        network.load(parameters)
    except ValueError as error:
        raise UserError(f"{checkpoint}: its weights are not those of the network that it names: {error}") from None
    predictor: Predictor = SelfEnsemble(network) if self_ensemble else network
    sets = []
    for label, pairs in pictures:
        compile_for(predictor, pairs)
        measured = measure(predictor, pairs, spec.scale)
        sets.append(_figures(label, measured, pairs, spec.scale))
        keep(label, measured)
    cost = network_cost(spec.arch, spec.base_channels, spec.scale)
    latency, memory = _latency(predictor, spec.scale)
    mult_adds = mult_adds_720p(cost, spec.scale) * (8 if self_ensemble else 1)
    return Evaluated(name, spec.arch, cost.params, mult_adds, latency, memory, network.kernels, tuple(sets))


def _figures(name: str, measured: list[Measured], pairs: Sequence[PicturePair], scale: int) -> SetFigures:
    pictures = tuple(
        Figures(
            one.name, one.quality.psnr_y, one.quality.ssim_y, one.quality.psnr_rgb, ssim(one.sr, pair.hr, scale, False)
        )
        for one, pair in zip(measured, pairs, strict=True)
    )
    return SetFigures(name, pictures)


def _latency(network: Predictor, scale: int) -> tuple[float, float]:
    """Seconds (median) for a 1280x720 output, and by how many MB the process's resident memory rose meanwhile."""
    lr = np.random.default_rng(0).random((1, 3, -(-OUTPUT[0] // scale), -(-OUTPUT[1] // scale)), np.float32)
    process = psutil.Process()
    before = process.memory_info().rss
    network.compile_predict(lr)
    network.predict(lr)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        network.predict(lr)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), max(0.0, (peak_memory() - before) / 1e6)


def peak_memory() -> int:
    """Bytes that this process had resident at most, so far."""
    import resource

    # Linux counts kilobytes.
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
