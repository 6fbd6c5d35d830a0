"""The search over its journal: lost, failed and late events, retries, stops; the same in whatever order results come.

That interrupted and resumed is the same as uninterrupted is in test_search_resumed.py.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import (
    PROMOTION,
    RACE,
    SPACE,
    TWELVE,
    FirstInFirstOut,
    InProcess,
    Killed,
    World,
    events_of,
    failing_often,
    failing_once,
    finished_in,
    make_config,
    moody,
    records,
    search,
    view_of,
)

from esr_ray.metrics import Quality
from esr_ray.runs.journal import read_journal
from esr_ray.runs.record import read_history
from esr_ray.search.backend import Began, Done, Failed, Lost
from esr_ray.search.loop import Stopped

PLAIN = {}
WITH_ALL = {"promotion": PROMOTION, "race": RACE}


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 5),
    st.sampled_from([SPACE, TWELVE]),
    st.sampled_from([PLAIN, WITH_ALL]),
)
def test_order_of_results_and_number_of_devices_change_no_generation(fresh, salt, order, devices, space, parts):
    config = make_config(seed=salt, generations=4, **parts)
    paths = fresh(), fresh()
    first, _ = search(paths[0], config, InProcess(World(moody(salt), salt), 0, 1), space)
    other, _ = search(paths[1], config, InProcess(World(moody(salt), salt), order, devices), space)
    assert records(paths[0]) == records(paths[1])
    assert first == other


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 5))
def test_without_a_barrier_the_same_order_of_results_is_the_same_search(fresh, salt, order, devices):
    config = make_config(seed=salt, schedule="steady", **WITH_ALL)
    paths = fresh(), fresh()
    states = [search(path, config, InProcess(World(moody(salt), salt), order, devices))[0] for path in paths]
    assert records(paths[0]) == records(paths[1])
    assert states[0] == states[1]
    assert list(states[0].outcomes) == list(states[1].outcomes)


@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_a_finished_search_resumed_trains_nothing(fresh, schedule):
    path, config = fresh(), make_config(schedule=schedule, **WITH_ALL)
    expected, _ = search(path, config, InProcess(World()))
    before = records(path)
    backend = InProcess(World())
    assert search(path, config, backend)[0] == expected
    assert backend.submitted == []
    assert records(path) == before


def test_more_generations_go_on_as_if_they_had_been_asked_for_at_once(fresh):
    paths = fresh(), fresh()
    expected, _ = search(paths[0], make_config(5), InProcess(World(moody(1)), 3))
    world = World(moody(1))
    search(paths[1], make_config(2), InProcess(world, 4))
    state, _ = search(paths[1], make_config(5), InProcess(world, 5))
    assert state == expected
    assert records(paths[0]) == records(paths[1])


def test_more_evaluations_go_on_as_if_they_had_been_asked_for_at_once_without_a_barrier(fresh):
    paths = fresh(), fresh()
    expected, _ = search(paths[0], make_config(5, schedule="steady"), FirstInFirstOut(World(), devices=1))
    search(paths[1], make_config(2, schedule="steady"), FirstInFirstOut(World(), devices=1))
    state, _ = search(paths[1], make_config(5, schedule="steady"), FirstInFirstOut(World(), devices=1))
    assert state == expected
    assert records(paths[0]) == records(paths[1])


def test_devices_never_wait_without_a_barrier(fresh):
    """Whenever the loop waits for an event, as many jobs are submitted as there are devices, until the budget ends."""
    waiting = []

    class Watched(InProcess):
        def next_event(self, timeout_s):
            waiting.append((len(self.queue) + len(self.running), len(set(self.submitted))))
            return super().next_event(timeout_s)

    search(fresh(), make_config(5, schedule="steady"), Watched(World(), devices=3))
    assert {busy for busy, submitted in waiting if submitted < 20} == {3}


def test_no_network_is_trained_twice_where_children_repeat(fresh):
    path, backend = fresh(), InProcess(World())
    state, _ = search(path, make_config(6), backend, TWELVE)
    archs = [one.arch for one in state.candidates.values()]
    assert len(set(archs)) == len(archs) == len(backend.submitted) <= 12


# Lost and failed.


def test_lost_is_tried_again_up_to_the_limit_and_then_failed(fresh):
    path = fresh()
    lost = {0: 2, 1: 99}
    world = World(lambda job, tries: "lost" if tries < lost.get(job.id, 0) else "finished")
    state, history = search(path, make_config(1, attempts=3), InProcess(world))
    # After the third a control is trained, and then it is tried once more.
    assert world.tries == {0: 3, 1: 4, 2: 1, 3: 1}
    assert finished_in(path) == {0, 2, 3}
    assert state.failed == {1}
    assert history.starts == {0: 3, 1: 4, 2: 1, 3: 1}
    for job, attempts in ((0, [1, 2, 3]), (1, [1, 2, 3, 4])):
        assert [one["attempt"] for one in events_of(path, "started") if one["job"] == job] == attempts
    (reason,) = [one["reason"] for one in events_of(path, "failed")]
    assert reason == "lost 4 times (runtime.max_attempts is 3), the last: its node died"
    assert [one["job"] for one in events_of(path, "lost")].count(1) == 4


def test_a_limit_of_one_attempt_tries_nothing_again(fresh):
    world = World(lambda job, tries: "lost")
    search(fresh(), make_config(1, attempts=1), InProcess(world))
    assert set(world.tries.values()) == {1}


def test_what_was_under_way_when_the_run_ended_is_lost_and_not_counted_as_an_attempt(fresh):
    path, config = fresh(), make_config(1, attempts=1)
    with pytest.raises(Killed):
        search(path, config, InProcess(World(), 1, devices=2, events=3))
    under_way = read_history(path).under_way
    assert under_way
    search(path, config, InProcess(World(), 2))
    assert {one["job"] for one in events_of(path, "lost")} == under_way
    assert {one["reason"] for one in events_of(path, "lost")} == {"the run was interrupted"}
    assert finished_in(path) == {0, 1, 2, 3}


def test_failed_candidates_do_not_end_the_search_and_are_no_parents(fresh):
    path = fresh()
    state, _ = search(path, make_config(4), InProcess(World(lambda job, t: "failed" if job.id % 3 else "finished")))
    assert state.births == 16
    assert {job for job in state.outcomes if job not in state.failed} == {job for job in range(16) if job % 3 == 0}
    parents = {parent for one in state.candidates.values() for parent in one.parents}
    assert parents
    assert all(parent % 3 == 0 for parent in parents)
    assert {one["reason"] for one in events_of(path, "failed")} >= {"raised, of 1"}


def test_a_generation_that_failed_as_a_whole_is_followed_by_random_ones(fresh):
    state, _ = search(fresh(), make_config(3), InProcess(World(lambda job, t: "failed" if job.id < 4 else "finished")))
    operators = [{state.candidates[one].operator for one in range(start, start + 4)} for start in (0, 4, 8)]
    assert operators == [{"random"}, {"random"}, {"crossover", "mutation"}]


@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_a_search_of_which_everything_failed_ends_without_a_result(fresh, schedule):
    config = make_config(3, schedule=schedule, **WITH_ALL)
    state, _ = search(fresh(), config, InProcess(World(lambda job, tries: "failed")))
    assert view_of(state).ids == ()
    assert state.failed == set(state.jobs)
    assert state.births >= 3


def test_a_network_that_is_not_the_counted_one_is_a_failure_with_a_reason(fresh):
    path = fresh()
    state, _ = search(path, make_config(1), InProcess(World(lambda job, t: "wrong" if job.id == 2 else "finished")))
    params = state.candidates[2].params
    (failure,) = events_of(path, "failed")
    assert failure["reason"] == f"the built network has {params + 1:,} parameters, the count says {params:,}"
    assert finished_in(path) == {0, 1, 3}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_result_that_is_no_number_is_a_failure_of_that_candidate_alone(fresh, value):
    class OneOfNoNumber(World):
        def fitness(self, job):
            return value if job.id == 2 else super().fitness(job)

    path = fresh()
    state, _ = search(path, make_config(2), InProcess(OneOfNoNumber()))
    (failure,) = events_of(path, "failed")
    assert (failure["job"], failure["reason"]) == (2, f"its psnr_y is {value}, which is not a finite number")
    assert np.isfinite(view_of(state).estimate.mean).all()
    assert read_history(path).state == state


def test_late_events_of_jobs_that_ended_are_ignored(fresh):
    class Repeating(InProcess):
        """Says each end twice, and speaks of jobs that nobody asked for."""

        again = None

        def next_event(self, timeout_s):
            if self.again is not None:
                event, self.again = self.again, None
                return event
            event = super().next_event(timeout_s)
            if isinstance(event, Done):
                self.again = replace(event, trained=replace(event.trained, quality=Quality(99.0, 99.0, 1.0)))
            elif isinstance(event, Failed):
                self.again = Lost(event.job, "late")
            elif event is None:
                return Began(10**6, "device", "node")
            return event

    paths = fresh(), fresh()
    expected, _ = search(paths[0], make_config(), InProcess(World(failing_often)))
    state, _ = search(paths[1], make_config(), Repeating(World(failing_often)))
    assert state == expected
    assert records(paths[0]) == records(paths[1])
    assert events_of(paths[1], "lost") == []


def test_a_result_that_comes_after_its_job_was_given_up_as_lost_is_taken_once(fresh):
    class Late(InProcess):
        """The first job is said to be lost, and its result comes all the same."""

        def end(self, job):
            if job.id == 0 and self.submitted.count(0) == 1:
                self.running.append(job)
                self.submitted.append(0)
                return Lost(0, "its node did not answer")
            return super().end(job)

    path, world = fresh(), World()
    state, _ = search(path, make_config(1), Late(world, devices=9))
    assert world.tries[0] in (1, 2)
    assert 0 in state.outcomes
    assert [one["job"] for one in events_of(path, "finished")].count(0) == 1


def test_results_are_kept_before_they_are_recorded(fresh):
    """What the journal calls finished has its weights on the disk, wherever the process dies."""
    path = fresh()
    kept = []

    def keep(done):
        assert done.job not in finished_in(path)
        kept.append(done.job)
        if len(kept) == 3:
            raise Killed

    with pytest.raises(Killed):
        search(path, make_config(1), InProcess(World()), keep=keep)
    assert finished_in(path) == set(kept[:2])


def test_a_stop_is_taken_note_of_and_nothing_is_lost(fresh):
    path, config = fresh(), make_config()
    calls = iter(range(15))
    with pytest.raises(Stopped):
        search(path, config, InProcess(World()), should_stop=lambda: next(calls, None) is None)
    done = finished_in(path)
    backend = InProcess(World(), 7)
    search(path, config, backend)
    whole = fresh()
    search(whole, config, InProcess(World()))
    assert records(path) == records(whole)
    assert done
    assert not done & set(backend.submitted)


# The race.


def test_what_is_under_way_is_dropped_when_the_winner_is_sure(fresh):
    """Seeds make no difference here, and candidates much: after the first repetitions the winner is sure."""
    path = fresh()
    config = make_config(3, schedule="steady", race={"share": 0.6, "confidence": 0.9, "tolerance": 0.02})
    backend = FirstInFirstOut(World(noise=1e-6), devices=3)
    state, history = search(path, config, backend)
    dropped = {one["job"] for one in events_of(path, "dropped")}
    assert set(backend.stopped) == dropped
    assert all(state.jobs[job].purpose == "race" for job in dropped)
    assert all(state.outcomes[job].quality is None and not state.outcomes[job].failed for job in dropped)
    assert not history.under_way
    assert state.pending == frozenset()


# Retries of the failed.


def test_failed_are_trained_again_when_that_is_asked_for_and_count_then(fresh):
    path, config, world = fresh(), make_config(2), World(failing_once)
    before, _ = search(path, config, InProcess(world))
    assert before.failed == {job for job in before.jobs if job % 2}
    backend = InProcess(world)
    after, history = search(path, config, backend, retry=True)
    assert backend.submitted == sorted(before.failed)
    assert after.failed == frozenset()
    assert set(view_of(after).ids) == set(after.candidates)
    assert after.jobs == before.jobs
    assert {job: one for job, one in after.outcomes.items() if job not in before.failed} == {
        job: one for job, one in before.outcomes.items() if job not in before.failed
    }
    assert [history.starts[job] for job in sorted(before.failed)] == [2] * len(before.failed)


@pytest.mark.parametrize("events", range(14))
def test_retries_come_to_the_same_state_wherever_they_were_interrupted(fresh, events):
    def run(path, interrupted):
        world = World(failing_once)
        search(path, make_config(2), InProcess(world))
        if interrupted is not None:
            with pytest.raises(Killed):
                search(path, make_config(4), InProcess(world, events=interrupted), retry=True)
        search(path, make_config(4), InProcess(world), retry=interrupted is None)
        return search(path, make_config(4), InProcess(world))[0]

    paths = fresh(), fresh()
    assert run(paths[0], None) == run(paths[1], events)
    assert records(paths[0]) == records(paths[1])


def test_what_is_to_be_tried_again_is_not_scheduled_twice(fresh):
    path, config, world = fresh(), make_config(2), World(failing_once)
    search(path, config, InProcess(world))
    for _ in range(2):
        with pytest.raises(Killed):
            search(path, config, InProcess(world, events=0), retry=True)
    search(path, config, InProcess(world), retry=True)
    assert set(Counter(one["job"] for one in events_of(path, "retry")).values()) == {1}


def test_what_is_tried_again_before_a_generation_is_a_parent_in_it(fresh):
    path, world = fresh(), World(lambda job, tries: "failed" if tries == 0 else "finished")
    search(path, make_config(1), InProcess(world))
    state, _ = search(path, make_config(2), InProcess(world), retry=True)
    second = [state.candidates[one] for one in range(4, 8)]
    assert {one.operator for one in second} == {"crossover", "mutation"}
    assert {parent for one in second for parent in one.parents} <= set(range(4))


def test_what_failed_again_can_be_tried_again(fresh):
    path, config = fresh(), make_config(1)
    world = World(lambda job, tries: "failed" if job.id == 1 and tries < 3 else "finished")
    search(path, config, InProcess(world))
    for _ in range(3):
        state, _ = search(path, config, InProcess(world), retry=True)
    assert state.failed == frozenset()
    assert world.tries[1] == 4
    backend = InProcess(world)
    state, _ = search(path, config, backend)
    assert backend.submitted == []
    assert set(view_of(state).ids) == {0, 1, 2, 3}


def test_a_journal_reads_the_same_while_it_is_written(fresh):
    """The state of the loop is the fold of what it wrote."""
    path = fresh()
    state, history = search(path, make_config(schedule="steady", **WITH_ALL), InProcess(World(moody(3), 3)))
    again = read_history(path)
    assert again.state == state
    assert (again.starts, again.under_way, again.seconds) == (history.starts, history.under_way, history.seconds)
    assert [one["v"] for one in read_journal(path).events] == [3] * len(read_journal(path).events)
