"""Resizing: the benchmark's LR pictures to the pixel, the baseline's figure, and what must hold for any picture."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr_ray.data.images import read_picture
from esr_ray.data.resize import downscale, upscale
from esr_ray.metrics import mean_quality, quality
from esr_ray.picture_files import list_pictures

SET5 = Path(__file__).resolve().parents[2] / "shared" / "data" / "set5"
needs_set5 = pytest.mark.skipif(not SET5.is_dir(), reason="Set5 is not part of the project: ../shared is not there")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_axis(row: np.ndarray, count: int, ratio: Fraction) -> np.ndarray:
    """imresize of one row (L, C) to `count` pixels, straight from its definition, in fractions."""

    def cubic(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x < 2 else Fraction(0)

    stretch = min(ratio, Fraction(1))
    result = np.empty((count, row.shape[1]), np.uint8)
    for i in range(count):
        centre = (i + Fraction(1, 2)) / ratio - Fraction(1, 2)
        around = range(int(centre - 2 / stretch) - 2, int(centre + 2 / stretch) + 3)
        weights = {k: cubic((k - centre) * stretch) for k in around}
        total = sum(weights.values())
        for c in range(row.shape[1]):
            value = sum(w * int(row[min(max(k, 0), len(row) - 1), c]) for k, w in weights.items()) / total
            result[i, c] = min(255, max(0, (value + Fraction(1, 2)).__floor__()))
    return result


def slowly(picture: np.ndarray, ratio: Fraction) -> np.ndarray:
    height, width = int(picture.shape[0] * ratio), int(picture.shape[1] * ratio)
    tall = np.stack([slow_axis(picture[:, x], height, ratio) for x in range(picture.shape[1])], axis=1)
    return np.stack([slow_axis(line, width, ratio) for line in tall])


@needs_set5
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_low_resolution_pictures_are_reproduced_to_the_pixel(scale):
    for path in list_pictures(SET5 / f"HR_x{scale}"):
        given_lr = read_picture(SET5 / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png").pixels
        np.testing.assert_array_equal(downscale(read_picture(path).pixels, scale), given_lr)


@needs_set5
def test_bicubic_baseline_has_the_published_psnr_on_set5():
    found = []
    for path in list_pictures(SET5 / "HR_x2"):
        hr = read_picture(path).pixels
        found.append(quality(upscale(downscale(hr, 2), 2), hr, 2))
    assert mean_quality(found).psnr_y == pytest.approx(33.67, abs=0.01)
    assert mean_quality(found).psnr_rgb == pytest.approx(31.79, abs=0.01)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_both_directions_follow_the_definition(scale):
    hr = noise(3 * scale, 2 * scale, scale)
    np.testing.assert_array_equal(downscale(hr, scale), slowly(hr, Fraction(1, scale)))
    lr = noise(4, 3, scale)
    np.testing.assert_array_equal(upscale(lr, scale), slowly(lr, Fraction(scale)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 255), st.integers(1, 4))
def test_flat_pictures_stay_flat(scale, height, width, level, channels):
    flat = np.full((height, width, channels), level, np.uint8)
    enlarged = upscale(flat, scale)
    assert enlarged.shape == (height * scale, width * scale, channels)
    assert (enlarged == level).all()
    np.testing.assert_array_equal(downscale(enlarged, scale), flat)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_mirrored_pictures_give_mirrored_results(scale, height, width, seed):
    hr = noise(height * scale, width * scale, seed)
    np.testing.assert_array_equal(downscale(hr[::-1, ::-1], scale), downscale(hr, scale)[::-1, ::-1])
    lr = noise(height, width, seed)
    np.testing.assert_array_equal(upscale(lr[::-1, ::-1], scale), upscale(lr, scale)[::-1, ::-1])


def test_sizes_that_do_not_divide_and_other_types_are_refused():
    with pytest.raises(ValueError, match="multiple of 2"):
        downscale(noise(4, 5), 2)
    with pytest.raises(ValueError, match="uint8"):
        upscale(noise(4, 4).astype(np.float32), 2)
    with pytest.raises(ValueError, match="scale"):
        upscale(noise(4, 4), 0)


def test_the_input_is_not_changed():
    hr = noise(8, 8)
    before = hr.copy()
    hr.flags.writeable = False
    downscale(hr, 2)
    upscale(hr, 2)
    np.testing.assert_array_equal(hr, before)
