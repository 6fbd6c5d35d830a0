"""What measuring a network hands back, as plain data that needs neither Ray nor MindSpore to be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class Figures:
    """One picture, or the mean of a set: PSNR in dB, SSIM, and the user's own score if the task has one."""

    name: str
    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    score: float | None = None


@dataclass(frozen=True)
class SetFigures:
    """One set of pictures."""

    name: str
    pictures: tuple[Figures, ...]

    @property
    def mean(self) -> Figures:
        columns = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb")
        means = {column: fmean(getattr(one, column) for one in self.pictures) for column in columns}
        scores = [one.score for one in self.pictures if one.score is not None]
        return Figures("mean", **means, score=fmean(scores) if scores else None)


@dataclass(frozen=True)
class InferenceCost:
    """What one output of 1280x720 costs: seconds (median), and memory in MB.

    Memory is resident on CPU, the device's on Ascend: by how much the peak of a process that does nothing else lies
    above what it had in use before the network was built.
    """

    latency_s: float
    memory_mb: float


@dataclass(frozen=True)
class Evaluated:
    """One network, or the baseline (without an arch). Mult-adds are of a 1280x720 output; latency and memory are those
    of `InferenceCost`."""

    name: str
    arch: tuple[str, ...]
    params: int
    mult_adds: int
    latency_s: float | None
    memory_mb: float | None
    kernels: str
    sets: tuple[SetFigures, ...]


def beside(network: Evaluated, baseline: Evaluated) -> list[dict[str, Any]]:
    """A network's figures beside the baseline's on the same pictures, as a run's journal and `result.json` have them:
    for each set `name`, `network` and `baseline` (means), and `pictures` with the same three."""
    sets = []
    for ours, theirs in zip(network.sets, baseline.sets, strict=True):
        pictures = [_pair(*both) for both in zip(ours.pictures, theirs.pictures, strict=True)]
        sets.append(_pair(ours.mean, theirs.mean) | {"name": ours.name, "pictures": pictures})
    return sets


def _pair(network: Figures, baseline: Figures) -> dict[str, Any]:
    return {"name": network.name, "network": _numbers(network), "baseline": _numbers(baseline)}


def _numbers(one: Figures) -> dict[str, float]:
    return {key: value for key, value in asdict(one).items() if key != "name" and value is not None}
