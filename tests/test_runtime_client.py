"""The command's connection to Ray (searches themselves: test_runtime_ray.py)."""

import pytest

from esr_ray.errors import UserError
from esr_ray.runtime.client import connection


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nothing_listens_is_an_error_that_names_it(address: str) -> None:
    with pytest.raises(UserError, match=f"--address {address}: no Ray cluster could be reached: "), connection(address):
        pass
