"""What several test files are given."""

import itertools
import os
import random
import sys
import tempfile

import pytest
from cases import Case

from esr_ray.native.library import Library, NativeUnavailable, load_library
from esr_ray.space.block import BLOCK_TYPES, block_cost, parse_block
from esr_ray.space.counts import reference_block_params

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
"""Where pytest-xdist runs the tests in several processes, the name of this one; it has temporary files of its own: else
evaluators would wait for cores that are those of other tests', and Rays read each other's notes."""

if WORKER is not None and not tempfile.gettempdir().endswith(WORKER):
    tempfile.tempdir = os.environ["TMPDIR"] = os.path.join(tempfile.gettempdir(), WORKER)
    # There is about a core for each: threads of libraries would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.makedirs(tempfile.tempdir, 0o700, exist_ok=True)


def pytest_addoption(parser):
    parser.addoption(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="run files in a random order, and the tests of each: none needs another",
    )


# First, so that pytest brings those together again that share a parameter of a fixture.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    # Not one test of this file after one of that: fixtures of files would be made for each.
    files = [list(tests) for _, tests in itertools.groupby(items, key=lambda item: item.path)]
    seed = config.getoption("--shuffle")
    if seed is not None:
        chance = random.Random(seed)
        chance.shuffle(files)
        for tests in files:
            chance.shuffle(tests)
    if WORKER is not None:
        # The long ones first: else one process would wait for the other at the end. Without a Ray these are the files
        # of training and native kernels, late in the alphabet. The long form of chaos leaves time for nothing that
        # waits for a process; so fuzz, which waits for none, is beside it.
        files.reverse()
        files.sort(
            key=lambda tests: (
                tests[0].path.parent.name not in ("chaos", "fuzz"),
                not any("ray_address" in item.fixturenames for item in tests),
            )
        )
    items[:] = itertools.chain.from_iterable(files)


@pytest.fixture(scope="session")
def library() -> Library:
    """The native library. That it can be built where there is a compiler is for test_native_library.py to say."""
    try:
        return load_library()
    except NativeUnavailable as error:
        pytest.skip(f"there is no native library: {error}")


@pytest.fixture(scope="module", autouse=True)
def _ray_mode():
    """A Ray that a file starts by itself asks for tokens, and so does this process from then on: not in other files."""
    before = os.environ.get("RAY_AUTH_MODE")
    yield
    if before is None and os.environ.pop("RAY_AUTH_MODE", None) is not None:
        from ray._raylet import AuthenticationTokenLoader, Config

        # As Ray does where it sets it.
        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


@pytest.fixture(scope="session")
def ray_address():
    """HOST:PORT of one Ray for all tests that need none of their own: it takes seconds to start, each time.

    It has two devices. Those who use it leave it as it was: nothing of it is killed but what they started there.
    """
    # Imported late: most tests need no Ray.
    from clusters import SmallCluster
    from ray._common.utils import reset_ray_address

    cluster = SmallCluster()
    cluster.add_node(num_cpus=2)
    # Who does not name it, does not get it: what asks for a Ray without an address, would take the one that is noted.
    reset_ray_address()
    yield cluster.address
    cluster.shutdown()


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


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


@pytest.fixture
def fails(capsys, monkeypatch):
    """Runs the command, which must fail before Ray or MindSpore is even imported; the line without `error: `."""

    def run(*arguments):
        # Imported late: most tests need no command.
        from esr_ray.search.__main__ import main

        with monkeypatch.context() as patch:
            for name in (
                "ray",
                "mindspore",
                "esr_ray.runtime.client",
                "esr_ray.runtime.driver",
                "esr_ray.runtime.dry_run",
            ):
                patch.setitem(sys.modules, name, None)
            status = main([str(one) for one in arguments])
        told = capsys.readouterr()
        assert status == 2
        assert told.out == ""
        assert told.err.startswith("error: ")
        assert told.err.endswith("\n")
        assert told.err.count("\n") == 1
        assert "Traceback" not in told.err
        return told.err.removeprefix("error: ").rstrip("\n")

    return run
