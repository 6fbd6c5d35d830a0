"""Who won, how sure that is, and what the race asks for to become surer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from scipy.stats import t as student
from worlds import BY_HAND, PROMOTION, RACE, SPACE, World, candidate, make_config, outcome_of, told, view_of

from esr_ray.search.job import Job
from esr_ray.search.make import make_algorithm
from esr_ray.search.race import FINALISTS, REPEATED, Race, judge, knowledge_gradient
from esr_ray.search.state import State, tell, with_asked
from esr_ray.training.result import DeviceCost

TEN = Race(10, 0.9, 0.02)
few = settings(deadline=None, max_examples=20)


def due(state, race=TEN, unseen=None, seen=None, **parts):
    """The id of the candidate that is trained once more, and the seed."""
    jobs = [state.jobs[job] for job in sorted(state.pending)] if unseen is None else unseen
    found = race.next(view_of(seen or state, **parts), state, 0, jobs)
    return None if found is None else (found[0].id, found[1])


def close(count=4, times=2, gap=0.001):
    """Candidates that are nearly as good as each other, the later ones better, and five bad ones."""
    rows = [(one, 10, 30 + one * gap + 0.1 * (-1) ** seed) for one in range(count) for seed in range(times)]
    return told(*rows, *((count + bad, 10, 28.0 + bad / 10) for bad in range(5)))


# Who won.


def test_nobody_wins_without_a_result():
    assert judge(view_of(told((0, 10, None), (1, 10, "pending"))), 0.0) is None
    assert due(told((0, 10, None))) is None


def test_a_single_candidate_has_won():
    verdict = judge(view_of(told((0, 10, 30.0), (1, 10, None))), 0.0)
    assert verdict.winner.candidate == candidate(0)
    assert verdict.confidence == 1.0
    assert due(told((0, 10, 30.0))) is None


def test_finalists_are_ordered_by_value_with_their_errors_and_trainings():
    state = told((0, 10, 30.0), (1, 10, 30.4), (1, 10, 30.6), (2, 10, 29.0), (3, 10, 30.1))
    verdict, view = judge(view_of(state), 0.0), view_of(state)
    assert [one.candidate.id for one in verdict.finalists] == [1, 3, 0, 2]
    for one in verdict.finalists:
        row = view.row_of[one.candidate.id]
        assert (one.value, one.error) == (view.estimate.mean[row], view.estimate.error[row])
    assert [one.trainings for one in verdict.finalists] == [2, 1, 1, 1]
    assert verdict.noise == ((10, view.evidence.noise[0]),)
    assert sum(one.probability for one in verdict.finalists) == pytest.approx(1.0)


def test_only_what_was_trained_for_the_longest_length_can_win():
    state = told(*((one, 10, 30.0 + one / 10) for one in range(6)), (5, 30, 29.0), (4, 30, 29.5))
    assert {one.candidate.id for one in judge(view_of(state), 0.0).finalists} == {4, 5}


def test_no_more_finalists_than_there_is_room_for():
    verdict = judge(view_of(told(*((one, 10, 30.0 + one / 100) for one in range(FINALISTS + 9)))), 0.0)
    assert [one.candidate.id for one in verdict.finalists] == [FINALISTS + 8 - one for one in range(FINALISTS)]


def with_latency(*rows):
    """The state after trainings of (PSNR, latency in s)."""
    state = State()
    for one, (psnr, latency) in enumerate(rows):
        state = told((one, 10, psnr), state=state, cost=DeviceCost(latency_s=latency))
    return state


def test_networks_within_the_limits_win_before_better_ones_that_are_not():
    state = with_latency((30.0, 0.5), (32.0, 3.0), (31.0, 0.9), (33.0, None))
    verdict = judge(view_of(state, limits={"latency": 1.0}), 0.0)
    assert [one.candidate.id for one in verdict.finalists] == [2, 0]


def test_where_nobody_is_within_the_limits_the_nearest_wins():
    state = with_latency((30.0, 5.0), (32.0, 3.0), (31.0, 2.0))
    verdict = judge(view_of(state, limits={"latency": 1.0}), 0.0)
    assert [one.candidate.id for one in verdict.finalists] == [2]


def test_the_nearest_is_looked_for_among_those_that_can_win():
    """One that keeps the limits, but was not trained for long, makes no long one of a worse violation the winner."""
    state = with_latency((30.0, 0.5), (32.0, 3.0), (31.0, 2.0))
    for one, latency in ((1, 3.0), (2, 2.0)):
        state = told((one, 30, 32.0 - one), state=state, cost=DeviceCost(latency_s=latency))
    assert [one.candidate.id for one in judge(view_of(state, limits={"latency": 1.0}), 0.0).finalists] == [2]


def test_the_confidence_of_two_is_students():
    """The chance that the one is better follows from their means and errors, and how well the noise is known: by seven
    repetitions and the prior."""
    state = told(*((one, 10, 30.0 + 0.2 * (-1) ** seed) for one in (0, 1) for seed in range(4)), (0, 10, 30.3))
    view = view_of(state)
    first, second = judge(view, 0.0).finalists
    freedom = view.evidence.noise_freedom[-1]
    sure = student.cdf((first.value - second.value) / np.hypot(first.error, second.error), freedom)
    assert freedom > 7
    assert first.candidate.id == 0
    assert first.probability == pytest.approx(sure, abs=0.03)
    assert first.probability + second.probability == pytest.approx(1.0)


@few
@given(st.lists(st.integers(-200, 200), min_size=1, max_size=8, unique=True), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_greater_tolerance_makes_everybody_surer(values, one, other):
    view = view_of(told(*((number, 10, 30 + value / 100) for number, value in enumerate(values))))
    small, great = judge(view, min(one, other)), judge(view, max(one, other))
    for less, more in zip(small.finalists, great.finalists, strict=True):
        assert less.probability <= more.probability


# What is asked for.


@few
@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=6),
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
    st.floats(0.01, 1),
)
def test_the_knowledge_gradient_is_the_expected_gain_by_numerical_integration(means, errors, noise):
    mean, error = np.array(means), np.array(errors[: len(means)])
    found = knowledge_gradient(mean, error, noise)
    for one in range(len(mean)):
        others = np.delete(mean, one).max()
        # The mean after one more training is normal around that before it.
        change = error[one] ** 2 / np.hypot(error[one], noise)
        points = [(others - mean[one]) / change]
        inside = [point for point in points if -9 < point < 9]
        expected, _ = quad(
            lambda z, one=one, change=change, others=others: max(mean[one] + change * z, others) * norm.pdf(z),
            *(-9, 9),
            points=inside or None,
        )
        assert found[one] == pytest.approx(expected - mean.max(), abs=1e-6)


def test_the_knowledge_gradient_of_one_is_positive_and_of_the_certain_nothing():
    assert knowledge_gradient(np.array([30.0]), np.array([0.1]), 0.1)[0] > 0
    assert knowledge_gradient(np.array([30.0, 30.1]), np.array([0.0, 0.0]), 0.1) == pytest.approx([0.0, 0.0])


def test_a_decided_race_asks_for_nothing():
    sure = told(*((0, 10, 33.0 + seed / 1000) for seed in range(5)), *((one, 10, 29.0) for one in range(1, 6)))
    assert TEN.decided(view_of(sure))
    assert due(sure) is None
    assert not TEN.decided(view_of(close()))
    assert due(close()) is not None


def test_nothing_is_decided_before_the_noise_was_measured():
    """However clear it looks: without repeated seeds the noise is a guess, and may be as large as the differences."""
    state = told((0, 10, 33.0), *((one, 10, 29.0 + one / 10) for one in range(1, 6)))
    for seed in range(1, REPEATED + 1):
        assert not TEN.decided(view_of(state))
        state = told((0, 10, 33.0 + seed / 1000), state=state)
    assert TEN.decided(view_of(state))


def test_one_of_those_that_may_win_is_trained_with_a_seed_that_it_did_not_have():
    state = close()
    one, seed = due(state)
    assert one < 4
    assert seed == 2
    # The seeds of a configuration begin with its own.
    assert TEN.next(view_of(state), state, 7, ())[1] == 7


def test_trainings_under_way_are_taken_to_end_as_expected():
    """So the devices are not all given the same candidate."""
    state, asked = close(), []
    for _ in range(8):
        view = view_of(state)
        unseen = [state.jobs[job] for job in sorted(state.pending)]
        one, seed = TEN.next(view, state, 0, unseen)
        state = with_asked(state, Job(state.next_job, one, 10, seed, "race"))
        asked.append((one.id, seed))
    assert len(set(asked)) == 8
    assert {one for one, _ in asked} == {0, 1, 2, 3}


def test_the_race_trains_nobody_that_cannot_win():
    """A better network that breaks the limits would use the budget up."""
    state = with_latency((30.0, 0.5), (30.01, 0.5), (33.0, 3.0), (32.99, 3.0), (29.0, 0.5), (29.1, 0.5))
    race = Race(10, 0.99, 0.0)
    one, _ = due(state, race, limits={"latency": 1.0})
    assert one in (0, 1)


def test_whoever_was_not_trained_for_the_longest_length_may_still_be_raced():
    """With the seed of the search, as by a promotion."""
    state = told(*((one, 10, 30.0 + one / 10) for one in range(6)), *((one, 30, 31.0) for one in (0, 1)))
    one, seed = due(state, Race(30, 0.99, 0.0))
    assert (one, seed) == (5, 0)


def test_who_was_trained_as_long_as_trainings_are_now_may_win_beside_older_ones_of_longer_trainings():
    """A run that went on without promotion has longer trainings than any new candidate will have."""
    old = [(one, steps, 30.0 + one / 10 + steps / 100) for one in range(6) for steps in (10, 30)]
    state = told(*old, (6, 10, 33.0), (7, 10, 30.2))
    view = view_of(state)
    assert judge(view, 0.0).winner.candidate.id == 5
    now = judge(view, 0.0, 10)
    assert now.winner.candidate.id == 6
    assert (now.winner.measured, now.winner.trainings) == (33.0, 1)
    assert {one.candidate.id for one in now.finalists} == set(range(8))
    by_id = {one.candidate.id: one for one in now.finalists}
    assert by_id[5].measured == pytest.approx(30.8)
    # Nobody has a longer one than there is: as without a number.
    assert judge(view, 0.0, 100) == judge(view, 0.0, 30) == judge(view, 0.0)


def test_repetitions_of_longer_trainings_count_in_a_race_of_shorter_ones():
    repeated = [(one, 30, 30.0 - one + seed / 1000) for one in range(4) for seed in range(2)]
    assert TEN.decided(view_of(told(*repeated)))
    assert not TEN.decided(view_of(told(*repeated[:-1])))


# How honest it is.


def raced(seed, spread, noise, count=12, race=TEN, limit=30):
    """A race with as many trainings as it wants, on made-up candidates: the stated confidence, and whether the winner
    is the best within the tolerance."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(30, spread, count)
    state = told(*((one, 10, rng.normal(truth[one], noise)) for one in range(count)))
    for _ in range(limit):
        found = race.next(view_of(state), state, 0, ())
        if found is None:
            break
        job = Job(state.next_job, found[0], 10, found[1], "race")
        state = tell(with_asked(state, job), outcome_of(job, rng.normal(truth[found[0].id], noise)))
    verdict = judge(view_of(state), race.tolerance)
    return verdict.confidence, truth[verdict.winner.candidate.id] >= truth.max() - race.tolerance


