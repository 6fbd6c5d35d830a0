"""What is reported of a trained network: quality on sets of pictures beside bicubic, and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from esr_ray.data.crops import PicturePair
from esr_ray.errors import UserError
from esr_ray.inference.load import Loaded
from esr_ray.inference.measure import Measured, compile_for, measure, measure_bicubic
from esr_ray.inference.result import Evaluated, Figures, InferenceCost, SetFigures
from esr_ray.metrics import ssim
from esr_ray.space.counts import mult_adds_720p, network_cost

Keep = Callable[[str, list[Measured]], None]
Pictures = Sequence[tuple[str, Sequence[PicturePair]]]
"""Sets by name."""


def evaluate_bicubic(scale: int, pictures: Pictures, keep: Keep = lambda name, measured: None) -> Evaluated:
    """Bicubic enlargement on sets of pictures. `keep` is given each set's name and pictures."""
    sets = []
    for name, pairs in pictures:
        measured = measure_bicubic(pairs, scale)
        sets.append(_figures(name, measured, pairs, scale))
        keep(name, measured)
    return Evaluated("bicubic", (), 0, 0, None, None, "", tuple(sets))


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
    spec = network.spec
    sets = []
    for label, pairs in pictures:
        compile_for(network.predictor, pairs)
        try:
            measured = measure(network.predictor, pairs, spec.scale)
        except ValueError as error:
            raise UserError(f"{network.origin}: the output is no picture: {error}; its training diverged") from None
        sets.append(_figures(label, measured, pairs, spec.scale))
        keep(label, measured)
    cost = network_cost(spec.arch, spec.base_channels, spec.scale)
    mult_adds = mult_adds_720p(cost, spec.scale) * network.repeats
    latency, memory = (inference.latency_s, inference.memory_mb) if inference is not None else (None, None)
    kernels = network.predictor.kernels
    return Evaluated(name, spec.arch, cost.params, mult_adds, latency, memory, kernels, tuple(sets))


def _figures(name: str, measured: list[Measured], pairs: Sequence[PicturePair], scale: int) -> SetFigures:
    pictures = tuple(
        Figures(
            one.name, one.quality.psnr_y, one.quality.ssim_y, one.quality.psnr_rgb, ssim(one.sr, pair.hr, scale, False)
        )
        for one, pair in zip(measured, pairs, strict=True)
    )
    return SetFigures(name, pictures)
