"""Denoising of colour pictures: white Gaussian noise, the same on every machine and for every network."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from esr_ray.data.crops import PicturePair
from esr_ray.randomness import uniform
from esr_ray.tasks.pixels import as_picture, as_rgb, completed
from esr_ray.tasks.task import F32, U8, Baseline, Draw, Task

LEAST = 2.0**-54
"""Uniform numbers are multiples of twice this: zero itself has no normal deviate."""


def denoising(settings: dict[str, Any], sigma: tuple[float, float], clip: bool) -> Task:
    """The task of taking noise away whose standard deviation is `sigma` (of 255): from the first to the second number,
    drawn for each crop or picture.

    As in DnCNN (Zhang et al. 2017) the noisy picture is not rounded, and not clipped to what 8 bits hold unless `clip`
    says so. Quality is PSNR over R, G and B without a border.
    """
    low, high = sigma
    noisy = partial(_noisy, sigma=sigma, clip=clip)

    def degraded(pair: PicturePair) -> F32:
        # By the picture's name: every network is measured with the same noise.
        return noisy(as_rgb(pair.hr), 0, f"noise of {pair.name}")

    def prepare(lr: F32, hr: F32, draw: Draw) -> tuple[F32, F32]:
        crops = [noisy(crop, draw.seed, "noise", draw.step, draw.first + place) for place, crop in enumerate(hr)]
        return np.stack(crops), hr

    return Task(
        settings=settings,
        title=f"denoising, sigma {low:g}" + (f" to {high:g}" if high > low else ""),
        scale=1,
        in_channels=3,
        out_channels=3,
        border=0,
        judged_by="psnr_rgb",
        baselines=(
            Baseline("noisy", lambda pair: as_picture(degraded(pair))),
            Baseline("non-local means", lambda pair: _non_local_means(degraded(pair))),
        ),
        prepare=prepare,
        degraded=degraded,
        given=as_rgb,
        complete=completed,
        shown=lambda pair: as_picture(degraded(pair)),
        input_name="noisy",
    )


def _noisy(clean: F32, seed: int, purpose: str, *index: int, sigma: tuple[float, float], clip: bool) -> F32:
    """Values (C, H, W) in [0, 1] with noise; only uniform numbers are drawn, see `esr_ray.randomness`."""
    # Imported late: other tasks begin sooner without.
    from scipy.special import ndtri

    drawn = uniform((clean.size + 1,), seed, purpose, *index)
    low, high = sigma
    spread = (low + drawn[0] * (high - low)) / 255
    noise = ndtri(np.maximum(drawn[1:], LEAST)).reshape(clean.shape)
    found = (clean + spread * noise).astype(np.float32)
    return np.clip(found, 0, 1) if clip else found


def spread_of_noise(noisy: F32) -> float:
    """The standard deviation of white noise on a picture (C, H, W): that of its finest diagonal detail, in which there
    is little else, by the median (Donoho and Johnstone 1994)."""
    detail = (noisy[:, :-1, :-1] - noisy[:, :-1, 1:] - noisy[:, 1:, :-1] + noisy[:, 1:, 1:]) / 2
    return float(np.median(np.abs(detail)) / 0.6745)


def _non_local_means(noisy: F32) -> U8:
    """Buades, Coll and Morel 2005, in scikit-image's fast form, with the noise that it finds in the picture."""
    # Imported late: only evaluations need it.
    from skimage.restoration import denoise_nl_means

    picture, sigma = noisy.transpose(1, 2, 0), spread_of_noise(noisy)
    found = denoise_nl_means(
        picture, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=2
    )
    return as_picture(np.asarray(found, np.float32).transpose(2, 0, 1))
