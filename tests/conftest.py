"""What several test files are given."""

import pytest

from esr_ray.native.library import Library, NativeUnavailable, load_library


@pytest.fixture(scope="session")
def library() -> Library:
    """The native library. That it can be built where there is a compiler is for test_native_library.py to say."""
    try:
        return load_library()
    except NativeUnavailable as error:
        pytest.skip(f"there is no native library: {error}")
