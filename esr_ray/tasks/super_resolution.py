"""Super-resolution of RGB, or of luminance alone; the degradation is MATLAB's bicubic, and so is the baseline."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from esr_ray.data.resize import upscale
from esr_ray.metrics import from_ycbcr, to_uint8, to_ycbcr
from esr_ray.tasks.task import F32, U8, Task


def super_resolution(settings: dict[str, Any], scale: int, colour: str) -> Task:
    """The task of enlarging pictures.

    With `colour` luminance a network has one channel, Y of BT.601, and bicubic enlarges the colours, as is done where a
    network has to be small (FSRCNN: Dong et al. 2016, section 3; SESR: Bhardwaj et al. 2022).
    """
    of_luminance = colour == "luminance"
    return Task(
        settings=settings,
        scale=scale,
        in_channels=1 if of_luminance else 3,
        out_channels=1 if of_luminance else 3,
        border=scale,
        baseline_name="bicubic",
        prepare=_both_luminance if of_luminance else _as_they_are,
        given=_luminance if of_luminance else _rgb,
        complete=partial(_with_colours, scale=scale) if of_luminance else _as_picture,
        baseline=partial(upscale, scale=scale),
    )


def _as_they_are(lr: F32, hr: F32) -> tuple[F32, F32]:
    return lr, hr


def _both_luminance(lr: F32, hr: F32) -> tuple[F32, F32]:
    return to_ycbcr(lr, axis=1)[:, :1], to_ycbcr(hr, axis=1)[:, :1]


def _rgb(picture: U8) -> F32:
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def _luminance(picture: U8) -> F32:
    return to_ycbcr(_rgb(picture), axis=0)[:1]


def _as_picture(output: F32, picture: U8) -> U8:
    return to_uint8(output.transpose(1, 2, 0))


def _with_colours(output: F32, picture: U8, scale: int) -> U8:
    colours = to_ycbcr(_rgb(upscale(picture, scale)), axis=0)[1:]
    return to_uint8(from_ycbcr(np.concatenate([output, colours]), axis=0).transpose(1, 2, 0))
