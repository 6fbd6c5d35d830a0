"""Figures of networks as they are written down."""

import pytest

from esr_ray.inference.result import Evaluated, Figures, SetFigures, beside


def evaluated(name, *sets):
    return Evaluated(name, (), 0, 0, None, None, "", sets)


def test_figures_stand_beside_the_baselines_by_set_and_picture():
    ours = SetFigures("test", (Figures("cat", 30.0, 0.9, 29.0, 0.8), Figures("dog", 32.0, 0.7, 31.0, 0.6)))
    theirs = SetFigures("test", (Figures("cat", 28.0, 0.8, 27.0, 0.7), Figures("dog", 29.0, 0.6, 28.0, 0.5)))
    (found,) = beside(evaluated("network", ours), evaluated("bicubic", theirs))
    assert list(found) == ["name", "network", "baseline", "pictures"]
    assert found["name"] == "test"
    assert found["network"] == pytest.approx({"psnr_y": 31.0, "ssim_y": 0.8, "psnr_rgb": 30.0, "ssim_rgb": 0.7})
    assert found["baseline"]["psnr_y"] == 28.5
    assert [one["name"] for one in found["pictures"]] == ["cat", "dog"]
    assert found["pictures"][1]["network"] == {"psnr_y": 32.0, "ssim_y": 0.7, "psnr_rgb": 31.0, "ssim_rgb": 0.6}
    assert found["pictures"][0]["baseline"]["psnr_y"] == 28.0


def test_what_was_measured_on_different_sets_is_not_put_beside_each_other():
    one = SetFigures("test", (Figures("cat", 30.0, 0.9, 29.0, 0.8),))
    with pytest.raises(ValueError, match="zip"):
        beside(evaluated("network", one), evaluated("bicubic", one, one))
