"""What a user reads of errors of other processes and of MindSpore: what happened, in one line."""

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError

from esr_ray.errors import UserError
from esr_ray.runtime.remote_errors import MOST_CHARACTERS, in_a_line, reason_of, says_what_to_do

MINDSPORE = """

----------------------------------------------------
- Memory not enough:
----------------------------------------------------
#umsg#Memory isn't enough and alloc failed, kernel name: Default/data-1, alloc size: 8B.

----------------------------------------------------
- C++ Call Stack: (For framework developers)
----------------------------------------------------
mindspore/ccsrc/backend/ms_backend/runtime/actors/base/data_prepare_actor.cc:1214 Prepare
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("the device is in use"), "RuntimeError: the device is in use"),
        (ValueError("For 'Conv2D':\n  the channels are 3\n"), "ValueError: For 'Conv2D': the channels are 3"),
        (ValueError(), "ValueError"),
        (ValueError("\n----\n"), "ValueError"),
        (UserError("x.yml: is not there"), "x.yml: is not there"),
        (
            RuntimeError(MINDSPORE),
            "RuntimeError: - Memory not enough: Memory isn't enough and alloc failed, kernel name: Default/data-1, "
            "alloc size: 8B.",
        ),
    ],
)
def test_an_error_says_what_happened_and_no_more(error, line):
    assert in_a_line(error) == line
    remote = RayTaskError("train", "Traceback (most recent call last):\n  x\n" + str(error), error)
    assert reason_of(remote) == line
    assert says_what_to_do(remote) == isinstance(error, UserError)
    # As ray.get raises it.
    assert reason_of(remote.as_instanceof_cause()) == line


def test_long_ones_are_cut():
    assert len(in_a_line(RuntimeError("x " * 5000))) == MOST_CHARACTERS + len("RuntimeError: ")


def test_what_ray_raises_itself_is_its_last_line():
    assert reason_of(WorkerCrashedError()).startswith("The worker died unexpectedly")
    assert not says_what_to_do(WorkerCrashedError())
