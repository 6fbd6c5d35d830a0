"""The full training of one network, and its report on the test set and the benchmarks, beside bicubic."""

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
from esr_ray.training.network import TrainableNetwork
from esr_ray.training.plain import PlainNetwork
from esr_ray.training.result import FullyTrained, PictureReport, Seconds, SetReport


def train_fully(
    spec: NetworkSpec,
    config: TrainingConfig,
    train_pairs: Sequence[PicturePair],
    report_sets: Sequence[tuple[str, Sequence[PicturePair]]],
    seed: int,
    report: Callable[[CurvePoint], None] | None = None,
) -> FullyTrained:
    """Train a network for the whole of `config` and measure it on each of `report_sets`, (name, pictures).

    Raises Diverged where the loss is no number.
    """
    started = time.perf_counter()
    network = PlainNetwork(spec, config, seed)
    network.compile(*sample_batch(train_pairs, seed, 1, config.batch_size, config.crop_size, spec.scale))
    compiled = time.perf_counter()
    curve = train(network, train_pairs, config, spec.scale, seed, report)
    trained = time.perf_counter()
    sets = tuple(report_on(network, name, pairs, spec.scale) for name, pairs in report_sets)
    done = time.perf_counter()
    return FullyTrained(
        sets=sets,
        seconds=Seconds(compiled - started, trained - compiled, done - trained),
        curve=tuple((point.step, point.loss) for point in curve),
        weights=checkpoint_bytes(network.parameters(), spec),
    )


def report_again(
    spec: NetworkSpec,
    config: TrainingConfig,
    weights: bytes,
    report_sets: Sequence[tuple[str, Sequence[PicturePair]]],
    seed: int,
) -> FullyTrained:
    """Measure a network that was trained before, from its checkpoint, on each of `report_sets`."""
    started = time.perf_counter()
    network = PlainNetwork(spec, config, seed)
    network.load(checkpoint_from_bytes(weights)[0])
    loaded = time.perf_counter()
    sets = tuple(report_on(network, name, pairs, spec.scale) for name, pairs in report_sets)
    return FullyTrained(sets, Seconds(loaded - started, 0.0, time.perf_counter() - loaded), (), weights)


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
