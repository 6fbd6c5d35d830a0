"""PSNR, SSIM and luminance: against scikit-image, against published conventions, and at their edges."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from esr_ray.metrics import MAX_PSNR, Quality, luminance, mean_quality, psnr, quality, ssim, to_uint8


def pictures(seed: int, size: tuple[int, int] = (24, 31)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    b = np.clip(a + rng.integers(-20, 21, a.shape), 0, 255).astype(np.uint8)
    return a, b


def test_luminance_is_matlabs_rgb2ycbcr():
    a, _ = pictures(0)
    np.testing.assert_allclose(luminance(a), color.rgb2ycbcr(a)[..., 0], atol=1e-9)
    assert luminance(np.full((1, 1, 3), 255, np.uint8))[0, 0] == pytest.approx(235)
    assert luminance(np.zeros((1, 1, 3), np.uint8))[0, 0] == 16


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4))
def test_psnr_and_ssim_are_scikit_images(seed, border):
    a, b = pictures(seed)
    inner = (slice(border, 24 - border), slice(border, 31 - border))
    ya, yb = (color.rgb2ycbcr(x)[..., 0][inner] for x in (a, b))
    assert psnr(a, b, border, True) == pytest.approx(peak_signal_noise_ratio(ya, yb, data_range=255))
    assert psnr(a, b, border, False) == pytest.approx(peak_signal_noise_ratio(a[inner], b[inner], data_range=255))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert ssim(a, b, border, True) == pytest.approx(structural_similarity(ya, yb, **options))
    expected = structural_similarity(a[inner], b[inner], channel_axis=2, **options)
    assert ssim(a, b, border, False) == pytest.approx(expected)


def test_equal_pictures_have_infinite_psnr_but_a_finite_quality():
    """Means and rankings of qualities must stay finite: a flat crop is easily reproduced exactly."""
    a, _ = pictures(1)
    assert psnr(a, a, 2, True) == math.inf
    assert quality(a, a, 2) == Quality(MAX_PSNR, MAX_PSNR, pytest.approx(1.0))


def test_the_border_is_not_counted():
    a, _ = pictures(2)
    b = a.copy()
    b[:2] ^= 255
    b[:, -2:] ^= 255
    assert psnr(a, b, 2, True) == math.inf
    assert psnr(a, b, 1, True) < 30


def test_output_is_clipped_and_rounded_half_up():
    x = np.array([-0.2, 0.0, 0.5 / 255, 0.49 / 255, 254.5 / 255, 1.0, 1.7])
    assert to_uint8(x).tolist() == [0, 0, 1, 0, 255, 255, 255]
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(np.array([np.nan]))


def test_every_8_bit_value_survives_float32():
    levels = np.arange(256, dtype=np.uint8)
    assert (to_uint8(levels.astype(np.float32) / np.float32(255)) == levels).all()


def test_wrong_pictures_are_refused():
    a, b = pictures(3)
    with pytest.raises(ValueError, match="differ in size"):
        psnr(a, b[:-1], 0, True)
    with pytest.raises(ValueError, match="uint8"):
        psnr(a.astype(float), b, 0, True)
    with pytest.raises(ValueError, match="leaves nothing"):
        psnr(a, b, 12, True)


def test_ssim_of_a_tiny_picture_is_said_to_be_unknown():
    a, b = pictures(4, (12, 40))
    assert math.isnan(ssim(a, b, 2, True))


def test_mean_is_over_pictures():
    assert mean_quality([Quality(30, 28, 0.9), Quality(34, 30, 0.7)]) == Quality(32, 29, pytest.approx(0.8))
    with pytest.raises(ValueError, match="no picture"):
        mean_quality([])


def test_no_mindspore_or_ray_is_imported():
    folder = Path(__file__).resolve().parents[1] / "esr_ray"
    for path in [folder / "metrics.py", folder / "randomness.py", *(folder / "data").glob("*.py")]:
        text = path.read_text()
        for words in ("import mindspore", "from mindspore", "import ray", "from ray"):
            assert words not in text, path
