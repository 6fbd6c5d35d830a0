"""Comparison pictures, and the charts that Pillow draws."""

from io import BytesIO

import numpy as np
import pytest
from pictures import enlarging, from_png
from PIL import Image

from esr_ray.data.crops import PicturePair
from esr_ray.data.resize import upscale
from esr_ray.metrics import psnr
from esr_ray.runs import pictures
from esr_ray.runs.charts import BLUE, HEIGHT, RED, WIDTH, Axis, Mark, axis_over, curves_chart, front_chart
from esr_ray.runs.pictures import GAP, SHOWN, comparison_picture, to_png, zoom_of


def parts_of(picture, rows, columns):
    """The four parts of a comparison without the bands above them, as they are shown; and the bands."""
    height, width = (picture.shape[0] - GAP) // 2, (picture.shape[1] - GAP) // 2
    zoom = width // columns
    band = height - rows * zoom
    corners = [(top, left) for top in (0, height + GAP) for left in (0, width + GAP)]
    shown = [picture[top + band : top + height, left : left + width] for top, left in corners]
    return shown, [picture[top : top + band, left : left + width] for top, left in corners], zoom


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_comparison_is_lr_and_bicubic_above_network_and_hr(scale):
    rng = np.random.default_rng(scale)
    lr = rng.integers(0, 256, (9, 7, 3), np.uint8)
    sr, hr = (rng.integers(0, 256, (9 * scale, 7 * scale, 3), np.uint8) for _ in range(2))
    picture = comparison_picture(PicturePair("p", hr, lr), sr, enlarging(scale))
    assert picture.dtype == np.uint8
    parts, bands, zoom = parts_of(picture, 9 * scale, 7 * scale)
    assert zoom == zoom_of(hr) == SHOWN // (9 * scale)
    np.testing.assert_array_equal(parts[0][:: scale * zoom, :: scale * zoom], lr)
    np.testing.assert_array_equal(parts[0][scale * zoom - 1 :: scale * zoom, scale * zoom - 1 :: scale * zoom], lr)
    for part, expected in zip(parts[1:], (upscale(lr, scale), sr, hr), strict=True):
        np.testing.assert_array_equal(part[::zoom, ::zoom], expected)
        np.testing.assert_array_equal(part[zoom - 1 :: zoom, zoom - 1 :: zoom], expected)
    # A label is dark on white.
    assert all(band.min() < 100 and band.max() == 255 for band in bands)


@pytest.mark.parametrize("side", [16, 100, 256, 300])
def test_parts_are_shown_large_whatever_their_size(side):
    hr = np.zeros((side, side, 3), np.uint8)
    picture = comparison_picture(PicturePair("p", hr, hr[::2, ::2]), hr, enlarging())
    assert picture.shape[1] > 2 * 256
    assert picture.shape[1] <= 2 * SHOWN + GAP


def test_comparison_shows_the_middle_of_large_pictures():
    hr = np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)
    parts, _, zoom = parts_of(comparison_picture(PicturePair("p", hr, hr[::2, ::2]), hr, enlarging()), 256, 256)
    assert zoom == 2
    np.testing.assert_array_equal(parts[3][::2, ::2], hr[72:328, 172:428])


def test_labels_say_the_psnr_of_the_part_that_is_shown(monkeypatch):
    said = []
    monkeypatch.setattr(pictures, "_labelled", lambda part, label: said.append(label) or part)
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (400, 600, 3), np.uint8)
    sr = np.clip(hr.astype(int) + rng.integers(-9, 10, hr.shape), 0, 255).astype(np.uint8)
    lr = hr[::2, ::2]
    comparison_picture(PicturePair("p", hr, lr), sr, enlarging())
    middle = (slice(72, 328), slice(172, 428))
    network = psnr(sr[middle], hr[middle], 2, True)
    bicubic = psnr(upscale(lr, 2)[middle], hr[middle], 2, True)
    assert said == [
        "LR  128 x 128",
        f"bicubic  {bicubic:.2f} dB",
        f"network  {network:.2f} dB ({network - bicubic:+.2f})",
        "HR  256 x 256",
    ]


