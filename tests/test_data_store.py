"""The store: what it holds, that it is built once and never trusted when damaged, and every check of pictures."""

import errno
import json
import multiprocessing
import pickle
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from pictures import photo
from PIL import Image, ImageFilter

import esr_ray.data.build as build_module
import esr_ray.data.store as store_module
from esr_ray.config.schema import DataConfig
from esr_ray.data.images import read_picture
from esr_ray.data.layouts import read_set
from esr_ray.data.pairs import Pair
from esr_ray.data.resize import downscale
from esr_ray.data.samples import sample_files
from esr_ray.data.sets import resolve_sets
from esr_ray.data.store import StoreSpec, open_store, store_spec
from esr_ray.errors import UserError


def put(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def spec_of(root: Path, scale: int = 2, count: int = 2) -> StoreSpec:
    sets = []
    for number, name in enumerate(("train", "validation", "test")):
        for i in range(count):
            put(root / name / f"{name}{i}.png", photo(10 * number + i, 41, 50))
        sets.append((name, read_set(name, str(root / name), None, scale).pairs))
    return StoreSpec(tuple(sets), scale)


def pair_spec(root: Path, hr: np.ndarray, lr: np.ndarray, scale: int = 2) -> StoreSpec:
    pair = Pair("photo", put(root / "hr" / "photo.png", hr), put(root / "lr" / f"photox{scale}.png", lr))
    return StoreSpec((("train", (pair,)),), scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_store_holds_cropped_hr_and_its_lr(tmp_path, scale):
    spec = spec_of(tmp_path, scale)
    store = open_store(spec, tmp_path / "cache")
    assert store.built
    assert list(store.sets) == ["train", "validation", "test"]
    for name, pairs in spec.sets:
        assert [part.name for part in store.sets[name]] == [pair.name for pair in pairs]
        for part, pair in zip(store.sets[name], pairs, strict=True):
            hr = read_picture(pair.hr).pixels[: 41 // scale * scale, : 50 // scale * scale]
            np.testing.assert_array_equal(part.hr, hr)
            np.testing.assert_array_equal(part.lr, downscale(hr, scale))
            with pytest.raises(ValueError, match="read-only"):
                part.hr[0, 0, 0] = 0
    assert any("cropped to a multiple" in note for note in store.notes)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_picture_at_another_size_is_reduced_before_lr_is_made(tmp_path, scale):
    path = put(tmp_path / "photo.png", photo(0, 81, 120))
    spec = StoreSpec((("train", (Pair("photo", path, None), Pair("photo@0.75", path, None, 0.75))),), scale)
    whole, reduced = open_store(spec, tmp_path / "cache").sets["train"]
    wanted = np.asarray(Image.open(path).resize((90, 61), Image.Resampling.BICUBIC))
    wanted = wanted[: 61 // scale * scale]
    np.testing.assert_array_equal(reduced.hr, wanted)
    np.testing.assert_array_equal(reduced.lr, downscale(wanted, scale))
    # What was said to be needed is what was written.
    files = tmp_path.joinpath("cache").glob("*.u8")
    assert sum(file.stat().st_size for file in files) == build_module.needed_bytes(spec.sets, scale)
    # A store of other sizes is another one.
    other = StoreSpec((("train", (Pair("photo", path, None), Pair("photo@0.75", path, None, 0.5))),), scale)
    assert store_module.store_checksum(other) != store_module.store_checksum(spec)
    assert whole.hr.shape == (81 // scale * scale, 120, 3)


def test_given_lr_is_used_as_it_is(tmp_path):
    hr = photo(0, 97, 121)
    lr = np.clip(downscale(hr[:96, :120], 2).astype(int) + 3, 0, 255).astype(np.uint8)
    (part,) = open_store(pair_spec(tmp_path, hr, lr), tmp_path / "cache").sets["train"]
    np.testing.assert_array_equal(part.lr, lr)
    np.testing.assert_array_equal(part.hr, hr[:96, :120])


def test_second_opening_decodes_nothing(tmp_path, monkeypatch):
    spec = spec_of(tmp_path)
    first = open_store(spec, tmp_path / "cache")
    monkeypatch.setattr(build_module, "read_picture", None)
    monkeypatch.setattr(build_module, "read_size", None)
    second = open_store(spec, tmp_path / "cache")
    assert not second.built
    assert (second.checksum, second.notes) == (first.checksum, first.notes)
    np.testing.assert_array_equal(second.sets["test"][1].lr, first.sets["test"][1].lr)


def test_checksum_follows_content_names_sets_and_scale_but_not_place(tmp_path):
    spec = spec_of(tmp_path / "a")
    cache = tmp_path / "cache"
    checksum = open_store(spec, cache).checksum
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    moved = StoreSpec(
        tuple((name, read_set(name, str(tmp_path / "b" / name), None, 2).pairs) for name, _ in spec.sets), 2
    )
    assert open_store(moved, cache).checksum == checksum
    changed = {
        "scale": StoreSpec(spec.sets, 3),
        "set": StoreSpec((("other", spec.sets[0][1]), *spec.sets[1:]), 2),
        "fewer": StoreSpec((("train", spec.sets[0][1][:1]), *spec.sets[1:]), 2),
    }
    put(spec.sets[0][1][0].hr, photo(77, 41, 50))
    changed["content"] = spec
    checksums = {name: open_store(other, cache).checksum for name, other in changed.items()}
    assert len({checksum, *checksums.values()}) == 5


@pytest.mark.parametrize(
    "damage", ["cut pixels", "no pixels", "zeroed pixels", "a flipped bit", "cut index", "other index", "changed index"]
)
def test_damaged_store_is_built_again(tmp_path, damage):
    spec, cache = spec_of(tmp_path), tmp_path / "cache"
    first = open_store(spec, cache)
    expected = [part.hr.copy() for part in first.sets["train"]]
    pixels, index = cache / f"{first.checksum}.u8", cache / f"{first.checksum}.json"
    del first
    if damage == "cut pixels":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "no pixels":
        pixels.unlink()
    elif damage == "zeroed pixels":
        pixels.write_bytes(bytes(pixels.stat().st_size))
    elif damage == "a flipped bit":
        content = bytearray(pixels.read_bytes())
        content[len(content) // 2] ^= 1
        pixels.write_bytes(content)
    elif damage == "cut index":
        index.write_text(index.read_text()[:-20])
    elif damage == "other index":
        index.write_text("[]")
    else:
        content = json.loads(index.read_text())
        content["sets"]["train"][0][1] += 1
        index.write_text(json.dumps(content))
    again = open_store(spec, cache)
    assert again.built
    for part, hr in zip(again.sets["train"], expected, strict=True):
        np.testing.assert_array_equal(part.hr, hr)
    assert not open_store(spec, cache).built


def test_a_picture_that_is_replaced_while_it_is_read_is_not_kept_under_the_name_of_the_other(tmp_path, monkeypatch):
    spec, cache = spec_of(tmp_path), tmp_path / "cache"
    changed = spec.sets[0][1][0].hr
    before, build = changed.read_bytes(), store_module.build

    def build_late(*given):
        put(changed, photo(77, 41, 50))
        return build(*given)

    monkeypatch.setattr(store_module, "build", build_late)
    with pytest.raises(UserError, match=r"^pictures were changed while they were read; wait"):
        open_store(spec, cache)
    monkeypatch.undo()
    assert not list(cache.glob("*.u8"))
    changed.write_bytes(before)
    assert open_store(spec, cache).built


def _open_and_report(spec, cache, barrier, queue):
    barrier.wait()
    store = open_store(spec, cache)
    queue.put((store.built, int(store.sets["train"][0].hr.astype(int).sum())))


def test_processes_that_open_at_once_build_once(tmp_path):
    spec = pickle.loads(pickle.dumps(spec_of(tmp_path, count=6)))
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_open_and_report, args=(spec, tmp_path / "cache", barrier, queue)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(built for built, _ in found) == [False, False, True]
    assert len({total for _, total in found}) == 1
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_corrupt_picture_is_named_and_leaves_nothing_behind(tmp_path):
    spec = spec_of(tmp_path)
    victim = spec.sets[2][1][1].hr
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"test1\.png"):
        open_store(spec, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_missing_picture_is_named(tmp_path):
    spec = spec_of(tmp_path)
    spec.sets[1][1][0].hr.unlink()
    with pytest.raises(UserError, match=r"validation0\.png: cannot be read"):
        open_store(spec, tmp_path / "cache")


def test_lr_of_another_size_is_named_with_both_sizes(tmp_path):
    hr = photo(0)
    with pytest.raises(UserError, match=r"photox2\.png is 40x32, but .*photo\.png \(120x96\).*needs 60x48"):
        open_store(pair_spec(tmp_path, hr, downscale(hr, 3)), tmp_path / "cache")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, -1), (-1, 1), (1, 1)])
def test_misaligned_pair_is_named(tmp_path, scale, down, right):
    hr = photo(1, 48 * scale, 60 * scale)
    lr = np.roll(downscale(hr, scale), (down, right), axis=(0, 1))
    expected = rf"photox{scale}\.png is shifted against .*photo\.png by about {right * scale} pixels to the right and "
    with pytest.raises(UserError, match=expected + f"{down * scale} down"):
        open_store(pair_spec(tmp_path, hr, lr, scale), tmp_path / "cache")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pair_that_is_off_by_one_hr_pixel_is_noted(tmp_path, scale):
    hr = photo(1, 48 * scale, 60 * scale)
    lr = downscale(np.roll(hr, (1, 0), axis=(0, 1)), scale)
    store = open_store(pair_spec(tmp_path, hr, lr, scale), tmp_path / "cache")
    (note,) = store.notes
    assert note.startswith("1 picture whose LR picture seems shifted by about 0 pixels to the right and 1 down")
    assert note.endswith(": photo.png")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("method", ["BOX", "BILINEAR", "BICUBIC", "LANCZOS", "NEAREST", "noise", "jpeg", "dark"])
def test_other_ways_to_make_lr_are_accepted(tmp_path, scale, method):
    hr = photo(2, 48 * scale, 60 * scale)
    ours = downscale(hr, scale)
    if method == "noise":
        lr = np.clip(ours + np.random.default_rng(0).normal(0, 25, ours.shape), 0, 255).astype(np.uint8)
    elif method == "jpeg":
        lr = read_picture(put(tmp_path / "low.jpg", ours, quality=20)).pixels
    elif method == "dark":
        lr = ours // 3
    else:
        lr = np.asarray(Image.fromarray(hr).resize((60, 48), Image.Resampling[method]))
    store = open_store(pair_spec(tmp_path, hr, lr, scale), tmp_path / "cache")
    (pair,) = [one for pairs in store.sets.values() for one in pairs if np.array_equal(one.hr, hr)]
    np.testing.assert_array_equal(pair.lr, lr)


@pytest.mark.parametrize("order", ["BGR", "GBR", "RBG"])
@pytest.mark.parametrize("degradation", ["none", "noise", "jpeg"])
def test_channels_in_another_order_are_named(tmp_path, order, degradation):
    hr = photo(2)
    lr = downscale(hr, 2)
    if degradation == "noise":
        lr = np.clip(lr + np.random.default_rng(0).normal(0, 20, lr.shape), 0, 255).astype(np.uint8)
    elif degradation == "jpeg":
        lr = read_picture(put(tmp_path / "low.jpg", lr, quality=40)).pixels
    lr = lr[..., ["RGB".index(letter) for letter in order]]
    # What order brings LR back to that of HR.
    back = "".join("RGB"[order.index(letter)] for letter in "RGB")
    what = "red and blue swapped" if order == "BGR" else f"its channels in the order {back}"
    with pytest.raises(UserError, match=rf"photox2\.png has {what} against .*photo\.png; make LR anew"):
        open_store(pair_spec(tmp_path, hr, lr), tmp_path / "cache")


def test_a_wall_of_one_colour_swapped_is_named(tmp_path):
    grey = photo(2)[..., :1].astype(float) / 255
    hr = (grey * [200, 90, 60]).astype(np.uint8)
    with pytest.raises(UserError, match="has red and blue swapped against"):
        open_store(pair_spec(tmp_path, hr, downscale(hr, 2)[..., ::-1]), tmp_path / "cache")


def test_grey_beside_colour_is_named(tmp_path):
    hr = photo(2)
    lr = downscale(hr, 2)
    with pytest.raises(UserError, match=r"photox2\.png is grey, and .*photo\.png is in colour"):
        open_store(pair_spec(tmp_path, hr, np.asarray(Image.fromarray(lr).convert("L"))), tmp_path / "cache")
    with pytest.raises(UserError, match=r"photox2\.png is in colour, and .*photo\.png is grey"):
        open_store(pair_spec(tmp_path, np.asarray(Image.fromarray(hr).convert("L")), lr), tmp_path / "cache")


def test_grey_beside_grey_is_accepted_with_noise_in_colour(tmp_path):
    hr = photo(2)[..., :1].repeat(3, axis=2)
    lr = downscale(hr, 2)
    open_store(pair_spec(tmp_path, hr, lr), tmp_path / "cache")
    noisy = np.clip(lr + np.random.default_rng(0).normal(0, 50, lr.shape), 0, 255).astype(np.uint8)
    open_store(pair_spec(tmp_path, hr, noisy), tmp_path / "cache")


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("degradation", ["blur", "noise", "brightness", "tint", "faded", "jpeg", "all"])
def test_degraded_photographs_are_accepted(tmp_path, index, degradation):
    """As DIV2K's tracks mild and wild degrade: blur, noise that depends on the brightness, exposure, compression."""
    path = sample_files()["test"][index]
    hr = read_picture(path).pixels[:240, :300]
    rng = np.random.default_rng(index)
    every = degradation == "all"
    picture = Image.fromarray(hr)
    if degradation == "blur" or every:
        picture = picture.filter(ImageFilter.GaussianBlur(3))
    lr = np.asarray(picture.resize((150, 120), Image.Resampling.BICUBIC)).astype(float)
    if degradation == "noise" or every:
        lr += rng.normal(0, 1, lr.shape) * np.sqrt(8 * lr)
    if degradation == "brightness" or every:
        lr = 1.3 * lr - 30
    if degradation == "tint" or every:
        # Light of another colour, as a camera takes it that balances white otherwise.
        lr *= [0.75, 1.0, 1.3]
    if degradation == "faded":
        lr = 0.4 * lr + 0.6 * lr.mean(2, keepdims=True)
    lr = np.clip(lr, 0, 255).astype(np.uint8)
    if degradation == "jpeg" or every:
        lr = read_picture(put(tmp_path / "low.jpg", lr, quality=10)).pixels
    open_store(pair_spec(tmp_path, hr, lr), tmp_path / "cache")


def test_stores_of_versions_that_checked_less_are_made_anew(tmp_path):
    hr = photo(0)
    spec, cache = pair_spec(tmp_path, hr, downscale(hr, 2)), tmp_path / "cache"
    path = cache / f"{open_store(spec, cache).checksum}.json"
    index = json.loads(path.read_text())
    assert not open_store(spec, cache).built
    del index["seal"], index["checks"]
    path.write_text(json.dumps({**index, "seal": store_module._seal(index)}))
    assert open_store(spec, cache).built
    assert not open_store(spec, cache).built


def test_lr_of_another_picture_is_named(tmp_path):
    with pytest.raises(UserError, match=r"photox2\.png does not show the same picture as .*photo\.png"):
        open_store(pair_spec(tmp_path, photo(3), downscale(photo(4), 2)), tmp_path / "cache")


@pytest.mark.parametrize("size", [4, 16, 64])
def test_flat_pictures_are_neither_shifted_nor_mismatched(tmp_path, size):
    hr = np.full((size, size, 3), 90, np.uint8)
    open_store(pair_spec(tmp_path, hr, np.full((size // 2, size // 2, 3), 96, np.uint8)), tmp_path / "cache")


def test_the_same_picture_in_two_sets_is_named_with_both(tmp_path):
    spec = spec_of(tmp_path)
    pixels = read_picture(spec.sets[0][1][1].hr).pixels
    put(spec.sets[2][1][0].hr, pixels, compress_level=1)  # other bytes, the same pixels
    with pytest.raises(UserError, match=r"train1\.png \(train\) and .*test0\.png \(test\) are the same picture"):
        open_store(spec, tmp_path / "cache")


def test_two_sets_of_one_name_are_refused(tmp_path):
    spec = spec_of(tmp_path)
    with pytest.raises(UserError, match="two sets of pictures are called train"):
        open_store(StoreSpec((spec.sets[0], spec.sets[0]), 2), tmp_path / "cache")


def test_conversions_are_noted_in_one_line(tmp_path):
    for i in range(7):
        put(tmp_path / "hr" / f"grey{i}.png", photo(i, 32, 32)[..., 0])
    spec = StoreSpec((("train", read_set("data", str(tmp_path / "hr"), None, 2).pairs),), 2)
    assert open_store(spec, tmp_path / "cache").notes == (
        "7 pictures grey, converted to RGB: grey0.png, grey1.png, grey2.png, grey3.png, grey4.png and 2 more",
    )


def test_pictures_smaller_than_the_scale_are_named(tmp_path):
    put(tmp_path / "hr" / "tiny.png", photo(0, 3, 40))
    spec = StoreSpec((("train", read_set("data", str(tmp_path / "hr"), None, 4).pairs),), 4)
    with pytest.raises(UserError, match=r"tiny\.png: 40x3 is too small for scale 4"):
        open_store(spec, tmp_path / "cache")


def test_too_little_free_space_says_what_is_needed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda _: usage(10**6, 10**6, 5000))
    with pytest.raises(UserError, match=r"0\.0 MB free, too little; decoded pictures need 0\.0 MB.*cache_dir"):
        open_store(spec_of(tmp_path), tmp_path / "cache")


def test_a_disk_that_fills_up_while_writing_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "build", full)
    with pytest.raises(UserError, match="the disk filled up; decoded pictures need"):
        open_store(spec_of(tmp_path), tmp_path / "cache")


def test_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"cannot be written .*runtime\.cache_dir"):
        open_store(spec_of(tmp_path), tmp_path / "cache")


def test_needed_space_is_what_is_written(tmp_path):
    spec = spec_of(tmp_path, 3)
    checksum = open_store(spec, tmp_path / "cache").checksum
    written = (tmp_path / "cache" / f"{checksum}.u8").stat().st_size
    assert written == build_module.needed_bytes(spec.sets, 3)


def test_sample_photographs_make_a_store(tmp_path):
    spec = store_spec(resolve_sets(DataConfig(hr="sample:scikit-image"), 2, 0), 2)
    store = open_store(spec, tmp_path)
    assert {name: len(pairs) for name, pairs in store.sets.items()} == {"train": 8, "validation": 2, "test": 3}
    assert any(note.startswith("5 pictures grey, converted to RGB: brick.png") for note in store.notes)
