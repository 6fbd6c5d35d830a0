"""What is reported of a trained network: quality on sets of pictures, and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.config.schema import TrainingConfig
from esr_ray.data.crops import PicturePair
from esr_ray.errors import UserError
from esr_ray.metrics import ssim
from esr_ray.space.counts import mult_adds_720p, network_cost
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.checkpoint import load_checkpoint
from esr_ray.training.ensemble import SelfEnsemble
from esr_ray.training.evaluation import Measured, compile_for, measure, measure_bicubic
from esr_ray.training.network import NetworkMaker, Predictor
from esr_ray.training.result import Evaluated, Figures, InferenceCost, SetFigures

Keep = Callable[[str, list[Measured]], None]


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


@dataclass(frozen=True)
class Loaded:
    """A checkpoint's network, ready to enlarge pictures: with a self-ensemble the `predictor` is that."""

    spec: NetworkSpec
    predictor: Predictor
    kernels: str


def load_network(checkpoint: Path, make: NetworkMaker, self_ensemble: bool = False) -> Loaded:
    """Build a checkpoint's network and load its weights.

    Raises UserError for a checkpoint that is damaged, names unknown blocks, or does not fit the network that it names.
    """
    parameters, spec = load_checkpoint(checkpoint)
    # One step: nothing is trained, so no table of rates is needed.
    try:
        network = make(spec, TrainingConfig(steps=1), seed=0)
        network.load(parameters)
    except UserError as error:
        raise UserError(
            f"{checkpoint}: its network cannot be built: {error}; block types of a run are found where the checkpoint "
            "lies in the run's folder"
        ) from None
    except ValueError as error:
        raise UserError(f"{checkpoint}: its weights are not those of the network that it names: {error}") from None
    return Loaded(spec, SelfEnsemble(network) if self_ensemble else network, network.kernels)


def evaluate_network(
    name: str,
    checkpoint: Path,
    pictures: Sequence[tuple[str, Sequence[PicturePair]]],
    make: NetworkMaker,
    self_ensemble: bool = False,
    keep: Keep = lambda name, measured: None,
    inference: InferenceCost | None = None,
) -> Evaluated:
    """A checkpoint's network on sets of pictures. `keep` is given each set's name and pictures.

    Raises UserError as `load_network` does, and where the output is not finite.
    """
    loaded = load_network(checkpoint, make, self_ensemble)
    spec = loaded.spec
    sets = []
    for label, pairs in pictures:
        compile_for(loaded.predictor, pairs)
        try:
            measured = measure(loaded.predictor, pairs, spec.scale)
        except ValueError as error:
            raise UserError(f"{checkpoint}: the output is no picture: {error}; its training diverged") from None
        sets.append(_figures(label, measured, pairs, spec.scale))
        keep(label, measured)
    cost = network_cost(spec.arch, spec.base_channels, spec.scale)
    mult_adds = mult_adds_720p(cost, spec.scale) * (8 if self_ensemble else 1)
    latency, memory = (inference.latency_s, inference.memory_mb) if inference is not None else (None, None)
    return Evaluated(name, spec.arch, cost.params, mult_adds, latency, memory, loaded.kernels, tuple(sets))


def _figures(name: str, measured: list[Measured], pairs: Sequence[PicturePair], scale: int) -> SetFigures:
    pictures = tuple(
        Figures(
            one.name, one.quality.psnr_y, one.quality.ssim_y, one.quality.psnr_rgb, ssim(one.sr, pair.hr, scale, False)
        )
        for one, pair in zip(measured, pairs, strict=True)
    )
    return SetFigures(name, pictures)
