"""Super-resolution of RGB, or of luminance alone; the degradation is MATLAB's bicubic, and so is the baseline."""

from __future__ import annotations

from functools import partial
from typing import Any

from esr_ray.data.crops import PicturePair
from esr_ray.data.resize import upscale
from esr_ray.metrics import to_ycbcr
from esr_ray.tasks.pixels import as_rgb, completed, luminance_of, with_luminance
from esr_ray.tasks.task import F32, U8, Baseline, Draw, Levels, Task


def super_resolution(settings: dict[str, Any], scale: int, colour: str) -> Task:
    """The task of enlarging pictures.

    With `colour` luminance a network has one channel, Y of BT.601, and bicubic enlarges the colours, as is done where a
    network has to be small (FSRCNN: Dong et al. 2016, section 3; SESR: Bhardwaj et al. 2022).
    """
    of_luminance = colour == "luminance"
    given = _luminance if of_luminance else as_rgb
    return Task(
        settings=settings,
        title=f"x{scale}" + (" of luminance" if of_luminance else ""),
        scale=scale,
        in_channels=1 if of_luminance else 3,
        out_channels=1 if of_luminance else 3,
        border=scale,
        judged_by="psnr_y",
        baselines=(Baseline("bicubic", lambda pair: upscale(pair.lr, scale)),),
        prepare=_both_luminance if of_luminance else _as_they_are,
        degraded=lambda pair: given(pair.lr),
        given=given,
        complete=partial(_with_colours, scale=scale) if of_luminance else completed,
        shown=_small,
        input_name="LR",
        given_lr=True,
    )


def _as_they_are(lr: F32, hr: F32, draw: Draw) -> tuple[F32, F32]:
    return lr, hr


def _both_luminance(lr: F32, hr: F32, draw: Draw) -> tuple[F32, F32]:
    return to_ycbcr(lr, axis=1)[:, :1], to_ycbcr(hr, axis=1)[:, :1]


def _luminance(picture: Levels) -> F32:
    return luminance_of(picture)[None]


def _with_colours(output: F32, picture: Levels, scale: int) -> Levels:
    return with_luminance(upscale(picture, scale), output[0])


def _small(pair: PicturePair) -> U8:
    return pair.lr
