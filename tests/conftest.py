"""What several test files are given."""

import itertools
import os

import pytest

from esr_ray.native.library import Library, NativeUnavailable, load_library
from esr_ray.space.block import BLOCK_TYPES, block_cost, parse_block
from esr_ray.space.counts import reference_block_params


@pytest.fixture(scope="session")
def library() -> Library:
    """The native library. That it can be built where there is a compiler is for test_native_library.py to say."""
    try:
        return load_library()
    except NativeUnavailable as error:
        pytest.skip(f"there is no native library: {error}")


@pytest.fixture
def block_types():
    """Letters that a test registers are unknown again afterwards."""
    before = dict(BLOCK_TYPES)
    yield
    BLOCK_TYPES.clear()
    BLOCK_TYPES.update(before)
    for cached in (parse_block, block_cost, reference_block_params):
        cached.cache_clear()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A new path for a journal, at each call. What is synced does not matter there, and costs time."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    folder, numbers = tmp_path_factory.mktemp("journals"), itertools.count()
    yield lambda: folder / f"{next(numbers)}.jsonl"
    patch.undo()
