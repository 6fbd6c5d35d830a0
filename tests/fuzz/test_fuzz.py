"""Whatever is read from files, arguments and arrays: right, or refused in one line, within bounds of memory and time.

`-m slow` reads thirty thousand of each kind, and more; other numbers than those of the short form come with
`ESR_RAY_FUZZ=FIRST`. A find is seen again with `python tests/fuzz/again.py KIND NUMBER`, and becomes a test of its own
beside those of its module.
"""

import os

import pytest
from fuzzing import assert_clean, fuzz
from kinds import KINDS

FIRST = int(os.environ.get("ESR_RAY_FUZZ", "0"))

kinds = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


@kinds
def test_what_inputs_are_made_of_is_read(kind, tmp_path):
    for given in kind.sound():
        kind.read(given, tmp_path / "input")


@kinds
def test_a_few_inputs_are_read_or_refused(kind, tmp_path):
    assert_clean(kind, fuzz(kind, tmp_path, range(FIRST, FIRST + kind.short)))


@pytest.mark.slow
@kinds
def test_many_inputs_are_read_or_refused(kind, tmp_path):
    assert_clean(kind, fuzz(kind, tmp_path, range(FIRST, FIRST + kind.long)))
