"""Interrupted and resumed is the same as uninterrupted: at every event of a search, and within the record of each.

A journal only grows, so whatever a process had written when it died is a beginning of what it would have written: the
journal of a whole search, cut, stands for a process that died there.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import (
    PROMOTION,
    SPACE,
    TWELVE,
    FirstInFirstOut,
    InProcess,
    Killed,
    World,
    failing_often,
    finished_in,
    make_config,
    moody,
    number,
    records,
    search,
    simulated,
)

from esr_ray.search.loop import Stopped
from esr_ray.search.make import make_algorithm

SURE = {"share": 0.4, "confidence": 0.8, "tolerance": 0.1}
# Each with as many generations as make a search in which all of it happens.
PARTS = {
    "plain": (4, {}),
    "promotion": (7, {"promotion": PROMOTION}),
    "race": (6, {"race": SURE}),
    "predictor": (9, {"predictor": "ridge"}),
    "all": (11, {"promotion": PROMOTION, "race": SURE, "objectives": ["psnr", "mult_adds"]}),
}


def in_generations(salt, generations, parts):
    """Results come in any order, some jobs are lost, some fail; each process has another number of devices."""
    config = make_config(seed=salt, generations=generations, individuals=3, schedule="generational", **parts)

    def backend(process):
        return InProcess(World(moody(salt), salt, noise=4), salt + 7 * process, devices=1 + (salt + process) % 4)

    return config, backend


def steady(salt, generations, parts):
    """Choices depend on the order of results here: they come in that of submission, on as many devices."""
    config = make_config(seed=salt, generations=generations, individuals=3, schedule="steady", **parts)
    return config, lambda process: FirstInFirstOut(World(failing_often, salt, noise=4), devices=1 + salt % 4)


SCHEDULES = pytest.mark.parametrize("schedule", [in_generations, steady])


def whole_search(fresh, config, backend):
    path = fresh()
    state, _ = search(path, config, backend(0))
    return path, state


def resume(fresh, content, config, backend):
    """Go on from what a process that died had written: the path and the state."""
    path = fresh()
    path.write_bytes(content)
    done = finished_in(path)
    trainer = backend(1)
    state, history = search(path, config, trainer)
    assert not done & set(trainer.submitted)
    assert not history.under_way
    return path, state


# Where there is a predictor, each death is followed by a hundred fits of it: a second such search takes long.
BY_SALT = [
    pytest.param(parts, salt, marks=pytest.mark.slow if (parts, salt) == ("predictor", 4) else ())
    for parts in PARTS
    for salt in (2, 4)
]


@SCHEDULES
@pytest.mark.parametrize(("parts", "salt"), BY_SALT)
def test_killed_after_any_event_it_goes_on_to_the_same_search(fresh, schedule, parts, salt):
    config, backend = schedule(salt, *PARTS[parts])
    whole, expected = whole_search(fresh, config, backend)
    lines = whole.read_bytes().splitlines(keepends=True)
    # A search in which something of each kind happens.
    assert expected.spent.keys() == {"birth", *PARTS[parts][1]} - {"objectives", "predictor"}
    assert expected.failed
    if schedule is in_generations:
        assert any(b'"lost"' in line for line in lines)
    for count in range(len(lines) + 1):
        path, state = resume(fresh, b"".join(lines[:count]), config, backend)
        assert records(path) == records(whole), count
        assert state == expected, count


@SCHEDULES
def test_killed_within_any_record_it_goes_on_to_the_same_search(fresh, schedule):
    config, backend = schedule(5, *PARTS["all"])
    whole, expected = whole_search(fresh, config, backend)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count, line in enumerate(lines):
        # Without its last byte, the end of the line, a record is whole.
        for size in {1, 1 + int(number(count) * (len(line) - 1)), len(line) - 1}:
            path, state = resume(fresh, b"".join(lines[:count]) + line[:size], config, backend)
            assert records(path) == records(whole), (count, size)
            assert state == expected, (count, size)


@pytest.mark.parametrize("parts", ["promotion", "predictor", "all"])
def test_a_long_search_whose_choices_do_not_see_the_last_outcomes_goes_on_to_the_same_one(fresh, monkeypatch, parts):
    # A choice sees half of the outcomes at least, however few they are.
    monkeypatch.setattr("esr_ray.search.algorithm.SEEN_PARTS", 1)
    config, backend = steady(3, *PARTS[parts])
    whole, expected = whole_search(fresh, config, backend)
    monkeypatch.setattr("esr_ray.search.algorithm.SEEN_PARTS", 500)
    assert whole_search(fresh, config, backend)[1] != expected
    monkeypatch.setattr("esr_ray.search.algorithm.SEEN_PARTS", 1)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count in range(len(lines) + 1):
        path, state = resume(fresh, b"".join(lines[:count]), config, backend)
        assert records(path) == records(whole), count
        assert state == expected, count


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 10**6),
    st.sampled_from([in_generations, steady]),
    st.sampled_from(list(PARTS.values())),
    st.lists(
        st.tuples(st.integers(0, 25), st.sampled_from(["killed", "stopped", "torn"]), st.floats(0, 1)), max_size=5
    ),
)
def test_interrupted_again_and_again_it_goes_on_to_the_same_search(fresh, salt, schedule, parts, interruptions):
    config, backend = schedule(salt, *parts)
    whole, expected = whole_search(fresh, config, backend)
    path = fresh()
    for process, (events, how, place) in enumerate(interruptions, 1):
        done = finished_in(path)
        trainer, left = backend(process), iter(range(events))
        trainer.events = None if how == "stopped" else events
        try:
            stop = (lambda left=left: next(left, None) is None) if how == "stopped" else (lambda: False)
            state, _ = search(path, config, trainer, should_stop=stop)
        except (Killed, Stopped):
            pass
        else:
            assert state == expected
        assert not done & set(trainer.submitted)
        if how == "torn":
            content = path.read_bytes()
            last = content[:-1].rfind(b"\n") + 1
            path.write_bytes(content[: last + round(place * (len(content) - last))])
    state, history = search(path, config, backend(99))
    assert state == expected
    assert records(path) == records(whole)
    assert not history.under_way


@SCHEDULES
def test_a_search_that_ran_out_of_networks_ends_the_same_wherever_it_was_killed(fresh, schedule):
    config, backend = schedule(4, 6, {})
    whole = fresh()
    expected, _ = search(whole, config, backend(0), TWELVE)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines) + 1, 3):
        path = fresh()
        path.write_bytes(b"".join(lines[:count]))
        assert search(path, config, backend(1), TWELVE)[0] == expected
        assert records(path) == records(whole)


def test_the_choices_are_of_the_record_and_not_of_the_process(fresh):
    """One algorithm that has seen another search's states chooses as a new one does."""
    for schedule in ("steady", "generational"):
        config = make_config(seed=1, generations=6, schedule=schedule, **PARTS["all"][1])
        used = make_algorithm(config, SPACE)
        for salt in (0, 1, 0):
            world = World(salt=salt)
            new = make_algorithm(config, SPACE)
            assert simulated(used, world.fitness, 2)[-1] == simulated(new, world.fitness, 2)[-1]
