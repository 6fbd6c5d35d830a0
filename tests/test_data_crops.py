"""Crops: aligned, the same for every candidate, drawn without the steps before; and the keyed random numbers."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr_ray.data.crops import PicturePair, large_enough, sample_batch, validation_crops
from esr_ray.errors import UserError
from esr_ray.randomness import generator, uniform


def tagged(name: str, height: int, width: int, scale: int, number: int = 0) -> PicturePair:
    """A pair whose every LR pixel holds (row, column, number), and HR the same, repeated."""
    rows, columns = np.mgrid[:height, :width]
    lr = np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)
    return PicturePair(name, lr.repeat(scale, axis=0).repeat(scale, axis=1), lr)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 4), st.integers(4, 10), st.integers(0, 2**63 - 1), st.integers(0, 10**6))
def test_lr_and_hr_crops_show_the_same_place(scale, crop, seed, step):
    pairs = [tagged("a", 10, 17, scale, 0), tagged("b", 23, 11, scale, 1)]
    lr, hr = sample_batch(pairs, seed, step, 6, crop, scale)
    assert lr.shape == (6, 3, crop, crop)
    assert hr.shape == (6, 3, crop * scale, crop * scale)
    assert lr.dtype == hr.dtype == np.float32
    np.testing.assert_array_equal(hr, lr.repeat(scale, axis=2).repeat(scale, axis=3))
    for part in np.rint(lr * 255).astype(int):
        rows, columns, number = part
        assert (rows.max() - rows.min(), columns.max() - columns.min()) == (crop - 1, crop - 1)
        height, width = pairs[number[0, 0]].lr.shape[:2]
        assert rows.max() < height
        assert columns.max() < width


def test_a_step_is_drawn_without_the_steps_before():
    pairs = [tagged("a", 40, 40, 2)]
    first = [sample_batch(pairs, 7, step, 4, 8, 2)[0] for step in range(5)]
    np.testing.assert_array_equal(sample_batch(pairs, 7, 4, 4, 8, 2)[0], first[4])
    assert not np.array_equal(first[3], first[4])
    assert not np.array_equal(sample_batch(pairs, 8, 4, 4, 8, 2)[0], first[4])


def test_pictures_positions_and_flips_are_uniform():
    pairs = [tagged("a", 9, 9, 2, 0), tagged("b", 9, 9, 2, 1), tagged("c", 9, 9, 2, 2)]
    lr, _ = sample_batch(pairs, 0, 0, 6000, 8, 2)
    parts = np.rint(lr * 255).astype(int)
    assert (abs(np.bincount(parts[:, 2, 0, 0]) - 2000) < 200).all()
    for channel in (0, 1):
        assert abs((parts[:, channel].min(axis=(1, 2)) == 0).mean() - 0.5) < 0.03
    shift = parts - parts.min(axis=(2, 3), keepdims=True)
    corners, counts = np.unique(shift[:, :2, :2, :2].reshape(6000, -1), axis=0, return_counts=True)
    assert len(corners) == 8  # the symmetries of a square
    assert (abs(counts - 750) < 120).all()


def test_pictures_that_are_smaller_than_a_crop_are_left_out_and_named():
    pairs = [tagged("large", 64, 64, 2), tagged("small", 70, 20, 2), tagged("other", 80, 90, 2)]
    assert large_enough(pairs, 20) == (pairs, None)
    kept, note = large_enough(pairs, 24, "full_training.crop_size")
    assert kept == [pairs[0], pairs[2]]
    assert note == "1 training picture is smaller than full_training.crop_size 24 LR pixels and left out: small"
    many = [tagged(f"s{index}", 8, 9, 2) for index in range(7)] + [tagged(f"l{index}", 40, 40, 2) for index in range(7)]
    kept, note = large_enough(many, 16)
    assert kept == many[7:]
    assert note is not None
    assert note.startswith("7 training pictures are smaller")
    assert note.endswith("s0, s1, s2, s3, s4 and 2 more")


def test_where_most_pictures_are_smaller_the_crop_is_wrong():
    pairs = [tagged("large", 64, 64, 2), tagged("small", 70, 20, 2), tagged("smaller", 12, 90, 2)]
    with pytest.raises(
        UserError, match=r"key 24: 2 of 3 .* such as smaller with 90x12 LR pixels; set it to at most 12"
    ):
        large_enough(pairs, 24, "key")


def test_whole_validation_pictures_without_a_size():
    pairs = [tagged("a", 9, 9, 2), tagged("b", 40, 5, 2)]
    assert validation_crops(pairs, None, 3) == pairs
    assert validation_crops(pairs, 16, 3) == pairs  # both are smaller


def test_one_validation_part_is_the_centre():
    (part,) = validation_crops([tagged("a", 30, 51, 2)], 16, 1)
    assert part.lr[0, 0, :2].tolist() == [7, 17]
    assert part.hr.shape == (32, 32, 3)


@settings(max_examples=100, deadline=None)
@given(st.integers(16, 120), st.integers(16, 120), st.integers(16, 40), st.integers(1, 9), st.integers(2, 4))
def test_validation_parts_do_not_overlap_and_are_aligned(height, width, size, count, scale):
    pair = tagged("a", height, width, scale)
    parts = validation_crops([pair], size, count)
    if size > min(height, width):
        assert parts == [pair]
        return
    assert len(parts) == min(count, (height // size) * (width // size))
    assert len({part.name for part in parts}) == len(parts)
    seen = np.zeros((height, width), int)
    for part in parts:
        assert part.lr.shape == (size, size, 3)
        np.testing.assert_array_equal(part.hr, part.lr.repeat(scale, axis=0).repeat(scale, axis=1))
        seen[part.lr[..., 0], part.lr[..., 1]] += 1
    assert seen.max() == 1


def test_validation_parts_spread_over_the_picture():
    corners = [tuple(p.lr[0, 0, :2]) for p in validation_crops([tagged("a", 128, 128, 2)], 16, 4)]
    assert corners == [(24, 24), (24, 88), (88, 24), (88, 88)]


def test_keyed_numbers_are_the_same_in_another_process():
    here = generator(3, "crops", 5).random(3).tolist()
    code = "from esr_ray.randomness import generator; print(generator(3, 'crops', 5).random(3).tolist())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here)


def test_keyed_numbers_do_not_change_with_versions():
    assert generator(0, "crops", 0).random(2).tolist() == [0.15135191805081694, 0.00894365580111145]
    assert generator(0, "crops", 0).bit_generator.random_raw() == 2791950097348481831


def test_keyed_numbers_differ_by_seed_purpose_and_index():
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 0, 1), (0, "a,0"), (0, "a',0,'")]
    assert len({generator(*key).random() for key in keys}) == len(keys)


def test_uniform_numbers_are_the_generators_whoever_drew_before():
    for index in (5, 0, 5, 2**70):
        expected = generator(3, "crops", index).random((4, 6))
        np.testing.assert_array_equal(uniform((4, 6), 3, "crops", index), expected)
        uniform((3,), 3, "something else", index)


def test_uniform_numbers_are_the_same_in_threads_that_draw_at_once():
    def draw(index):
        return [uniform((5,), 1, "crops", index, step) for step in range(300)]

    with ThreadPoolExecutor(4) as pool:
        for index, drawn in enumerate(pool.map(draw, range(4))):
            expected = [generator(1, "crops", index, step).random(5) for step in range(300)]
            np.testing.assert_array_equal(drawn, expected)
