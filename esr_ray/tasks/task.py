"""What networks are for, as one value: what a network is given, what it should give, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esr_ray.data.crops import PicturePair
from esr_ray.metrics import Score

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Levels = NDArray[Any]
"""Pixels of a user's picture: uint8, or uint16 where it has 16 bits."""


@dataclass(frozen=True)
class Draw:
    """Which crops a batch holds: those of a training's seed and step, from the `first` of the whole batch on. What is
    drawn for a crop depends on these alone."""

    seed: int
    step: int
    first: int


@dataclass(frozen=True)
class Baseline:
    """What there is without a network: its name, and the picture that it makes of a pair's input."""

    name: str
    of: Callable[[PicturePair], U8]


@dataclass(frozen=True)
class Task:
    """One task. Pictures are uint8 RGB (H, W, 3); what networks are given and give is float32, nominally in [0, 1].

    | field | what it is |
    |---|---|
    | `settings` | what it was made from (`task` of a configuration), so that a checkpoint can say what it is for |
    | `title` | it in a few words |
    | `scale` | pixels of a side of the output for each of the input |
    | `cell` | pixels of a side of a user's picture for each of the input: 2 of a mosaic, which is packed |
    | `border` | pixels at each side of a picture that are not measured |
    | `judged_by` | the figure of quality that is fitness: psnr_y, psnr_rgb, or score |
    | `baselines` | what networks are compared with, the first above all |
    | `prepare(lr, hr, draw)` | batches of RGB crops (B, 3, h, w) and (B, 3, H, W) as the network trains on them |
    | `degraded(pair)` | what a network is given of a pair of pictures that it is measured on, (in_channels, h, w) |
    | `given(picture)` | what a network is given of a user's picture, (h, w, 3), or of a mosaic (h, w, 1) |
    | `complete(output, picture)` | the picture that a network's output (out_channels, H, W) for `picture` makes |
    | `given_lr` | whether it is the LR picture of a pair that a network is given, else it is made from HR |
    | `shown(pair)` | that input as a picture to look at, uint8 (h', w', 3), and `input_name` |
    | `score` | a user's own figure |
    """

    settings: dict[str, Any]
    title: str
    scale: int
    in_channels: int
    out_channels: int
    border: int
    judged_by: str
    baselines: tuple[Baseline, ...]
    prepare: Callable[[F32, F32, Draw], tuple[F32, F32]]
    degraded: Callable[[PicturePair], F32]
    given: Callable[[Levels], F32]
    complete: Callable[[F32, Levels], Levels]
    shown: Callable[[PicturePair], U8]
    input_name: str
    given_lr: bool = False
    score: Score | None = None
    cell: int = 1

    @property
    def name(self) -> str:
        """What configurations and commands call it, such as denoising."""
        return str(self.settings["name"])

    @property
    def enlargement(self) -> int:
        """How many times as large a user's picture becomes, a side."""
        return self.scale // self.cell

    @property
    def of_mosaic(self) -> bool:
        """Whether it is given what a sensor behind a Bayer filter sees, and not pictures."""
        return self.cell > 1

    @property
    def baseline(self) -> Baseline:
        """The one that networks are compared with above all."""
        return self.baselines[0]
