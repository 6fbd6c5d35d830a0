"""A state is the fold of what was told, never changed, and refuses what cannot follow."""

from dataclasses import replace

import pytest
from worlds import candidate, outcome_of, told

from esr_ray.search.job import Job, Outcome
from esr_ray.search.state import State, before_batch, tell, with_asked, with_retried


def job(number, one=0, steps=10, purpose="birth", batch=0):
    return Job(number, candidate(one), steps, 0, purpose, batch)


def asked(*jobs, state=None):
    state = state or State()
    for one in jobs:
        state = with_asked(state, one)
    return state


def test_a_job_is_pending_until_it_is_told_how_it_ended():
    state = asked(job(0), job(1, 1), job(2, 2))
    assert state.pending == {0, 1, 2}
    state = tell(tell(state, outcome_of(state.jobs[1], 30.0)), outcome_of(state.jobs[0], None))
    assert state.pending == {2}
    assert list(state.outcomes) == [1, 0]
    assert state.failed == {0}
    assert state.outcomes[1].quality.psnr_y == 30.0
    assert state.outcomes[0].failed
    assert state.outcomes[0].reason == "diverged"


def test_a_job_that_was_stopped_is_neither_finished_nor_failed():
    state = tell(asked(job(0)), Outcome(0))
    assert state.outcomes[0].quality is None
    assert not state.outcomes[0].failed
    assert state.failed == state.pending == frozenset()


def test_telling_changes_no_state():
    before = asked(job(0), job(1, 1))
    kept = replace(before, jobs=dict(before.jobs), outcomes=dict(before.outcomes))
    after = with_retried(tell(before, outcome_of(before.jobs[0], None)), 0)
    assert after != before or after.pending == before.pending
    asked(job(2, 2, batch=1), state=before)
    assert before == kept


def test_jobs_candidates_and_steps_are_counted():
    state = asked(
        *(job(0), job(1, 1), job(2, 0, 30, "promotion", 1), job(3, 2, 10, "birth", 1), job(4, 1, 30, "promotion", 1)),
        *(job(5, 0, 30, "race", 2), job(6, 3, 10, "birth", 2)),
    )
    assert state.spent == {"birth": 40, "promotion": 60, "race": 30}
    assert state.spent_steps == 130
    assert state.promoted == {30: 2}
    assert (state.births, state.births_there, state.last_batch) == (4, 1, 2)
    assert (state.next_candidate, state.next_job) == (4, 7)
    assert state.jobs_of == {0: (0, 2, 5), 1: (1, 4), 2: (3,), 3: (6,)}
    assert state.known == {candidate(one).arch: one for one in range(4)}
    assert list(state.candidates) == [0, 1, 2, 3]


def test_numbers_go_on_behind_gaps():
    """A journal of the format before has them: duplicates were not trained."""
    state = asked(job(4, 4))
    assert (state.next_candidate, state.next_job, state.births) == (5, 5, 1)


def test_an_outcome_of_what_is_not_under_way_is_refused():
    state = told((0, 10, 30.0))
    for number in (0, 1):
        with pytest.raises(ValueError, match=f"job {number} is not under way: it was never asked for, or has ended"):
            tell(state, Outcome(number))


def test_a_job_is_not_asked_for_twice():
    state = told((0, 10, 30.0))
    with pytest.raises(ValueError, match="job 0 was asked for before"):
        with_asked(state, job(0, 1))


def test_an_id_is_of_one_candidate():
    state = told((0, 10, 30.0))
    with pytest.raises(ValueError, match="job 1 is of another candidate 0"):
        with_asked(state, Job(1, replace(candidate(0), params=1), 30, 0, "promotion"))


def test_what_failed_may_be_tried_again_and_only_that():
    state = told((0, 10, 30.0), (1, 10, None))
    again = with_retried(state, 1)
    assert again.pending == {1}
    assert again.failed == frozenset()
    assert list(again.outcomes) == [0]
    done = tell(again, outcome_of(again.jobs[1], 31.0))
    assert list(done.outcomes) == [0, 1]
    assert done.failed == frozenset()
    # What it cost was spent when it was asked for.
    assert done.spent == state.spent
    for number in (0, 2):
        with pytest.raises(ValueError, match=f"job {number} has not failed"):
            with_retried(state, number)


def test_before_a_batch_only_outcomes_of_those_before_it_are_known_by_job():
    state = asked(job(0), job(1, 1), job(2, 2, batch=1), job(3, 0, 30, "promotion", 1))
    for number in (1, 0, 3):
        state = tell(state, outcome_of(state.jobs[number], 30.0 + number))
    assert list(before_batch(state, 1).outcomes) == [0, 1]
    assert list(before_batch(state, 2).outcomes) == [0, 1, 3]
    assert before_batch(state, 0).outcomes == {}
    assert before_batch(state, 1).jobs == state.jobs
