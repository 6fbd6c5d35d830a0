"""How many devices train together, and with which kernels."""

import pytest

from esr_ray.errors import UserError
from esr_ray.runtime.training_group import number_of_trainers, without_native


@pytest.mark.parametrize(
    ("wanted", "available", "batch_size", "count"),
    [("auto", 8, 16, 8), ("auto", 6, 16, 4), ("auto", 3, 16, 2), ("auto", 8, 4, 4), ("auto", 2, 7, 1), (2, 8, 16, 2)],
)
def test_devices_are_as_many_as_the_batch_is_divided_among_evenly(wanted, available, batch_size, count):
    assert number_of_trainers(wanted, available, batch_size) == count


def test_more_devices_than_ray_has_are_an_error():
    with pytest.raises(UserError, match=r"runtime\.trainers: 3 are asked for, but Ray has 2"):
        number_of_trainers(3, 2, 12)


@pytest.mark.parametrize(
    ("kernels", "without"),
    [
        (("native avx2", "native avx2"), ()),
        (("native avx2", "native avx512"), ()),
        (("plain", "plain"), ()),
        (("native avx2", "plain", "plain"), ("b", "c")),
        (("plain", "native avx2", "plain"), ("a", "c")),
    ],
)
def test_where_a_node_has_no_native_kernels_that_is_found(kernels, without):
    assert without_native(kernels, ("a", "b", "c")[: len(kernels)]) == without
