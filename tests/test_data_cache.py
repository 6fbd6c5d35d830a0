"""The folder of decoded pictures: kept within a limit, shown, and emptied."""

import os
import time

import numpy as np
import pytest
from pictures import photo
from PIL import Image

from esr_ray.cache import main
from esr_ray.config.load import check_config
from esr_ray.data import fingerprints as fingerprints_module
from esr_ray.data.cache import SPARED_S, empty, keep_within, kept_stores
from esr_ray.data.fingerprints import FINGERPRINTS, fingerprints
from esr_ray.data.pairs import Pair
from esr_ray.data.store import StoreSpec, open_store
from esr_ray.tasks.pictures import keep_cache_within, open_pictures, plan_pictures, with_checksums


def spec(folder, number, side=40):
    path = folder / f"{number}.png"
    Image.fromarray(photo(number, side, side)).save(path)
    return StoreSpec((("train", (Pair(path.stem, path, None),)),), 2)


@pytest.fixture
def filled(tmp_path):
    """A cache with four stores, the first used last but one, all long ago but the last; their checksums."""
    cache = tmp_path / "cache"
    specs = [spec(tmp_path, number) for number in range(4)]
    names = [open_store(one, cache).checksum for one in specs]
    for days, place in ((2, 0), (4, 1), (3, 2)):
        then = time.time() - days * 86_400
        os.utime(cache / f"{names[place]}.json", (then, then))
    return cache, names, specs


def names_in(cache):
    return [one.checksum for one in kept_stores(cache)]


def test_what_was_not_used_for_longest_goes_first(filled):
    cache, names, specs = filled
    size = kept_stores(cache)[0].size
    assert names_in(cache) == [names[1], names[2], names[0], names[3]]
    assert keep_within(cache, 4 * size) == 0
    assert keep_within(cache, 3.5 * size) == size
    assert names_in(cache) == [names[2], names[0], names[3]]
    # One that is opened is used.
    assert not open_store(specs[2], cache).built
    assert names_in(cache)[0] == names[0]


def test_what_is_in_use_and_what_was_used_within_a_day_stays(filled):
    cache, names, _ = filled
    keep_within(cache, 0, {names[1]})
    assert set(names_in(cache)) == {names[1], names[3]}
    then = time.time() - SPARED_S - 60
    os.utime(cache / f"{names[3]}.json", (then, then))
    keep_within(cache, 0)
    assert names_in(cache) == []
    assert not list(cache.glob("*.u8"))


def test_pictures_that_are_open_stay_readable_when_their_store_is_removed(filled):
    cache, _, specs = filled
    store = open_store(specs[0], cache)
    before = store.sets["train"][0].hr.copy()
    empty(cache)
    np.testing.assert_array_equal(store.sets["train"][0].hr, before)
    assert open_store(specs[0], cache).built


def test_a_run_keeps_what_it_uses_and_removes_what_is_older(filled, tmp_path):
    cache, names, _ = filled
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10, 14):
        Image.fromarray(photo(number, 40, 40)).save(folder / f"{number}.png")
    config = check_config(
        {
            "data": {"hr": str(folder), "validation_size": None},
            "fast_training": {"crop_size": 8},
            "full_training": {"crop_size": 8},
            "runtime": {"cache_dir": str(cache), "cache_limit_gb": 0},
        },
        "my.yml",
    )
    plan = plan_pictures(config)
    plan = with_checksums(plan, open_pictures(plan, config))
    assert keep_cache_within(plan, config) > 0
    assert set(names_in(cache)) == {names[3], *plan.checksums}


def test_the_command_shows_and_empties(filled, tmp_path, capsys):
    cache, names, _ = filled
    fingerprints([tmp_path / "0.png"], cache)
    assert main(["--dir", str(cache)]) == 0
    shown = capsys.readouterr().out
    assert all(name[:12] in shown for name in names)
    assert f"{cache}: 4 kept, " in shown
    (cache / "mine.txt").write_text("not ours")
    assert main(["--dir", str(cache), "--empty"]) == 0
    assert "MB removed" in capsys.readouterr().out
    assert [path.name for path in cache.iterdir()] == ["mine.txt"]
    assert main(["--dir", str(cache)]) == 0
    assert f"{cache}: 0 kept, 0.0 MB" in capsys.readouterr().out
    assert main(["--dir", str(tmp_path / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_only_the_last_fingerprints_are_remembered(tmp_path, monkeypatch):
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(photo(number, 40, 40)).save(paths[-1])
    monkeypatch.setattr(fingerprints_module, "MOST", 4)
    fingerprints(paths, tmp_path / "cache")
    looked = []
    monkeypatch.setattr(
        fingerprints_module,
        "read_picture",
        lambda path, real=fingerprints_module.read_picture: looked.append(path) or real(path),
    )
    fingerprints(paths, tmp_path / "cache")
    assert looked == paths[:2]
    assert (tmp_path / "cache" / FINGERPRINTS).is_file()
