"""A space and its constraints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import small_space

from esr_ray.config.space import SpaceConfig
from esr_ray.errors import UserError
from esr_ray.space.counts import mult_adds_720p, reference_params
from esr_ray.space.space import make_space
from esr_ray.space.spec import frame_name, split_frame

NAMES = small_space().vocabulary.names
archs = st.lists(st.sampled_from(NAMES), min_size=1, max_size=8).map(tuple)


@given(archs, archs, st.sampled_from(["exact", "reference"]), st.integers(-1, 1), st.integers(-1, 1))
def test_a_network_is_allowed_exactly_within_its_limits(arch, other, counting, below, above):
    """Limits are taken a parameter around another network's counts: the edges belong to the budget."""
    free = small_space()
    cost = free.cost(other)
    count = reference_params(other, 8) if counting == "reference" else cost.params
    limit = mult_adds_720p(cost, 2)
    space = small_space(
        min_params=count - 1 + below, max_params=count + 1 + above, max_mult_adds=limit, budget_counting=counting
    )
    params = reference_params(arch, 8) if counting == "reference" else free.cost(arch).params
    within = space.min_params <= params <= space.max_params and mult_adds_720p(free.cost(arch), 2) <= limit
    assert (space.violation(arch) == 0) == within
    assert space.allows(arch) == (within and 3 <= len(arch) <= 6)


def test_the_violation_grows_with_the_distance_from_the_budget():
    space = small_space(min_params=5000, max_params=6000)
    by_count = sorted((space.cost((name,) * n).params, (name,) * n) for name in NAMES for n in range(1, 7))
    below = [space.violation(arch) for count, arch in by_count if count < 5000]
    above = [space.violation(arch) for count, arch in by_count if count > 6000]
    assert below == sorted(below, reverse=True)
    assert above == sorted(above)
    assert min(len(below), len(above)) > 3
    assert min(below + above) > 0


@pytest.mark.parametrize(
    ("keys", "scale", "message"),
    [
        ({"node_num": 4, "min_active": 5}, 2, r"space.min_active: 5 is more than node_num \(4\)"),
        ({"min_params": 3000, "max_params": 2000}, 2, r"space.min_params: 3,000 is more than max_params \(2,000\)"),
        ({"base_channels": 18}, 2, "space.base_channels: 18 must be divisible by 4 for scale 2"),
        ({"base_channels": 18}, 3, "space.base_channels: 18 must be divisible by 4 for scale 3"),
        ({"base_channels": (8, 10)}, 2, "space.base_channels: 10 must be divisible by 4 for scale 2"),
        ({"base_channels": 5000}, 2, "space.base_channels: 5000 must be from 4 to 4,096"),
    ],
)
def test_keys_that_contradict_each_other_are_errors(keys, scale, message):
    with pytest.raises(UserError, match=message):
        make_space(SpaceConfig(**keys), scale)


def test_x4_takes_any_base_channels():
    assert make_space(SpaceConfig(base_channels=18), 4).cost(("S_4_8_8",)).params > 0


def test_of_several_base_channels_a_network_names_its_own():
    space, blocks = small_space(base_channels=(8, 16)), ("S_1_4_4",) * 3
    for channels in (8, 16):
        alone = small_space(base_channels=channels)
        named = (frame_name(channels), *blocks)
        assert space.parts(named) == (channels, blocks)
        assert space.cost(named) == alone.cost(blocks)
        assert space.holds(named)
        # The same network in the one space and in the other.
        assert (alone.own(named), space.own(named), alone.own(blocks)) == (blocks, named, blocks)
        assert not alone.holds(named)
    assert not space.holds(blocks)
    assert not space.holds(("G0_12", *blocks))
    assert not space.holds(("G0_8", *blocks[:2]))
    assert small_space().own(("G0_12", *blocks)) is None
    assert space.own(("G0_12", *blocks)) is space.own(blocks) is None
    assert split_frame(()) == (None, ())
    assert split_frame(("G0_08", "S_1_4_4")) == (None, ("G0_08", "S_1_4_4"))