@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_the_stated_confidence_is_honest(noise):
    """Of races that are stopped when they say that they are sure, the winner is the best as often as they say: where
    the noise is as was guessed, and where it is as large as what is to be told apart."""
    stated, right = np.array([raced(seed, 0.1, noise) for seed in range(80)]).T
    error = np.sqrt(np.sum(stated * (1 - stated))) / len(stated)
    assert np.mean(right) > np.mean(stated) - 3 * error


# In a search.


def races_of(schedule):
    """Every job of a whole search, with the jobs that were under way when it was asked for; and the algorithm."""
    world = World()
    config = make_config(5, schedule=schedule, race=RACE, promotion=PROMOTION)
    algorithm = make_algorithm(config, SPACE)
    state, under_way, found = State(), [], []
    while True:
        for job in algorithm.ask(state, 3 - len(under_way)):
            found.append((job, tuple(under_way), state))
            state = with_asked(state, job)
            under_way.append(job)
        if not under_way:
            break
        job = under_way.pop(0)
        state = tell(state, outcome_of(job, world.fitness(job)))
    assert state.spent["race"] > 0
    return found, algorithm


def test_with_a_barrier_the_race_begins_when_all_else_has_ended():
    found, _ = races_of("generational")
    for job, under_way, _ in found:
        if job.purpose == "race":
            assert all(one.purpose == "race" for one in under_way)
            assert job.steps == 30


