"""What is reported of a trained network: quality on sets of pictures beside the baseline, and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from esr_ray.data.crops import PicturePair
from esr_ray.errors import UserError
from esr_ray.inference.load import Loaded
from esr_ray.inference.measure import Measured, compile_for, measure, measure_baseline
from esr_ray.inference.result import Evaluated, Figures, InferenceCost, SetFigures
from esr_ray.metrics import ssim
from esr_ray.space.counts import mult_adds_720p, spec_cost
from esr_ray.tasks.task import Baseline, Task

Keep = Callable[[str, list[Measured]], None]
Pictures = Sequence[tuple[str, Sequence[PicturePair]]]
"""Sets by name."""


def evaluate_baseline(
    task: Task,
    pictures: Pictures,
    keep: Keep = lambda name, measured: None,
    baseline: Baseline | None = None,
) -> Evaluated:
    """What there is without a network, on sets of pictures: the task's first baseline, if none is given.

    `keep` is given each set's name and pictures.
    """
    baseline = baseline or task.baseline
    sets = []
    for name, pairs in pictures:
        measured = measure_baseline(pairs, task, baseline)
        sets.append(_figures(name, measured, pairs, task))
        keep(name, measured)
    return Evaluated(baseline.name, (), 0, 0, None, None, "", tuple(sets))


def evaluate_network(
    name: str,
    network: Loaded,
    pictures: Pictures,
    keep: Keep = lambda name, measured: None,
    inference: InferenceCost | None = None,
) -> Evaluated:
    """A network on sets of pictures. `keep` is given each set's name and pictures.

    Raises UserError where the output is not finite.
    """
    spec, task = network.spec, network.task
    sets = []
    for label, pairs in pictures:
        compile_for(network.predictor, pairs, task)
        try:
            measured = measure(network.predictor, pairs, task)
        except ValueError as error:
            raise UserError(f"{network.origin}: the output is no picture: {error}; its training diverged") from None
        sets.append(_figures(label, measured, pairs, task))
        keep(label, measured)
    cost = spec_cost(spec)
    mult_adds = mult_adds_720p(cost, spec.scale) * network.repeats
    latency, memory = (inference.latency_s, inference.memory_mb) if inference is not None else (None, None)
    kernels = network.predictor.kernels
    return Evaluated(name, spec.arch, cost.params, mult_adds, latency, memory, kernels, tuple(sets))


def _figures(name: str, measured: list[Measured], pairs: Sequence[PicturePair], task: Task) -> SetFigures:
    ssims = [ssim(one.sr, pair.hr, task.border, False) for one, pair in zip(measured, pairs, strict=True)]
    pictures = tuple(
        Figures(one.name, one.quality.psnr_y, one.quality.ssim_y, one.quality.psnr_rgb, rgb, one.quality.score)
        for one, rgb in zip(measured, ssims, strict=True)
    )
    return SetFigures(name, pictures)
