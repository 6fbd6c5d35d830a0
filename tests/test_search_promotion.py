"""Who is trained for longer: asynchronous successive halving over what is known."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import told, view_of

from esr_ray.search.job import Job
from esr_ray.search.promotion import Promotion
from esr_ray.search.state import with_asked

HALVING = Promotion((10, 30, 100), 0.25)


def due(state, promotion=HALVING, seen=None):
    """The id of the candidate that is due, and the steps."""
    found = promotion.next(view_of(seen or state), state)
    return None if found is None else (found[0].id, found[1])


def promoted(state, promotion=HALVING):
    """All that are due one after the other, while nothing ends."""
    view, found = view_of(state), []
    while (one := promotion.next(view, state)) is not None:
        found.append((one[0].id, one[1]))
        state = with_asked(state, Job(state.next_job, one[0], one[1], 0, "promotion"))
    return found


def short(*psnr):
    return told(*((one, 10, value) for one, value in enumerate(psnr)))


def test_nobody_is_due_before_the_kept_part_is_a_whole_candidate():
    assert due(told()) is None
    assert due(short(30.0, 31.0, 32.0)) is None
    assert due(short(30.0, 31.0, 33.0, 32.0)) == (2, 30)


def test_the_best_go_on_and_as_many_as_are_kept():
    psnr = [30.0 + one for one in range(9)]
    assert promoted(short(*psnr)) == [(8, 30), (7, 30)]


def test_who_was_trained_for_longer_is_not_promoted_to_that_length_again():
    state = told((7, 30, 38.0), state=short(*(30.0 + one for one in range(8))))
    assert promoted(state) == [(6, 30)]
    assert promoted(told((6, 30, 37.0), state=state)) == []


def test_one_that_failed_at_the_longer_length_is_not_tried_there_again_and_has_had_its_place():
    state = told((7, 30, None), state=short(*(30.0 + one for one in range(4)), None, None, None, 40.0))
    assert promoted(state) == []


def test_one_that_is_under_way_counts_as_promoted():
    state = told((3, 30, "pending"), state=short(30.0, 31.0, 32.0, 33.0))
    assert due(state) is None


def test_failed_births_are_nobody():
    assert due(short(30.0, None, 32.0, 33.0)) is None
    assert due(short(30.0, None, 32.0, 33.0, 31.0)) == (3, 30)


def test_longer_lengths_go_first():
    state = short(*(30.0 + one for one in range(20)))
    for one in (19, 18, 17, 16):
        state = told((one, 30, 50.0 - one), state=state)
    # Of four with the middle length the best, by its longer training, goes on; and of 20 a fifth has its turn.
    assert promoted(state) == [(16, 100), (15, 30)]


def test_a_longer_training_of_the_race_uses_up_no_place():
    """What was asked for by promotion is counted, not what the race wanted."""
    state = short(30.0, 31.0, 32.0, 33.0)
    state = with_asked(state, Job(state.next_job, state.candidates[0], 30, 0, "race"))
    assert due(state) == (3, 30)


def test_what_is_known_is_the_views_and_what_was_asked_for_is_the_states():
    """In a batch all are chosen by what was known before it."""
    before = short(30.0, 31.0, 32.0, 33.0)
    after = told((4, 10, 40.0), state=before)
    assert due(after, seen=before) == (3, 30)
    asked = with_asked(after, Job(after.next_job, after.candidates[3], 30, 0, "promotion"))
    assert due(asked, seen=before) is None


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.one_of(st.none(), st.floats(25, 35).map(lambda one: round(one, 2))), min_size=1, max_size=30),
    st.sampled_from([0.1, 0.25, 0.5, 0.9]),
    st.sampled_from([(10, 30), (10, 30, 100), (10, 20, 40, 80)]),
)
def test_never_more_than_the_kept_part_of_those_with_a_length_and_always_the_best_of_them(psnr, keep, lengths):
    promotion = Promotion(lengths, keep)
    state = short(*psnr)
    while (found := promotion.next(view_of(state), state)) is not None:
        one, steps = found
        shorter = lengths[lengths.index(steps) - 1]
        view = view_of(state)
        column = view.evidence.lengths.index(shorter)
        there = [view.ids[row] for row in view.order if view.evidence.count[row, column]]
        been = {state.jobs[job].candidate.id for job in state.jobs if state.jobs[job].steps == steps}
        assert one.id == next(one for one in there if one not in been)
        state = told((one.id, steps, psnr[one.id] + steps / 100), state=state)
    number = {steps: len({job.candidate.id for job in state.jobs.values() if job.steps == steps}) for steps in lengths}
    number[lengths[0]] = sum(one is not None for one in psnr)
    for shorter, longer in pairwise(lengths):
        assert number[longer] == int(keep * number[shorter])


def test_a_birth_costs_what_its_promotions_cost_on_the_average():
    assert HALVING.steps_of_birth == 10 + 30 / 4 + 100 / 16
