"""The record of a search: its events fold to its state, and read as they were written."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import PROMOTION, RACE, InProcess, World, candidate, make_config, moody, search, told

from esr_ray.metrics import Quality
from esr_ray.runs.events import (
    Closed,
    Reported,
    Resumed,
    RunBegan,
    TrainingBegan,
    TrainingEnded,
    Validated,
    decode,
    encode,
)
from esr_ray.runs.journal import read_journal
from esr_ray.search.events import (
    Asked,
    Birth,
    Dropped,
    Failed,
    Finished,
    Lost,
    Retried,
    Started,
    asked_event,
    fold,
    job_of,
)
from esr_ray.search.job import Job, Outcome
from esr_ray.search.state import State, tell, with_asked, with_retried
from esr_ray.training.result import NOT_MEASURED, DeviceCost, Seconds

ids = st.integers(0, 10**6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=20)
births = st.builds(
    Birth,
    st.lists(st.tuples(st.integers(0, 1), words), max_size=4).map(tuple),
    st.lists(words, max_size=4).map(tuple),
    words,
    st.lists(ids, max_size=2).map(tuple),
    ids,
    ids,
)
seconds = st.builds(Seconds, numbers, numbers, numbers, numbers)
curves = st.lists(st.tuples(ids, numbers), max_size=3).map(tuple)
maybe = st.one_of(st.none(), numbers)
mappings = st.dictionaries(words, st.one_of(ids, words, st.lists(ids, max_size=2)), max_size=3)
texts = st.dictionaries(words, words, max_size=3)
costs = st.one_of(st.just(NOT_MEASURED), st.builds(DeviceCost, maybe, maybe, maybe))
purposes = st.sampled_from(["birth", "promotion", "race"])
of_search = st.one_of(
    st.builds(Asked, ids, ids, ids, ids, purposes, ids, st.one_of(st.none(), births)),
    st.builds(Started, ids, words, words, ids),
    st.builds(Finished, ids, ids, numbers, numbers, numbers, seconds, curves, words, words, words, costs),
    st.builds(Failed, ids, words),
    st.builds(Lost, ids, words),
    st.builds(Dropped, ids),
    st.builds(Retried, ids),
)
of_run = st.one_of(
    st.builds(RunBegan, ids, words, st.one_of(st.none(), texts), st.one_of(st.none(), texts), words, mappings),
    st.builds(Resumed, st.booleans(), words, st.one_of(st.none(), texts), st.one_of(st.none(), texts), words, mappings),
    st.builds(TrainingBegan, ids, ids, words),
    st.builds(Validated, ids, numbers, numbers, numbers, words),
    st.builds(
        TrainingEnded,
        *(st.one_of(st.none(), ids), st.lists(words, max_size=3).map(tuple), mappings, words, seconds, curves),
        *(words, words),
    ),
    st.builds(Reported, st.lists(mappings, max_size=2), numbers, st.lists(mappings, max_size=2), words),
    st.builds(Closed, words, words),
)


@settings(deadline=None, max_examples=150)
@given(st.one_of(of_search, of_run))
def test_events_read_as_they_were_written(event):
    assert decode(json.loads(json.dumps(encode(event)))) == event


@settings(deadline=None, max_examples=20)
@given(of_search, words)
def test_fields_of_later_versions_pass(event, key):
    content = json.loads(json.dumps(encode(event)))
    assert decode({f"new_{key}": 1, **content, "v": 2, "time": 1.5}) == event


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"event": "surprise", "job": 1}, "'surprise': "),
        ({"event": "failed", "job": 1}, "'failed': failed.reason: Field required"),
        ({"event": "failed", "job": "one", "reason": ""}, "'failed': failed.job: "),
        ({"job": 1}, "None: "),
    ],
)
def test_what_is_no_event_is_refused_in_a_line(content, said):
    with pytest.raises(ValueError, match=f"^{said}") as caught:
        decode(content)
    assert "\n" not in str(caught.value)


def test_a_candidate_stands_in_its_first_job_alone():
    first, second = Job(0, candidate(3), 10, 7), Job(1, candidate(3), 30, 7, "promotion", 2)
    born = asked_event(first, {})
    assert born.birth is not None
    assert job_of(born, {}) == first
    again = asked_event(second, {3: candidate(3)})
    assert again.birth is None
    assert "birth" not in encode(again)
    assert job_of(again, {3: candidate(3)}) == second
    with pytest.raises(ValueError, match="job 1 is of candidate 3, which was never asked for"):
        job_of(again, {})


def finished(job, psnr=30.0, cost=NOT_MEASURED):
    about = (Seconds(1.0, 2.0, 3.0), (), "plain", "device", "node")
    return Finished(job, 0, psnr, psnr - 2, 0.9, *about, cost)


def test_events_do_what_telling_does():
    job = Job(0, candidate(0), 10, 7)
    asked = with_asked(State(), job)
    cost = DeviceCost(latency_s=0.5)
    assert fold(State(), asked_event(job, {})) == asked
    assert fold(asked, finished(0, 30.0, cost)) == tell(asked, Outcome(0, Quality(30.0, 28.0, 0.9), cost))
    failed = tell(asked, Outcome(0, reason="diverged"))
    assert fold(asked, Failed(0, "diverged")) == failed
    assert fold(asked, Dropped(0)) == tell(asked, Outcome(0))
    assert fold(failed, Retried(0)) == with_retried(failed, 0)


@pytest.mark.parametrize("event", [Started(0, "device", "node", 1), Lost(0, "died"), Resumed(), Closed("stopped")])
def test_attempts_and_what_is_not_of_the_search_change_nothing(event):
    state = told((0, 10, "pending"))
    assert fold(state, event) is state


@pytest.mark.parametrize(
    "event", [finished(0), finished(9), Failed(0, "late"), Dropped(9), Retried(0), Asked(0, 0, 10, 0, "birth", 0)]
)
def test_what_cannot_follow_is_refused(event):
    with pytest.raises(ValueError, match="job"):
        fold(told((0, 10, 30.0)), event)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from(["steady", "generational"]))
def test_the_fold_of_a_journal_is_the_state_of_the_search(fresh, salt, schedule):
    path = fresh()
    config = make_config(4, schedule=schedule, promotion=PROMOTION, race=RACE, seed=salt)
    expected, _ = search(path, config, InProcess(World(moody(salt), salt, noise=4), salt))
    state = State()
    for content in read_journal(path).events:
        state = fold(state, decode(content))
    assert state == expected
    assert list(state.outcomes) == list(expected.outcomes)
