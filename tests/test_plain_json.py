"""What other programs read is JSON, whatever the figures are."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from esr_ray.plain_json import to_plain_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refuse(constant):
    raise AssertionError(constant)


def finite(value):
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(VALUES)
def test_numbers_that_are_not_finite_are_null_and_all_else_stays(value):
    assert json.loads(to_plain_json(value), parse_constant=refuse) == finite(value)


def test_tuples_are_lists():
    assert to_plain_json({"a": (1.5, float("inf"), (float("nan"),))}) == '{"a": [1.5, null, [null]]}'
