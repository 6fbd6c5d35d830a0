"""Benchmarks are found in the layouts in which they are handed on."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esr_ray.data.layouts import benchmarks_in, read_set
from esr_ray.errors import UserError


def put(folder: Path, *names: str, side: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def pairs_of(name, path, scale):
    return read_set(name, str(path), None, scale).pairs


def found(path, scale=2, lr=None, **options):
    return read_set("data", str(path), lr and str(lr), scale, **options)


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
        ("HR", "LR", "baby_bicLRx2"),
        ("HR", "LRBI/x2", "baby_LRBI_x2"),
        ("GT", "LQ", "baby"),
        ("trainH", "trainL", "baby"),
        ("DIV2K_train_HR", "DIV2K_train_LR_bicubic/X2", "babyx2"),
        ("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic_X2", "babyx2"),
    ],
)
def test_layouts(tmp_path, hr, lr, lr_name):
    put(tmp_path / hr, "baby")
    if lr is not None:
        put(tmp_path / lr, lr_name)
    expected = [("baby", "baby.png", None if lr is None else f"{lr_name}.png")]
    assert files(found(tmp_path, to_train="train" in hr).pairs) == expected
    assert found(tmp_path, to_train="train" in hr).notes == ()


def test_both_sizes_in_one_folder(tmp_path):
    put(tmp_path / "image_SRF_2", "img_001_SRF_2_HR", "img_001_SRF_2_LR", "img_002_SRF_2_HR", "img_002_SRF_2_LR")
    put(tmp_path / "image_SRF_3", "img_001_SRF_3_HR", "img_001_SRF_3_LR")
    assert files(pairs_of("Set5", tmp_path, 2)) == [
        ("img_001", "img_001_SRF_2_HR.png", "img_001_SRF_2_LR.png"),
        ("img_002", "img_002_SRF_2_HR.png", "img_002_SRF_2_LR.png"),
    ]
    assert len(pairs_of("Set5", tmp_path, 3)) == 1


def test_a_folder_of_pictures_is_hr(tmp_path):
    put(tmp_path, "a", "b")
    assert files(pairs_of("Mine", tmp_path, 3)) == [("a", "a.png", None), ("b", "b.png", None)]


def test_the_lr_pictures_are_those_of_the_scale(tmp_path):
    put(tmp_path / "HR", "a")
    put(tmp_path / "LR_bicubic" / "X4", "ax4")
    assert files(pairs_of("Set5", tmp_path, 2)) == [("a", "a.png", None)]
    assert files(pairs_of("Set5", tmp_path, 4)) == [("a", "a.png", "ax4.png")]


def test_every_benchmark_of_a_folder_is_taken(tmp_path):
    put(tmp_path / "Set14" / "GTmod12", "a")
    put(tmp_path / "Set5" / "HR", "b")
    (tmp_path / "notes").mkdir()
    assert [(name, files(found.pairs)[0][0]) for name, found in benchmarks_in(tmp_path, 2)] == [
        ("Set14", "a"),
        ("Set5", "b"),
    ]


def test_what_is_not_there_is_told(tmp_path):
    for call in (lambda path: pairs_of("Set5", path, 2), lambda path: benchmarks_in(path, 2)):
        with pytest.raises(UserError, match="no such folder; check the path"):
            call(tmp_path / "none")
    with pytest.raises(
        UserError, match=r"holds no pictures \(bmp, .*\), and none of the folders image_SRF_2, HR_x2, HR, GTmod12"
    ):
        pairs_of("Set5", tmp_path, 2)
    with pytest.raises(UserError, match="holds no benchmark for x2"):
        benchmarks_in(tmp_path, 2)
    put(tmp_path / "image_SRF_2", "img_001_SRF_2_LR")
    with pytest.raises(UserError, match="holds no pictures whose names end in _HR"):
        pairs_of("Set5", tmp_path, 2)


URBAN = [
    ("img_001", "img_001_SRF_2_HR.png", "img_001_SRF_2_LR.png"),
    ("img_002", "img_002_SRF_2_HR.png", "img_002_SRF_2_LR.png"),
]


def urban(folder, scale=2):
    names = [f"img_00{index}_SRF_{scale}" for index in (1, 2)]
    put(folder, *(f"{name}_HR" for name in names))
    return put(folder, *(f"{name}_LR" for name in names), side=8 // scale)


def test_a_folder_that_mixes_hr_and_lr_is_read_by_its_names(tmp_path):
    folder = urban(tmp_path / "image_SRF_2")
    assert files(found(folder).pairs) == files(found(tmp_path).pairs) == URBAN
    # The results of others, which Huang et al. hand on in the same folder.
    put(folder, "img_001_SRF_2_bicubic", "img_001_SRF_2_SelfExSR")
    assert files(found(folder).pairs) == URBAN
    (note,) = found(folder).notes
    assert note == (
        f"{folder}: img_001_SRF_2_SelfExSR.png, img_001_SRF_2_bicubic.png are not taken: the name ends neither in _HR "
        "nor in _LR"
    )


def test_lr_pictures_of_another_scale_are_not_taken_for_hr(tmp_path):
    assert [pair.lr for pair in found(urban(tmp_path), 4).pairs] == [None, None]
    (note,) = found(tmp_path, 4).notes
    assert note.endswith("img_001_SRF_2_LR.png, img_002_SRF_2_LR.png are not used: not of x4; LR is made by bicubic")
    urban(tmp_path, 4)
    assert [one[1:] for one in files(found(tmp_path, 4).pairs)] == [
        (f"img_00{index}_SRF_4_HR.png", f"img_00{index}_SRF_4_LR.png") for index in (1, 2)
    ]


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("a", "ax2"),
        ("a", "a_x2"),
        ("a", "a_LR"),
        ("a", "a_bicLRx2"),
        ("a_HR", "a"),
        ("a_GT", "a_LQ"),
        ("a_HR", "a_LR2"),
    ],
)
def test_other_names_of_hr_and_lr_in_one_folder(tmp_path, hr, lr):
    put(tmp_path, hr, hr.replace("a", "b"), side=9)
    put(tmp_path, lr, lr.replace("a", "b"), side=4)
    expected = [(f"{name}", f"{hr.replace('a', name)}.png", f"{lr.replace('a', name)}.png") for name in "ab"]
    assert files(found(tmp_path).pairs) == expected
    # Networks that are given no LR see the same HR pictures.
    assert files(found(tmp_path, 1, with_lr=False).pairs) == [(name, high, None) for name, high, _ in expected]
    assert found(tmp_path, 1, with_lr=False).notes == ()


def test_an_enlargement_beside_its_original_is_no_lr(tmp_path):
    put(tmp_path, "a", side=8)
    put(tmp_path, "a_x2", side=16)
    assert files(found(tmp_path).pairs) == [("a", "a.png", None), ("a_x2", "a_x2.png", None)]


def test_a_folder_in_which_hr_and_lr_do_not_match_is_refused(tmp_path):
    put(tmp_path / "some", "a_HR", "b_HR", "a_LR")
    with pytest.raises(UserError, match=r"data: .*b_HR\.png has no LR picture of x2 in .*some, and others have one"):
        found(tmp_path / "some")
    put(tmp_path / "orphan", "a_HR", "a_LR", "b_LR")
    with pytest.raises(UserError, match=r"data: .*b_LR\.png has no HR picture in .*orphan; remove it, or rename it"):
        found(tmp_path / "orphan")
    put(tmp_path / "low", "a_LR", "b_LR")
    with pytest.raises(UserError, match="holds no pictures whose names end in _HR, only LR; give the HR pictures"):
        found(tmp_path / "low")
    put(tmp_path / "twice", "a_HR", "a_LR", "a_LRx2")
    with pytest.raises(UserError, match=r"a_HR\.png could belong to a_LR\.png or a_LRx2\.png; remove one of them"):
        found(tmp_path / "twice")


def test_mixed_folders_are_understood_where_hr_and_lr_are_given_apart(tmp_path):
    urban(tmp_path / "mixed")
    put(tmp_path / "low", "img_001", "img_002")
    pairs = found(tmp_path / "mixed", lr=tmp_path / "low").pairs
    assert [(pair.hr.name, pair.lr.name) for pair in pairs] == [
        (f"img_00{index}_SRF_2_HR.png", f"img_00{index}.png") for index in (1, 2)
    ]


def test_the_pictures_of_a_folder_itself_come_first_and_others_are_told(tmp_path):
    put(tmp_path, "a")
    put(tmp_path / "HR", "b")
    assert files(found(tmp_path).pairs) == [("a", "a.png", None)]
    assert found(tmp_path).notes == (f"{tmp_path}: the pictures of the folder itself are taken, not those of HR in it",)
    put(tmp_path / "Set5" / "GTmod12", "c")
    put(tmp_path / "Set5" / "original", "d")
    assert files(found(tmp_path / "Set5").pairs) == [("c", "c.png", None)]
    assert found(tmp_path / "Set5").notes == (f"{tmp_path / 'Set5'}: GTmod12 is taken, not original beside it",)


def test_div2k_is_trained_on_and_measured_on_different_folders(tmp_path):
    for part in ("train", "valid"):
        put(tmp_path / f"DIV2K_{part}_HR", part)
        put(tmp_path / f"DIV2K_{part}_LR_bicubic" / "X2", f"{part}x2")
    assert files(found(tmp_path, to_train=True).pairs) == [("train", "train.png", "trainx2.png")]
    assert files(found(tmp_path).pairs) == [("valid", "valid.png", "validx2.png")]


# LR folders that are there and not used.

MADE = "LR is made by bicubic; give it as lr to use it"


@pytest.mark.parametrize(
    ("hr", "lr", "lr_name", "shown"),
    [
        ("DIV2K_valid_HR", "DIV2K_valid_LR_unknown/X4", "ax4", " (DIV2K's unknown degradation)"),
        ("DIV2K_valid_HR", "DIV2K_valid_LR_mild", "ax4m", " (DIV2K's mild degradation: blur, noise and shifts)"),
        ("DIV2K_valid_HR", "DIV2K_valid_LR_wild", "ax4w1", " (DIV2K's wild degradation, four pictures of each)"),
        ("HR", "LR_jpeg/X4", "a", " (jpeg)"),
    ],
)
def test_lr_of_another_degradation_is_not_used_and_told(tmp_path, hr, lr, lr_name, shown):
    put(tmp_path / hr, "a")
    put(tmp_path / lr, lr_name)
    for given in (tmp_path, tmp_path / hr):
        assert files(found(given, 4).pairs) == [("a", "a.png", None)]
        assert found(given, 4).notes == (f"{tmp_path / hr}: {lr}{shown} lies beside and is not used: {MADE}",)
        # LR of another scale could not be used, and tasks that make their own input use none.
        assert found(given, 3).notes == (() if "4" in lr or "LR_" in lr else found(given, 4).notes)
        assert found(given, 1, with_lr=False).notes == ()
    # It is used where it is given, also by the folder above X4.
    for low in {tmp_path / lr, tmp_path / lr.removesuffix("/X4")}:
        assert files(found(tmp_path / hr, 4, lr=low).pairs) == [("a", "a.png", f"{lr_name}.png")]


def test_bicubic_lr_beside_a_folder_that_is_given_by_itself_is_told(tmp_path):
    put(tmp_path / "Set5", "a")
    put(tmp_path / "Set5_bicLRx4", "a_bicLRx4")
    assert found(tmp_path / "Set5", 2).notes == ()
    assert found(tmp_path / "Set5", 4).notes == (
        f"{tmp_path / 'Set5'}: Set5_bicLRx4 (made by bicubic) lies beside and is not used: {MADE}",
    )
    assert files(found(tmp_path / "Set5", 4, lr=tmp_path / "Set5_bicLRx4").pairs) == [("a", "a.png", "a_bicLRx4.png")]


def test_lr_of_other_pictures_beside_is_not_told(tmp_path):
    put(tmp_path / "DIV2K_train_HR", "a")
    put(tmp_path / "DIV2K_valid_LR_bicubic" / "X2", "bx2")
    put(tmp_path / "Landscapes", "c")
    put(tmp_path / "LR_empty" / "X2")
    assert found(tmp_path / "DIV2K_train_HR").notes == ()


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("0001", "0001x4m"),
        ("0001", "0001x4d"),
        ("0001", "0001x4w2"),
        ("0001", "0001_bicLRx4"),
        ("0001_s003", "0001x4_s003"),
        ("baby_HR_x4", "baby_LRBI_x4"),
        ("Canon_001_HR", "Canon_001_LR4"),
        ("img_GT", "img_LQ"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_LR"),
    ],
)
def test_names_of_public_data_sets_are_paired(tmp_path, hr, lr):
    put(tmp_path / "high", hr)
    put(tmp_path / "low", lr)
    assert [one[2] for one in files(found(tmp_path / "high", 4, lr=tmp_path / "low").pairs)] == [f"{lr}.png"]


# Names.


def test_composed_and_decomposed_accents_are_one_name(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    put(tmp_path / "high", composed)
    put(tmp_path / "low", f"{decomposed}x2")
    (pair,) = found(tmp_path / "high", lr=tmp_path / "low").pairs
    assert (pair.name, pair.lr.name) == (composed, f"{decomposed}x2.png")
    put(tmp_path / "mixed", f"{decomposed}_HR", f"{composed}_LR")
    assert files(found(tmp_path / "mixed").pairs) == [(composed, f"{decomposed}_HR.png", f"{composed}_LR.png")]
    put(tmp_path / "high", decomposed)
    with pytest.raises(UserError, match="have the same name"):
        found(tmp_path / "high", lr=tmp_path / "low")
