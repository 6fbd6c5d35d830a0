"""One candidate's fast training, from its genome's network to its fitness."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence

from esr_ray.config.schema import TrainingConfig
from esr_ray.data.store import PicturePair
from esr_ray.inference.measure import compile_for, measure
from esr_ray.metrics import mean_quality
from esr_ray.networks.checkpoint import checkpoint_bytes
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import task_of
from esr_ray.training.batches import training_batch
from esr_ray.training.device_cost import CostPlan, measure_cost
from esr_ray.training.loop import CurvePoint, Diverged, train
from esr_ray.training.network import NetworkMaker
from esr_ray.training.result import NOT_MEASURED, Seconds, Trained


def train_candidate(
    spec: NetworkSpec,
    config: TrainingConfig,
    train_pairs: Sequence[PicturePair],
    validation_pairs: Sequence[PicturePair],
    seed: int,
    make: NetworkMaker,
    report: Callable[[CurvePoint], None] | None = None,
    cost: CostPlan | None = None,
) -> Trained:
    """Make, train and measure a network; fitness is `quality.psnr_y` of the last step's (or averaged) weights.

    With `cost` it is also measured what one enlargement costs on this device.

    Raises Diverged where the loss, or the measured output, is no number.
    """
    started = time.perf_counter()
    task = task_of(spec)
    network = make(spec, config, seed)
    network.compile(*training_batch(task, train_pairs, config, seed, 1))
    compile_for(network, validation_pairs, task)
    compiled = time.perf_counter()
    curve = train(network, train_pairs, config, task, seed, report)
    trained = time.perf_counter()
    try:
        measured = measure(network, validation_pairs, task)
    except ValueError as error:
        raise Diverged(f"diverged: the output is no picture ({error})") from None
    done = time.perf_counter()
    parameters = network.parameters()
    return Trained(
        quality=mean_quality([one.quality for one in measured]),
        params=sum(value.size for value in parameters.values()),
        seconds=Seconds(compiled - started, trained - compiled, done - trained),
        curve=tuple((point.step, point.loss) for point in curve),
        weights=checkpoint_bytes(parameters, spec),
        picture=measured[0].sr,
        kernels=network.kernels,
        cost=NOT_MEASURED if cost is None else measure_cost(network, spec.in_channels, cost),
    )


def release_memory() -> None:
    """Give back what a network took that is no longer used. MindSpore keeps a part of what it has compiled."""
    import ctypes

    gc.collect()
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None:
        mindspore.ms_memory_recycle()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        # Another C library: nothing to trim.
        return
