"""Which files belong to which set: pairing by name, the seeded split, the sample photographs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import esr_ray.data.samples as samples
from esr_ray.config.schema import DataConfig, FolderConfig, SplitConfig
from esr_ray.data.images import read_picture
from esr_ray.data.layouts import read_set
from esr_ray.data.pairs import Pair
from esr_ray.data.sets import at_sizes, group_name, resolve_sets, split_pairs
from esr_ray.errors import UserError
from esr_ray.picture_files import list_pictures


def folder(path, *names):
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path / name)
    return str(path)


def config(**keys):
    return DataConfig(**keys)


def resolve_folder(*given):
    return read_set(*given).pairs


def names(pairs):
    return [pair.name for pair in pairs]


@pytest.mark.parametrize("lr", ["0001.png", "0001x2.png", "0001_x2.png", "0001x2.jpg", "0001_LR.png", "0001_LRx2.png"])
def test_lr_is_found_by_name(tmp_path, lr):
    hr = folder(tmp_path / "hr", "0001.png")
    (pair,) = resolve_folder("data", hr, folder(tmp_path / "lr", lr), 2)
    assert (pair.name, pair.hr.name, pair.lr.name) == ("0001", "0001.png", lr)


@pytest.mark.parametrize(
    ("hr", "lr"), [("a_HR.png", "a_LR.png"), ("a_x2.png", "a.png"), ("a_HR_x2.png", "a_LR_x2.png")]
)
def test_hr_names_may_carry_markers(tmp_path, hr, lr):
    (pair,) = resolve_folder("data", folder(tmp_path / "hr", hr), folder(tmp_path / "lr", lr), 2)
    assert pair.lr.name == lr


def test_pairs_are_matched_by_name_not_by_position(tmp_path):
    hr = folder(tmp_path / "hr", "a.png", "b.png", "ab.png")
    lr = folder(tmp_path / "lr", "abx3.png", "bx3.png", "ax3.png")
    assert [(p.name, p.lr.name) for p in resolve_folder("data", hr, lr, 3)] == [
        ("a", "ax3.png"),
        ("ab", "abx3.png"),
        ("b", "bx3.png"),
    ]


def test_hr_without_lr_is_named(tmp_path):
    hr = folder(tmp_path / "hr", "a.png", "b.png", "c.png")
    lr = folder(tmp_path / "lr", "ax2.png")
    with pytest.raises(UserError, match=r"data\.train: 2 pictures, the first .*b\.png, have no LR"):
        resolve_folder("data.train", hr, lr, 2)


def test_lr_without_hr_is_named(tmp_path):
    hr = folder(tmp_path / "hr", "a.png")
    lr = folder(tmp_path / "lr", "ax2.png", "ax3.png")
    with pytest.raises(UserError, match=r"ax3\.png has no HR"):
        resolve_folder("data", hr, lr, 2)


def test_ambiguous_names_are_named(tmp_path):
    hr = folder(tmp_path / "hr", "a.png")
    with pytest.raises(UserError, match=r"could belong to a\.png or ax2\.png"):
        resolve_folder("data", hr, folder(tmp_path / "lr", "a.png", "ax2.png"), 2)
    with pytest.raises(UserError, match="same name"):
        resolve_folder("data", folder(tmp_path / "hr2", "a.png", "a.jpg"), None, 2)
    with pytest.raises(UserError, match="same folder"):
        resolve_folder("data", hr, hr, 2)
    with pytest.raises(UserError, match=r"matches both a\.png and a_HR\.png"):
        resolve_folder("data", folder(tmp_path / "hr3", "a.png", "a_HR.png"), folder(tmp_path / "lr3", "a.png"), 2)


def test_relative_folders_start_at_the_current_directory(tmp_path, monkeypatch):
    folder(tmp_path / "hr", "a.png")
    monkeypatch.chdir(tmp_path)
    (pair,) = resolve_folder("data", "hr", None, 2)
    assert pair == Pair("a", tmp_path / "hr" / "a.png", None)


def test_views_and_crops_of_one_photo_are_one_group():
    for stem in ("bike_left", "bike_right", "bike-L", "bike_r", "Bike_s001", "bike_crop3", "bike_s001_left"):
        assert group_name(stem) == "bike"
    for stem in ("0001", "img-1", "t12", "left", "_left", "100s3"):
        assert group_name(stem) == stem


def split(stems, seed=0, **fractions):
    pairs = [Pair(stem, samples.Path(f"{stem}.png"), None) for stem in stems]
    return split_pairs(pairs, SplitConfig(**fractions), seed, "folder")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "_left", "_right", "_s001"])), unique=True, min_size=9),
    st.floats(0.01, 0.49),
    st.floats(0.01, 0.49),
    st.integers(0, 2**63 - 1),
)
def test_split_is_disjoint_complete_and_keeps_photos_together(files, validation, test, seed):
    stems = sorted(f"{number:04d}{marker}" for number, marker in files)
    if len({group_name(stem) for stem in stems}) < 3:
        return
    parts = split(stems, seed, validation=validation, test=test)
    assert sorted(name for part in parts.values() for name in names(part)) == stems
    assert all(parts.values())
    groups = [{group_name(name) for name in names(part)} for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert parts == split(stems[::-1], seed, validation=validation, test=test)


def test_split_follows_fractions_and_seed():
    stems = [f"{i:04d}" for i in range(100)]
    parts = split(stems, 1, validation=0.1, test=0.2)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [70, 10, 20]
    assert parts != split(stems, 2, validation=0.1, test=0.2)


def test_split_does_not_change_with_versions():
    parts = split([f"{i:04d}" for i in range(10)], 0)
    assert (names(parts["validation"]), names(parts["test"])) == (["0004"], ["0002"])


def test_too_few_photos_to_divide_is_an_error(tmp_path):
    hr = folder(tmp_path / "hr", "a_left.png", "a_right.png", "b.png")
    with pytest.raises(UserError, match="3 pictures of 2 photos cannot be divided"):
        resolve_sets(config(hr=hr), 2, 0)


def test_one_folder_is_divided_and_said(tmp_path):
    hr = folder(tmp_path / "hr", *(f"{i}.png" for i in range(10)))
    lr = folder(tmp_path / "lr", *(f"{i}x2.png" for i in range(10)))
    sets = resolve_sets(config(hr=hr, lr=lr), 2, 5)
    assert (len(sets.train), len(sets.validation), len(sets.test)) == (8, 1, 1)
    assert all(pair.lr is not None and pair.lr.stem == f"{pair.name}x2" for pair in sets.train)
    assert "seed 5: 8 train, 1 validation, 1 test" in sets.notes[0]


def test_three_folders_are_taken_as_given(tmp_path):
    given_ = {n: FolderConfig(hr=folder(tmp_path / n, f"{n}.png")) for n in ("train", "validation", "test")}
    sets = resolve_sets(config(**given_), 2, 0)
    assert [names(part) for part in (sets.train, sets.validation, sets.test)] == [["train"], ["validation"], ["test"]]


def test_training_pictures_alone_are_used_at_several_sizes(tmp_path):
    folders = {
        name: FolderConfig(hr=folder(tmp_path / name, f"{name}.png")) for name in ("train", "validation", "test")
    }
    sets = resolve_sets(config(**folders, training_sizes=(1, 0.75)), 2, 0)
    assert [(pair.name, pair.size) for pair in sets.train] == [("train", 1), ("train@0.75", 0.75)]
    assert [pair.size for pair in (*sets.validation, *sets.test)] == [1, 1]
    assert "training pictures at 2 sizes: 2 of 1" in sets.notes


def test_sizes_need_lr_that_is_made(tmp_path):
    with pytest.raises(ValueError, match="training_sizes goes with LR pictures that are made; remove it, or lr"):
        config(hr="a", lr="b", training_sizes=(1, 0.5))
    with pytest.raises(ValueError, match="training_sizes: one stands twice"):
        config(hr="a", training_sizes=(0.5, 0.5))
    beside = Pair("a", tmp_path / "a.png", tmp_path / "ax2.png")
    with pytest.raises(UserError, match=r"a\.png has an LR picture, .*ax2\.png, which cannot be reduced alike"):
        at_sizes([beside], (1, 0.5))


def test_the_same_file_in_two_sets_is_named(tmp_path):
    train, test = folder(tmp_path / "train", "a.png"), folder(tmp_path / "test", "b.png")
    keys = {"train": FolderConfig(hr=train), "validation": FolderConfig(hr=train), "test": FolderConfig(hr=test)}
    with pytest.raises(UserError, match=r"a\.png is in both train and validation"):
        resolve_sets(config(**keys), 2, 0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link.png").symlink_to(tmp_path / "train" / "a.png")
    keys["validation"] = FolderConfig(hr=str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"a\.png and .*link\.png is in both"):
        resolve_sets(config(**keys), 2, 0)


def test_sample_photographs_are_three_disjoint_sets_without_download():
    sets = resolve_sets(config(hr="sample:scikit-image"), 2, 0)
    parts = [set(names(part)) for part in (sets.train, sets.validation, sets.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert len(parts[2]) >= 3
    # A stereo pair stays in one set.
    assert parts[1] == {"motorcycle_left", "motorcycle_right"}
    for pair in sets.validation + sets.test + sets.train:
        assert min(read_picture(pair.hr).pixels.shape[:2]) >= 300
    assert resolve_sets(config(hr="sample:scikit-image"), 4, 9) == sets


def test_missing_sample_says_which_version_is_needed(monkeypatch):
    monkeypatch.setitem(samples.SAMPLE_SETS, "test", ("astronaut.png", "gone.png"))
    with pytest.raises(UserError, match=r"gone\.png is missing; install scikit-image 0\.24"):
        resolve_sets(config(hr="sample:scikit-image"), 2, 0)


def test_samples_with_lr_are_refused():
    with pytest.raises(UserError, match=r"data\.lr"):
        resolve_sets(config(hr="sample:scikit-image", lr="somewhere"), 2, 0)


def test_a_missing_div2k_is_told_where_it_is_to_be_had(tmp_path):
    with pytest.raises(UserError, match=r"DIV2K_train_HR: no such folder; DIV2K is to be had from its authors"):
        list_pictures(tmp_path / "DIV2K" / "DIV2K_train_HR")
    with pytest.raises(UserError, match="no such folder; check the path"):
        list_pictures(tmp_path / "mine")
