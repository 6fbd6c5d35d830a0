"""Trouble of a device is not laid to the candidates that it loses, and that of a candidate not to its device."""


import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import InProcess, OnDevices, World, events_of, finished_in, make_config, records, search

from esr_ray.errors import UserError
from esr_ray.search.blame import Blame


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6), st.data())
def test_devices_that_lose_what_they_are_given_cost_no_candidate(fresh, seed, devices, data):
    """As long as there are fewer of them than a candidate has attempts, and one that trains."""
    bad = data.draw(st.sets(st.integers(0, devices - 1), max_size=min(2, devices - 1)))
    paths, config = (fresh(), fresh()), make_config(4)
    expected, _ = search(paths[0], config, InProcess(World()))
    backend = OnDevices(World(), seed, devices, [f"device {one}" for one in bad])
    state, _ = search(paths[1], config, backend)
    assert state == expected
    assert records(paths[0]) == records(paths[1])
    assert set(backend.given_up) <= backend.bad


def test_where_all_devices_lose_what_they_are_given_the_search_stops_and_goes_on_later(fresh):
    paths, config = (fresh(), fresh()), make_config(3)
    expected, _ = search(paths[0], config, InProcess(World()))
    # In the middle: their disk is full from then on.
    world = World(lambda job, tries: "finished" if job.id < 5 else "lost")
    backend = OnDevices(world, devices=2)
    with pytest.raises(UserError, match="no device is left: its node died"):
        search(paths[1], config, backend)
    assert set(backend.given_up) == {"device 0", "device 1"}
    assert finished_in(paths[1]) == {0, 1, 2, 3, 4}
    assert events_of(paths[1], "failed") == []
    state, _ = search(paths[1], config, OnDevices(World(), devices=2))
    assert state == expected
    assert records(paths[0]) == records(paths[1])


@pytest.mark.parametrize("devices", [1, 3])
def test_a_candidate_that_is_lost_wherever_it_is_trained_fails_and_no_device_is_given_up(fresh, devices):
    path = fresh()
    backend = OnDevices(World(lambda job, tries: "lost" if job.id == 2 else "finished"), devices=devices)
    state, _ = search(path, make_config(3), backend)
    assert state.failed == {2}
    assert backend.world.tries[2] == 3
    assert backend.given_up == []
    (failed,) = events_of(path, "failed")
    assert failed["reason"] == "lost 3 times (runtime.max_attempts), the last: its node died"


HERE, THERE = ("device 0", "node"), ("device 1", "node")


def test_the_last_candidate_of_a_search_is_to_blame_though_nothing_else_is_trained_meanwhile():
    blame = Blame(3)
    assert [blame.lost(7, HERE) for _ in range(3)] == ["again", "again", "candidate"]
    # It does not speak against the device afterwards.
    assert [blame.lost(8, HERE) for _ in range(3)] == ["again", "again", "candidate"]


def test_two_that_are_lost_in_turns_are_laid_to_the_device_and_counted_for_neither():
    blame = Blame(3)
    assert [blame.lost(one, HERE) for one in (1, 2, 1, 2, 1)] == ["again"] * 4 + ["device"]
    assert blame.losses(1) == blame.losses(2) == 0
    blame.lost(1, THERE)
    assert blame.losses(1) == 1


def test_a_device_that_trains_others_is_not_to_blame_for_what_it_lost_before():
    blame = Blame(3)
    for one in range(20):
        assert blame.lost(one, HERE) == "again"
        assert blame.lost(one, HERE) == "again"
        blame.trained(HERE)
    assert blame.lost(0, THERE) == "candidate"