def test_without_a_barrier_the_race_fills_devices_and_leaves_to_promotions_what_is_theirs():
    found, algorithm = races_of("steady")
    purposes = [job.purpose for job, _, _ in found]
    assert "birth" not in purposes[purposes.index("race") :]
    # It did begin while others were under way.
    assert any(one.purpose != "race" for job, under_way, _ in found if job.purpose == "race" for one in under_way)
    for job, under_way, state in found:
        if job.purpose == "race" and any(one.purpose != "race" for one in under_way):
            share = algorithm.budget.total_steps * algorithm.budget.race_share
            assert state.spent.get("race", 0) + job.steps <= share + 1e-9


def undecided_and_decided(schedule):
    """Two states of one search: race jobs are under way, and the winner is not sure; is sure."""
    algorithm = make_algorithm(make_config(5, schedule=schedule, race=RACE), BY_HAND)
    state = close()
    for _ in range(3):
        one, seed = TEN.next(view_of(state), state, 0, [state.jobs[job] for job in sorted(state.pending)])
        state = with_asked(state, Job(state.next_job, one, 10, seed, "race"))
    sure = state
    for _ in range(6):
        job = Job(sure.next_job, sure.candidates[3], 10, sure.next_job, "race")
        sure = tell(with_asked(sure, job), outcome_of(job, 31.0))
    return algorithm, state, sure


def test_race_jobs_that_are_under_way_are_unneeded_once_the_winner_is_sure():
    algorithm, state, sure = undecided_and_decided("steady")
    assert algorithm.unneeded(state) == ()
    assert algorithm.unneeded(sure) == tuple(sorted(sure.pending))
    born = with_asked(sure, Job(sure.next_job, candidate(50), 10, 0))
    assert algorithm.unneeded(born) == ()


def test_with_a_barrier_all_trainings_of_a_race_are_needed():
    """Whoever was faster must make no difference."""
    algorithm, _, sure = undecided_and_decided("generational")
    assert algorithm.unneeded(sure) == ()
