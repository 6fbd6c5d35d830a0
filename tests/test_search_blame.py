"""Trouble of a device is not laid to the candidates that it loses, and that of a candidate not to its device."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import InProcess, OnDevices, World, events_of, finished_in, make_config, records, search

from esr_ray.errors import UserError
from esr_ray.search.blame import CONTROL, Blame, control, is_control
from esr_ray.search.events import Lost
from esr_ray.space.block import parse_block


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6), st.data())
def test_devices_that_lose_what_they_are_given_cost_no_candidate(fresh, seed, devices, data):
    """As long as there is one that trains."""
    bad = data.draw(st.sets(st.integers(0, devices - 1), max_size=devices - 1))
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

    class FullFromThenOn(OnDevices):
        def end(self, job):
            if sum(self.world.tries.values()) == 5:
                self.bad = set(self.names)
            return super().end(job)

    backend = FullFromThenOn(World(), devices=2)
    with pytest.raises(UserError, match="no device is left: no space left on device"):
        search(paths[1], config, backend)
    assert set(backend.given_up) == {"device 0", "device 1"}
    assert len(finished_in(paths[1])) == 5
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
    # The last one after a control.
    assert backend.world.tries[2] == 4
    assert backend.given_up == []
    (failed,) = events_of(path, "failed")
    assert failed["reason"] == "lost 4 times (runtime.max_attempts is 3), the last: its node died"


@pytest.mark.parametrize("moment", [3, 4])
def test_what_all_devices_lose_for_a_moment_costs_no_candidate_as_long_as_it_is_over_with_the_control(fresh, moment):
    path = fresh()
    world = World(lambda job, tries: "lost" if job.id == 2 and tries < moment else "finished")
    backend = OnDevices(world, devices=3)
    state, _ = search(path, make_config(3), backend)
    assert state.failed == ({2} if moment == 4 else set())
    assert world.tries[2] == 4
    assert backend.given_up == []


HERE, THERE = ("device 0", "node"), ("device 1", "node")


def test_what_has_had_its_attempts_and_a_device_that_lost_several_call_for_a_control():
    blame = Blame(3)
    assert [blame.lost(7, HERE), blame.lost(7, THERE), blame.lost(7, HERE)] == ["again", "again", "control"]
    blame.trained(HERE)
    assert blame.is_tired(7)
    assert not blame.is_to_blame(7)
    assert blame.lost(7, THERE) == "control"
    assert blame.is_to_blame(7)
    # Nothing is tried again.
    blame = Blame(1)
    assert blame.lost(7, HERE) == "control"
    assert blame.is_to_blame(7)
    blame = Blame(9)
    assert [blame.lost(one, HERE) for one in (1, 2, 1, 2, 3)] == ["again"] * 4 + ["control"]
    blame.gave_up(HERE)
    assert not any(blame.losses(one) for one in (1, 2, 3))
    blame.lost(1, THERE)
    assert blame.losses(1) == 1


def test_a_device_that_trains_is_not_to_blame_for_what_it_lost_before():
    blame = Blame(3)
    for one in range(20):
        assert blame.lost(one, HERE) == "again"
        assert blame.lost(one, HERE) == "again"
        blame.trained(HERE)
    assert blame.lost(0, THERE) == "control"


def test_a_control_that_dies_by_chance_is_tried_once_more(fresh):
    """As where evaluators are killed."""
    path, lost = fresh(), []

    class Unlucky(OnDevices):
        def end(self, job):
            if is_control(job.id) and not lost:
                lost.append(job.id)
                return Lost(job.id, "killed")
            return super().end(job)

    backend = Unlucky(World(lambda job, tries: "lost" if job.id == 2 else "finished"), devices=2)
    state, _ = search(path, make_config(2), backend)
    assert lost == [-1]
    assert backend.given_up == []
    assert state.failed == {2}
    assert all(one["job"] >= 0 for kind in ("started", "lost", "failed") for one in events_of(path, kind))


def test_controls_have_ids_of_their_own_and_a_network_of_known_blocks():
    one, other = control(0), control(1)
    assert is_control(one.id)
    assert is_control(other.id)
    assert one.id != other.id
    assert not is_control(0)
    assert parse_block(*CONTROL).letter == "S"