def test_network_that_is_exact_and_picture_without_room_for_a_border_are_shown():
    hr = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    assert comparison_picture(PicturePair("p", hr, hr[::2, ::2]), hr, enlarging()).shape[2] == 3


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_array_equal(from_png(to_png(picture)), picture)


# Charts.


def pixels(content):
    return np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(int)


def near(picture, colour):
    """Where (row, column) a chart has about that colour."""
    return np.argwhere(np.abs(picture - np.array(colour)).sum(axis=2) < 40)


CLOUD = np.stack([np.linspace(1, 9, 50), np.linspace(29, 30, 50)], axis=1)
FRONT = [Mark(2.0, 30.0, 0.05, "candidate 1"), Mark(8.0, 31.0, 0.05, "candidate 2")]


def test_front_is_drawn_with_the_better_above_and_the_dearer_to_the_right():
    picture = pixels(front_chart("title", "G mult-adds", CLOUD, CLOUD[:0], FRONT, FRONT, FRONT[1]))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    # Without the legend, which is below.
    blue, red = (near(picture[: HEIGHT // 2], colour) for colour in (BLUE, RED))
    assert len(red) > 50
    assert red[:, 1].mean() > blue[:, 1].min()
    assert red[:, 0].mean() < blue[:, 0].max()


def test_bad_candidates_do_not_press_the_good_ones_together():
    worse = np.concatenate([CLOUD, [(5.0, 8.0)]])
    heights = []
    for cloud in (CLOUD, worse):
        blue = near(pixels(front_chart("title", "x", cloud, cloud[:0], FRONT, FRONT, None))[: HEIGHT // 2], BLUE)
        heights.append(np.ptp(blue[:, 0]))
    assert heights[1] > 0.4 * heights[0]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_front_of_few_candidates_is_drawn(count):
    content = front_chart("title", "x", CLOUD[:0], CLOUD[:count], FRONT[:count], FRONT[:count], None)
    assert pixels(content).shape == (HEIGHT, WIDTH, 3)


def test_charts_are_small_files():
    many = np.random.default_rng(0).uniform(1, 9, (3000, 2))
    assert len(front_chart("title", "x", many, many, FRONT, FRONT, FRONT[0])) < 150_000
    curves = [np.stack([np.arange(1, 25.0), 1 / np.arange(1, 25.0) + one / 1000], axis=1) for one in range(400)]
    assert len(curves_chart("title", curves, [("candidate 1", curves[0])])) < 60_000


def test_curves_of_the_front_are_coloured_and_the_others_grey():
    curves = [np.stack([np.arange(1, 25.0), 1 / np.arange(1, 25.0) + one / 10], axis=1) for one in range(4)]
    grey = pixels(curves_chart("title", curves, []))
    assert not len(near(grey, BLUE))
    assert len(near(pixels(curves_chart("title", curves[1:], [("candidate 0", curves[0])])), BLUE)) > 200


@pytest.mark.parametrize("curve", [[], [(1.0, 0.5)], [(1.0, 0.0), (2.0, 0.0)], [(1.0, 1e9), (2.0, 1.0), (3.0, 0.5)]])
def test_odd_curves_are_drawn(curve):
    content = curves_chart("title", [np.array(curve).reshape(-1, 2)], [])
    assert pixels(content).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("x", 0, 1000), [0, 200, 400, 600, 800, 1000]),
        (Axis("x", 29.93, 30.41), [30.0, 30.1, 30.2, 30.3, 30.4]),
        (Axis("x", 0.015, 0.3, True), [0.02, 0.05, 0.1, 0.2]),
        (Axis("x", 0.001, 20, True), [0.001, 0.01, 0.1, 1, 10]),
        (Axis("x", 1.0, 2.0, True), [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]),
    ],
)
def test_ticks_are_round_and_about_six(axis, ticks):
    assert axis.ticks() == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_axis_over_equal_values_has_room(value, logarithmic):
    axis = axis_over("x", [value, value], logarithmic)
    assert axis.low < axis.high
    assert 0 <= axis.place(value) <= 1
    assert axis.ticks()
