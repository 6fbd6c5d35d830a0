"""The native library gathers crops to the bit as NumPy does, and refuses views that it cannot read."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr_ray.data import crops
from esr_ray.data.crops import PicturePair, gather, gather_views, sample_batch
from esr_ray.native.library import NativeError, NativeUnavailable, address


def picture(height, width, seed=0):
    """Noise: every value occurs, and no crop is its own reflection."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def gathered(library, given, size):
    """What the library makes of views and their flips."""
    return library.gather([(*address(view), flips) for view, flips in given], size)


def by_numpy(given, size):
    return gather_views([view for view, _ in given], [flips for _, flips in given], size)


def check(library, given, size):
    ours, theirs = gathered(library, given, size), by_numpy(given, size)
    assert ours.shape == (len(given), 3, size, size)
    assert (ours.dtype, ours.flags.c_contiguous) == (theirs.dtype, True)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("flips", range(8))
@pytest.mark.parametrize("size", [1, 2, 5, 8, 17, 48, 65])
def test_crops_are_numpys_with_all_flips_and_sizes(library, flips, size):
    whole = picture(size, size)
    part = picture(size + 7, size + 12)[3 : 3 + size, 5 : 5 + size]
    check(library, [(whole, flips), (part, flips)], size)


def test_each_flip_does_what_its_name_says(library):
    """Beside the comparison: both could be wrong alike."""
    view = picture(9, 9)
    planes = (view / np.float32(255)).transpose(2, 0, 1)
    for flips, expected in ((1, planes[:, :, ::-1]), (2, planes[:, ::-1]), (4, planes.transpose(0, 2, 1))):
        np.testing.assert_array_equal(gathered(library, [(view, flips)], 9)[0], expected)
    # The transposition comes last.
    np.testing.assert_array_equal(gathered(library, [(view, 5)], 9)[0], planes[:, :, ::-1].transpose(0, 2, 1))
    np.testing.assert_array_equal(gathered(library, [(view, 6)], 9)[0], planes[:, ::-1].transpose(0, 2, 1))


def test_every_value_is_numpys_quotient(library):
    values = np.arange(16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    assert len(np.unique(values)) == 256
    check(library, [(values, 0)], 16)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parts_of_parts_of_pictures_give_what_numpy_gives(library, data):
    # From 2: of one pixel NumPy may state any distance to the next.
    size = data.draw(st.integers(2, 20))
    given = []
    for seed in range(data.draw(st.integers(1, 5))):
        view = picture(size + data.draw(st.integers(0, 9)), size + data.draw(st.integers(0, 9)), seed)
        # Rows left out, backwards, or the same one again and again: all are distances from row to row.
        view = view[:: data.draw(st.sampled_from([1, -1]))]
        if view.shape[0] >= 2 * size:
            view = view[::2]
        elif data.draw(st.booleans()):
            view = np.broadcast_to(view[:1], view.shape)
        top = data.draw(st.integers(0, view.shape[0] - size))
        left = data.draw(st.integers(0, view.shape[1] - size))
        given.append((view[top:, left:][:size, :size], data.draw(st.integers(0, 7))))
    check(library, given, size)


def test_memory_that_nobody_may_write_is_read(library, tmp_path):
    content = picture(20, 23)
    path = tmp_path / "picture.bin"
    content.tofile(path)
    mapped = np.memmap(path, np.uint8, "r", shape=content.shape)
    held = np.frombuffer(content.tobytes(), np.uint8).reshape(content.shape)
    for source in (mapped, held):
        assert not source.flags.writeable
        check(library, [(source[2:18, 7:23], flips) for flips in range(8)], 16)
        np.testing.assert_array_equal(
            gathered(library, [(source[2:18, 7:23], 0)], 16), by_numpy([(content[2:18, 7:23], 0)], 16)
        )
    np.testing.assert_array_equal(np.fromfile(path, np.uint8).reshape(content.shape), content)


def test_pictures_are_not_changed_and_a_batch_is_the_callers_own(library):
    view = picture(12, 12)
    before = view.copy()
    first = gathered(library, [(view, 3)], 12)
    kept = first.copy()
    gathered(library, [(255 - view, 3)], 12)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(view, before)


def test_no_crops_are_an_empty_batch(library):
    check(library, [], 8)


@pytest.mark.parametrize(
    "view",
    [
        picture(8, 8).astype(np.int8),
        picture(8, 8).astype(np.float32),
        picture(8, 8).astype(np.uint16),
        picture(8, 8).astype(bool),
        picture(8, 8)[..., :1],
        picture(8, 8)[..., 0],
        picture(8, 8)[None],
        np.zeros((8, 8, 4), np.uint8),
        # RGB in an RGBA picture, every second column, mirrored, backwards colours, transposed, planes.
        np.zeros((8, 8, 4), np.uint8)[..., :3],
        picture(8, 16)[:, ::2],
        picture(8, 8)[:, ::-1],
        picture(8, 8)[..., ::-1],
        picture(8, 8).transpose(1, 0, 2),
        np.zeros((3, 8, 8), np.uint8).transpose(1, 2, 0),
        np.broadcast_to(np.uint8(7), (8, 8, 3)),
    ],
)
def test_pictures_of_another_dtype_shape_or_layout_are_refused(view):
    message = r"a picture is .*, not a view \(h, w, 3\) of uint8 RGB"
    with pytest.raises(NativeError, match=message):
        address(view)
    with pytest.raises(NativeError, match=message):
        _ = PicturePair("odd", picture(8, 8), view).addresses


def test_a_size_that_is_not_positive_is_refused(library):
    with pytest.raises(NativeError):
        library.gather([(*address(picture(8, 8)), 0)], 0)


def test_a_pair_in_another_process_does_not_keep_where_it_was(library):
    pair = PicturePair("sent", picture(20, 20), picture(10, 10))
    assert pair.addresses == (*address(pair.lr), *address(pair.hr))
    sent = pickle.loads(pickle.dumps(pair))
    assert sent.addresses == (*address(sent.lr), *address(sent.hr))


# ------------------------------------------------------------------------------------------------- through sample_batch


def pairs(scale):
    """Whole pictures and parts of them, as training and validation have them."""
    lr, hr = picture(31, 40, 1), picture(31 * scale, 40 * scale, 2)
    part = PicturePair("part", hr[2 * scale : 27 * scale, scale : 33 * scale], lr[2:27, 1:33])
    return [
        PicturePair("whole", hr, lr),
        part,
        PicturePair("small", picture(16 * scale, 16 * scale, 3), picture(16, 16)),
    ]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_batch_is_the_same_whoever_gathers_it(library, scale, monkeypatch):
    batches = {}
    for one in (crops.native_gather(library), gather):
        monkeypatch.setattr(crops, "_gatherer", lambda one=one: one)
        batches[one] = [sample_batch(pairs(scale), 5, step, 16, 16, scale) for step in range(20)]
    for ours, theirs in zip(*batches.values(), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype == np.float32
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(batches[gather][0][0], batches[gather][1][0])


def test_the_library_gathers_where_there_is_one_and_numpy_elsewhere(library, monkeypatch):
    def unavailable():
        raise NativeUnavailable("not here")

    crops._gatherer.cache_clear()
    try:
        assert crops._gatherer() is not gather
        monkeypatch.setattr(crops, "load_library", unavailable)
        crops._gatherer.cache_clear()
        assert crops._gatherer() is gather
    finally:
        crops._gatherer.cache_clear()
