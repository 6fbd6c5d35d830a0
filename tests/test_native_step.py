"""A step of training by the library's two calls: what is illegal is refused, and takes nothing with it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from test_native_library import in_pieces
from test_networks_plain import SPEC, batch

from esr_ray.native.describe import describe
from esr_ray.native.library import NativeError
from esr_ray.training.native import update_settings

DESCRIPTION = describe(SPEC)
PARAMS = 4049
LR, HR = batch()
SETTINGS = update_settings(1e-3, 1, None, None)


def illegal_description():
    description = DESCRIPTION.copy()
    description[11] = 7
    return description


def gradient(library, params=0, description=DESCRIPTION, lr=LR, hr=HR):
    """Loss and gradient; `params`: so many more parameters than the network has."""
    return library.gradient(description, np.full(PARAMS + params, 0.01, np.float32), lr, hr)


# What is wrong, what is given, and the message.
WRONG = {
    "a description that ends too soon": ({"description": DESCRIPTION[:-1]}, "ends before its last block"),
    "a float32 description": ({"description": DESCRIPTION.astype(np.float32)}, "the description is float32"),
    "an int64 description": ({"description": DESCRIPTION.astype(np.int64)}, "the description is int64"),
    "an illegal architecture": ({"description": illegal_description()}, "block 0: type must be S"),
    "weights one too few": ({"params": -1}, "4048 parameters are given, and 4049 needed"),
    "lr of float64": ({"lr": LR.astype(np.float64)}, "an array is float64"),
    "lr of float16": ({"lr": LR.astype(np.float16)}, "an array is float16"),
    "lr in pieces": ({"lr": in_pieces(LR)}, "float32 in C order is needed"),
    "lr of 3 axes": ({"lr": LR[0]}, r"the input has shape \(3, 12, 12\)"),
    "lr of 1 channel": ({"lr": LR[:, :1].copy()}, r"the input has shape \(4, 1, 12, 12\)"),
    "lr of another size": ({"lr": LR[:, :, 1:].copy()}, r"the target has shape \(4, 3, 24, 24\), not \(4, 3, 22, 24\)"),
    "hr a column less": ({"hr": HR[..., 1:].copy()}, r"the target has shape \(4, 3, 24, 23\)"),
    "hr a picture less": ({"hr": HR[1:]}, r"the target has shape \(3, 3, 24, 24\)"),
    "hr of float64": ({"hr": HR.astype(np.float64)}, "an array is float64"),
    "hr in pieces": ({"hr": in_pieces(HR)}, "float32 in C order is needed"),
    "no pictures": ({"lr": LR[:0], "hr": HR[:0]}, r"the input has shape \(0, 3, 12, 12\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_gradient_of_what_is_illegal_is_refused_and_the_next_is_right(library, name):
    loss, right = gradient(library)
    given, message = WRONG[name]
    with pytest.raises(NativeError, match=message):
        gradient(library, **given)
    again, same = gradient(library)
    assert again == loss
    np.testing.assert_array_equal(same, right)


def vectors(*lengths):
    return [np.full(length, 0.25, np.float32) for length in lengths]


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("state", "given", "settings", "message"),
    [
        (vectors(9, 9, 9, 9), vectors(8)[0], SETTINGS, "differ in length"),
        (vectors(9, 9, 9, 10), vectors(9)[0], SETTINGS, "differ in length"),
        (vectors(9, 9, 9), vectors(9)[0], SETTINGS, "four vectors"),
        (vectors(9, 9, 9, 9), vectors(9)[0][None], SETTINGS, "differ in length"),
        ([*vectors(9, 9, 9), read_only(vectors(9)[0])], vectors(9)[0], SETTINGS, "that it may write"),
        ([*vectors(9, 9, 9), np.zeros(9)], vectors(9)[0], SETTINGS, "an array is float64"),
        ([*vectors(9, 9, 9), in_pieces(vectors(9)[0])], vectors(9)[0], SETTINGS, "in C order"),
        (vectors(9, 9, 9, 9), vectors(9)[0], SETTINGS[:-1], "needs other settings"),
        (vectors(9, 9, 9, 9), vectors(9)[0], SETTINGS.astype(np.float64), "an array is float64"),
    ],
)
def test_an_update_of_what_is_illegal_is_refused_and_writes_nothing(library, state, given, settings, message):
    before = [one.copy() for one in state]
    with pytest.raises(NativeError, match=message):
        library.update(state, given, settings)
    for one, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(one, kept)


def test_too_little_memory_is_no_fault_of_the_network(library):
    """In a process of its own, whose memory is bounded: it goes on once it asks for less."""
    code = """
import resource
import numpy as np
from esr_ray.native.describe import describe
from esr_ray.native.library import load_library
from esr_ray.space.spec import NetworkSpec
library, description = load_library(), describe(NetworkSpec(("S_2_4_8",), 8, 2, "nearest"))
parameters = np.zeros(library.sizes(description, 1, 4, 4).params, np.float32)
def gradient(side):
    x = np.zeros((1, 3, side, side), np.float32)
    return library.gradient(description, parameters, x, np.zeros((1, 3, 2 * side, 2 * side), np.float32))
small = gradient(8)[0]
now = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 27), -1))
try:
    gradient(1200)
except MemoryError as error:
    print(error)
print(gradient(8)[0] == small)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert done.stdout == "native network: there is not enough memory\nTrue\n", done.stderr
