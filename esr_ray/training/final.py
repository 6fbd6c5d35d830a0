"""The full training of one network, and its report on sets of pictures, beside bicubic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from esr_ray.config.schema import TrainingConfig
from esr_ray.data.crops import PicturePair, sample_batch
from esr_ray.metrics import mean_quality
from esr_ray.networks.spec import NetworkSpec
from esr_ray.training.checkpoint import checkpoint_bytes, checkpoint_from_bytes
from esr_ray.training.evaluation import compile_for, measure, measure_bicubic
from esr_ray.training.loop import CurvePoint, train
from esr_ray.training.network import NetworkMaker, TrainableNetwork
from esr_ray.training.plain import PlainNetwork
from esr_ray.training.result import FullyTrained, PictureReport, Seconds, SetReport


def train_fully(
    spec: NetworkSpec,
    config: TrainingConfig,
    train_pairs: Sequence[PicturePair],
    seed: int,
    report: Callable[[CurvePoint], None] | None = None,
    make: NetworkMaker = PlainNetwork,
) -> FullyTrained:
    """Train a network for the whole of `config`. Raises Diverged where the loss is no number."""
    started = time.perf_counter()
    network = make(spec, config, seed)
    network.compile(*sample_batch(train_pairs, seed, 1, config.batch_size, config.crop_size, spec.scale))
    compiled = time.perf_counter()
    curve = train(network, train_pairs, config, spec.scale, seed, report)
    done = time.perf_counter()
    return FullyTrained(
        seconds=Seconds(compiled - started, done - compiled, 0.0),
        curve=tuple((point.step, point.loss) for point in curve),
        weights=checkpoint_bytes(network.parameters(), spec),
        kernels=network.kernels,
    )


def report_on_checkpoint(
    weights: bytes,
    config: TrainingConfig,
    sets: Sequence[tuple[str, Sequence[PicturePair]]],
    make: NetworkMaker = PlainNetwork,
) -> tuple[SetReport, ...]:
    """Measure a checkpoint's network, and bicubic, on sets of whole pictures, (name, pictures).

    Raises UserError for a damaged checkpoint.
    """
    parameters, spec = checkpoint_from_bytes(weights)
    # One step: nothing is trained, so no table of rates is needed.
    network = make(spec, config.model_copy(update={"steps": 1}), seed=0)
    network.load(parameters)
    return tuple(report_on(network, name, pairs, spec.scale) for name, pairs in sets)


def report_on(network: TrainableNetwork, name: str, pairs: Sequence[PicturePair], scale: int) -> SetReport:
    """Measure a network and bicubic on a set of whole pictures."""
    compile_for(network, pairs)
    ours, theirs = measure(network, pairs, scale), measure_bicubic(pairs, scale)
    pictures = tuple(
        PictureReport(one.name, one.quality, other.quality) for one, other in zip(ours, theirs, strict=True)
    )
    return SetReport(
        name,
        mean_quality([one.network for one in pictures]),
        mean_quality([one.bicubic for one in pictures]),
        pictures,
    )
