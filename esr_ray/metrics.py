"""PSNR and SSIM as papers on super-resolution report them: the one metric of search, evaluation and benchmarks.

Conventions: pictures are uint8 RGB; a border of `scale` pixels is cropped; Y is BT.601 as MATLAB's `rgb2ycbcr`, not
rounded; a network's output is clipped and rounded to 8 bits first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


Score = Callable[[U8, U8], float]
"""A user's own figure of an output and its original, both (H, W, 3): the higher the better."""


@dataclass(frozen=True)
class Quality:
    """How close a picture (or a mean over pictures) comes to its original: PSNR in dB, SSIM at most 1, and a user's
    own score if there is one. `by` names the figure that networks are judged by."""

    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    by: str = "psnr_y"
    score: float | None = None

    @property
    def fitness(self) -> float:
        """That figure: PSNR on Y, PSNR over R, G and B, or the user's score."""
        value: float = getattr(self, self.by)
        return value


@dataclass(frozen=True)
class FigureName:
    """What a figure is called, and its unit with a space before it."""

    short: str
    unit: str = ""

    @property
    def column(self) -> str:
        """The head of a column, or of an axis."""
        return f"{self.short},{self.unit}" if self.unit else self.short


FIGURES = {
    "psnr_y": FigureName("PSNR-Y", " dB"),
    "psnr_rgb": FigureName("PSNR-RGB", " dB"),
    "score": FigureName("score"),
}
"""Every figure that networks may be judged by."""


def to_uint8(x: NDArray[np.floating[Any]]) -> U8:
    """Clip `x` (any shape, nominally 0..1) and round it to 0..255, halves up; ValueError where it is not finite."""
    return to_levels(x, np.dtype(np.uint8))


def to_levels(x: NDArray[np.floating[Any]], kind: np.dtype[Any]) -> NDArray[Any]:
    """As `to_uint8`, to all levels of another unsigned `kind`, such as uint16: 0..65535."""
    if not np.isfinite(x).all():
        raise ValueError("the picture holds NaN or infinity")
    values = np.clip(x, 0.0, 1.0)
    values *= np.iinfo(kind).max
    values += 0.5
    # Truncating is rounding down: nothing is negative.
    return values.astype(kind)


def luminance(picture: U8) -> NDArray[np.float64]:
    """Return Y (H, W) in 16..235 of an RGB picture (H, W, 3): ITU-R BT.601 as MATLAB's `rgb2ycbcr`, not rounded."""
    # Written out, not as a matrix product: that may round differently with another BLAS.
    red, green, blue = (picture[..., channel].astype(np.float64) for channel in range(3))
    return 16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0


YCBCR_FROM_RGB = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
RGB_FROM_YCBCR = np.linalg.inv(YCBCR_FROM_RGB)
YCBCR_OFFSET = np.array([16.0, 128.0, 128.0]) / 255


def to_ycbcr(rgb: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Y, Cb and Cr (float32, nominally 16/255 to 240/255) of RGB in [0, 1]; `axis` holds the three channels.

    ITU-R BT.601 as MATLAB's `rgb2ycbcr`, not rounded: Y is `luminance` over 255.
    """
    offset = np.expand_dims(YCBCR_OFFSET, tuple(range(1, rgb.ndim)))
    return np.moveaxis(np.tensordot(YCBCR_FROM_RGB, rgb, (1, axis)) + offset, 0, axis).astype(np.float32)


def psnr(a: U8, b: U8, border: int, luma: bool) -> float:
    """Return 10·log10(255²/MSE) in dB of two pictures (H, W, 3), infinite where they are equal.

    `border` pixels are cropped on each side; `luma` compares Y, otherwise the mean is taken over R, G and B.
    ValueError where shapes differ or nothing is left.
    """
    a, b = _cropped(a, b, border)
    difference = luminance(a) - luminance(b) if luma else a.astype(np.float64) - b.astype(np.float64)
    error = float(np.mean(difference**2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(a: U8, b: U8, border: int, luma: bool) -> float:
    """Return the mean SSIM of Wang et al. (IEEE TIP 2004): Gaussian window, sigma 1.5, range 255.

    Arguments and errors as for `psnr`; for RGB the mean over the channels. Needs 11 pixels a side after cropping;
    smaller pictures give NaN, which is said rather than a made-up figure.
    """
    # Imported late: it pulls in SciPy, which commands that measure nothing need not wait for.
    from skimage.metrics import structural_similarity

    a, b = _cropped(a, b, border)
    if min(a.shape[:2]) < 11:
        return float("nan")
    first, second = (luminance(a), luminance(b)) if luma else (a, b)
    return float(
        structural_similarity(
            first,
            second,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=None if luma else 2,
        )
    )


MAX_PSNR = 100.0
"""What a picture that is reproduced exactly counts as, so that means and rankings stay finite."""


def quality(sr: U8, hr: U8, border: int, by: str = "psnr_y", score: Score | None = None) -> Quality:
    """Compare a network's picture with its original, both uint8 (H, W, 3); PSNR is MAX_PSNR at most."""
    psnr_y, psnr_rgb = (min(MAX_PSNR, psnr(sr, hr, border, luma)) for luma in (True, False))
    own = None if score is None else score(*_cropped(sr, hr, border))
    return Quality(psnr_y, psnr_rgb, ssim(sr, hr, border, True), by, own)


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """Return the mean of each figure over pictures; ValueError where there is none."""
    if not qualities:
        raise ValueError("no picture was measured")
    psnr_y, psnr_rgb, ssim_y = (
        float(np.mean([getattr(one, name) for one in qualities])) for name in ("psnr_y", "psnr_rgb", "ssim_y")
    )
    scores = [one.score for one in qualities if one.score is not None]
    score = float(np.mean(scores)) if scores else None
    return Quality(psnr_y, psnr_rgb, ssim_y, qualities[0].by, score)


def _cropped(a: U8, b: U8, border: int) -> tuple[U8, U8]:
    for picture in (a, b):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"a picture is uint8 (H, W, 3), got {picture.dtype} {picture.shape}")
    if a.shape != b.shape:
        raise ValueError(f"pictures differ in size: {a.shape[:2]} and {b.shape[:2]}")
    if border < 0 or min(a.shape[:2]) <= 2 * border:
        raise ValueError(f"a border of {border} leaves nothing of a picture of {a.shape[:2]}")
    inner = (slice(border, a.shape[0] - border), slice(border, a.shape[1] - border))
    return a[inner], b[inner]
