"""Benchmarks are found in the layouts in which they are handed on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esr_ray.data.layouts import benchmark_pairs, benchmarks_in
from esr_ray.errors import UserError


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"{name}.png")


def files(pairs):
    return [(pair.name, pair.hr.name, pair.lr.name if pair.lr else None) for pair in pairs]


@pytest.mark.parametrize(
    ("hr", "lr", "lr_name"),
    [
        ("HR", "LR_bicubic/X2", "babyx2"),
        ("HR_x2", "LR_bicubic/X2", "baby"),
        ("GTmod12", "LRbicx2", "baby"),
        ("hr", "lr_bicubic/x2", "babyx2"),
        ("original", None, None),
        ("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X2", "babyx2"),
        ("HR", "LR", "baby"),
    ],
)
def test_layouts(tmp_path, hr, lr, lr_name):
    put(tmp_path / hr, "baby")
    if lr is not None:
        put(tmp_path / lr, lr_name)
    expected = [("baby", "baby.png", None if lr is None else f"{lr_name}.png")]
    assert files(benchmark_pairs("Set5", tmp_path, 2)) == expected


def test_both_sizes_in_one_folder(tmp_path):
    put(tmp_path / "image_SRF_2", "img_001_SRF_2_HR", "img_001_SRF_2_LR", "img_002_SRF_2_HR", "img_002_SRF_2_LR")
    put(tmp_path / "image_SRF_3", "img_001_SRF_3_HR", "img_001_SRF_3_LR")
    assert files(benchmark_pairs("Set5", tmp_path, 2)) == [
        ("img_001", "img_001_SRF_2_HR.png", "img_001_SRF_2_LR.png"),
        ("img_002", "img_002_SRF_2_HR.png", "img_002_SRF_2_LR.png"),
    ]
    assert len(benchmark_pairs("Set5", tmp_path, 3)) == 1


def test_a_folder_of_pictures_is_hr(tmp_path):
    put(tmp_path, "a", "b")
    assert files(benchmark_pairs("Mine", tmp_path, 3)) == [("a", "a.png", None), ("b", "b.png", None)]


def test_the_lr_pictures_are_those_of_the_scale(tmp_path):
    put(tmp_path / "HR", "a")
    put(tmp_path / "LR_bicubic" / "X4", "ax4")
    assert files(benchmark_pairs("Set5", tmp_path, 2)) == [("a", "a.png", None)]
    assert files(benchmark_pairs("Set5", tmp_path, 4)) == [("a", "a.png", "ax4.png")]


def test_every_benchmark_of_a_folder_is_taken(tmp_path):
    put(tmp_path / "Set14" / "GTmod12", "a")
    put(tmp_path / "Set5" / "HR", "b")
    (tmp_path / "notes").mkdir()
    assert [(name, files(pairs)[0][0]) for name, pairs in benchmarks_in(tmp_path, 2)] == [("Set14", "a"), ("Set5", "b")]


def test_what_is_not_there_is_told(tmp_path):
    for call in (lambda path: benchmark_pairs("Set5", path, 2), lambda path: benchmarks_in(path, 2)):
        with pytest.raises(UserError, match="there is no such folder"):
            call(tmp_path / "none")
    with pytest.raises(UserError, match=r"Set5: .*holds no pictures, and none of the folders HR_x2, HR, GTmod12"):
        benchmark_pairs("Set5", tmp_path, 2)
    with pytest.raises(UserError, match="holds no benchmark for x2"):
        benchmarks_in(tmp_path, 2)
    put(tmp_path / "image_SRF_2", "img_001_SRF_2_LR")
    with pytest.raises(UserError, match="holds no pictures whose names end in _HR"):
        benchmark_pairs("Set5", tmp_path, 2)
