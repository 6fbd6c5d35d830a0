"""Copies of one photo are known by their pixels, and kept in one set."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cases import Case
from PIL import Image

import esr_ray.data.fingerprints as fingerprints_module
from esr_ray.config.load import check_config
from esr_ray.config.schema import DataConfig, FolderConfig
from esr_ray.data.copies import find_copies
from esr_ray.data.samples import sample_files
from esr_ray.data.sets import resolve_sets
from esr_ray.data.store import store_checksum, store_spec
from esr_ray.errors import UserError
from esr_ray.tasks.pictures import plan_pictures


def photo(seed: int, height: int = 240, width: int = 320) -> Image.Image:
    """Like a photo: coarse shapes, which decide, and detail down to the pixel."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width, 3), 128.0)
    for size, strength in ((80, 50), (32, 30), (8, 12), (2, 6), (1, 3)):
        coarse = rng.normal(0, strength, (height // size + 1, width // size + 1, 3))
        total += coarse.repeat(size, 0).repeat(size, 1)[:height, :width]
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def save(folder: Path, **pictures: Image.Image) -> Path:
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    return folder


def copies(folder: Path, cache: Path | None = None) -> list[tuple[str, str, bool]]:
    paths = sorted(folder.iterdir())
    return [(paths[one.first].stem, paths[one.second].stem, one.cut) for one in find_copies(paths, cache)]


def rescaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize([round(side * factor) for side in picture.size], Image.Resampling.LANCZOS)


def test_rescaled_compressed_and_grey_copies_are_found(tmp_path):
    folder = save(tmp_path / "all", **{f"other{seed}": photo(seed) for seed in range(1, 7)})
    whole = photo(0)
    # BasicSR's copies of several scales, among others.
    save(
        folder, a=whole, b=rescaled(whole, 0.75), c=rescaled(whole, 0.6), d=rescaled(whole, 1 / 3), e=whole.convert("L")
    )
    whole.save(folder / "f.jpg", quality=10)
    rescaled(whole, 0.5).save(folder / "g.jpg", quality=60)
    every = "abcdefg"
    assert copies(folder) == [(one, other, False) for one in every for other in every if one < other]


def test_crops_without_loss_are_found_and_others_are_not(tmp_path):
    whole = photo(0, 400, 500)
    crop = whole.crop((211, 130, 211 + 250, 130 + 240))
    folder = save(tmp_path / "all", other=photo(1, 400, 500), whole=whole, crop=crop)
    # Crops that overlap, and parts that do not.
    save(folder, left=whole.crop((0, 0, 250, 400)), right=whole.crop((260, 0, 500, 400)))
    found = {(one, other) for one, other, cut in copies(folder) if cut}
    assert {("crop", "whole"), ("left", "whole"), ("right", "whole")} <= found
    assert ("left", "right") not in found
    assert all("other" not in pair for pair in found)
    rescaled(crop, 0.7).save(folder / "crop.png")
    assert "crop" not in str(copies(folder))


def test_a_logo_that_photos_share_makes_no_crops(tmp_path):
    logo = photo(99, 100, 100)
    folder = tmp_path / "all"
    for seed in range(3):
        picture = photo(seed)
        picture.paste(logo, (10, 20))
        save(folder, **{str(seed): picture})
    assert copies(folder) == []


def test_what_shows_nothing_is_no_copy(tmp_path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    flat = {f"flat{level}": Image.new("RGB", (64, 64), (level,) * 3) for level in (0, 0x55, 255)}
    sky = {
        f"sky{index}": Image.fromarray(np.broadcast_to((ramp // (index + 1))[:, None], (64, 64))) for index in (0, 1)
    }
    tiny = {f"tiny{index}": photo(0, 8, 8) for index in (0, 1)}
    folder = save(tmp_path / "all", **flat, **sky, **tiny)
    (folder / "broken.png").write_bytes(b"no picture")
    assert copies(folder) == []
    assert find_copies([tmp_path / "gone.png"], None) == []


def test_photographs_are_not_taken_for_one_another():
    paths = [path for part in sample_files().values() for path in part]
    assert find_copies(paths, None) == []


def test_fingerprints_are_kept(tmp_path, monkeypatch):
    folder = save(tmp_path / "all", a=photo(0), b=rescaled(photo(0), 0.6), c=photo(0).crop((20, 0, 320, 240)))
    first = copies(folder, tmp_path / "cache")
    assert first == [("a", "b", False), ("a", "c", True)]
    monkeypatch.setattr(fingerprints_module, "fingerprint", None)
    assert copies(folder, tmp_path / "cache") == first
    monkeypatch.undo()
    # A file that changed is looked at again, and a damaged cache is done without.
    photo(1).save(folder / "b.png")
    os.utime(folder / "b.png", ns=(1, 1))
    assert copies(folder, tmp_path / "cache") == [("a", "c", True)]
    for damage in (b"no database", b""):
        (tmp_path / "cache" / "fingerprints.sqlite").write_bytes(damage)
        assert copies(folder, tmp_path / "cache") == [("a", "c", True)]
    assert copies(folder, folder / "a.png" / "below a file") == [("a", "c", True)]


# Sets.


def names(part):
    return {pair.name for pair in part}


def test_one_folder_is_divided_so_that_copies_stay_together(tmp_path):
    folder = save(tmp_path / "all", **{f"{seed:04d}": photo(seed) for seed in range(8)})
    plain = resolve_sets(DataConfig(hr=str(folder)), 2, 3)
    assert len(plain.notes) == 1
    assert plain == resolve_sets(DataConfig(hr=str(folder)), 2, 3, by_content=False)
    for seed in range(8):
        save(
            folder, **{f"{seed:04d}T{index}": rescaled(photo(seed), factor) for index, factor in enumerate((0.75, 0.6))}
        )
    photo(2).save(folder / "zebra.jpg", quality=50)
    # Names alone would spread them.
    before = resolve_sets(DataConfig(hr=str(folder)), 2, 3, by_content=False)
    assert len({name[:4] for part in (before.train, before.validation, before.test) for name in names(part)}) == 9
    assert {name[:4] for name in names(before.train)} & {name[:4] for name in names(before.test)}
    for seed in range(5):
        sets = resolve_sets(DataConfig(hr=str(folder)), 2, seed)
        parts = [{"0002" if name == "zebra" else name[:4] for name in names(part)} for part in (sets.train, sets.test)]
        parts.append({"0002" if name == "zebra" else name[:4] for name in names(sets.validation)})
        assert sum(map(len, parts)) == len(set.union(*parts)) == 8
        assert sum(map(len, (sets.train, sets.validation, sets.test))) == 25
        assert sets.notes[1] == (
            "pictures of one photo by their pixels, which stay in one set: 0000T0.png with 0000.png, 0000T1.png with "
            "0000.png, 0001T0.png with 0001.png and 14 more"
        )


def test_copies_count_once(tmp_path):
    folder = save(tmp_path / "all", a=photo(0), b=photo(1), c=rescaled(photo(0), 0.6), d=rescaled(photo(1), 0.6))
    with pytest.raises(UserError, match=r"4 pictures of 2 photos cannot be divided .* copies of one photo count once"):
        resolve_sets(DataConfig(hr=str(folder)), 2, 0)


def test_sets_that_are_given_and_share_photos_are_told(tmp_path):
    save(tmp_path / "train", a=photo(0), b=photo(1), c=photo(2, 400, 500))
    save(tmp_path / "validation", d=photo(3))
    save(tmp_path / "test", x=rescaled(photo(1), 0.6), y=photo(2, 400, 500).crop((100, 100, 400, 400)), z=photo(4))
    parts = ("train", "validation", "test")
    sets = resolve_sets(DataConfig(**{name: FolderConfig(hr=str(tmp_path / name)) for name in parts}), 2, 0)
    assert sets.notes == (
        "sets as given: 3 train, 1 validation, 3 test",
        "warning: train and test share photos, rescaled, compressed or cut, so that figures on test come out too good: "
        f"{tmp_path}/train/b.png and {tmp_path}/test/x.png, {tmp_path}/train/c.png and {tmp_path}/test/y.png; remove "
        "them from one of the two",
    )
    (tmp_path / "test" / "x.png").unlink()
    (tmp_path / "test" / "y.png").unlink()
    assert len(resolve_sets(DataConfig(**{n: FolderConfig(hr=str(tmp_path / n)) for n in parts}), 2, 0).notes) == 1


def test_a_run_that_began_before_copies_were_looked_for_keeps_its_sets(tmp_path):
    case = Case(tmp_path)
    folder = save(tmp_path / "all", **{f"{seed}": photo(seed) for seed in range(6)})
    case.set("data.hr", str(folder))
    save(folder, **{f"{seed}T": rescaled(photo(seed), 0.6) for seed in range(6)})
    config = check_config(json.loads(json.dumps(case.content)), "test")
    before = store_spec(resolve_sets(config.data, 2, config.seed, by_content=False), 2)
    now = plan_pictures(config)
    assert now.sets != before
    assert plan_pictures(config, store_checksum(now.sets)) == now
    # Of pictures that are not the run's the driver says so.
    assert plan_pictures(config, "0" * 64) == now
    resumed = plan_pictures(config, store_checksum(before))
    assert resumed.sets == before
    assert "a new run keeps them in one" in resumed.notes[-1]
