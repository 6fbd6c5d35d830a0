"""The learning rate of every step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr_ray.config.schema import CosineSchedule, MultiStepSchedule, TrainingConfig
from esr_ray.training.schedule import is_squared, learning_rates, losses_of, of_length


def cosine(steps, warmup, rate=1e-3):
    schedule = CosineSchedule(type="cosine", warmup_steps=warmup)
    return learning_rates(TrainingConfig(steps=steps, learning_rate=rate, schedule=schedule))


def multistep(steps, milestones, gamma, rate=1e-3):
    schedule = MultiStepSchedule(type="multistep", milestones=milestones, gamma=gamma)
    return learning_rates(TrainingConfig(steps=steps, learning_rate=rate, schedule=schedule))


def test_cosine_starts_at_the_rate_and_would_be_zero_after_the_last_step():
    rates = cosine(100, 0)
    expected = [1e-3 * (1 + math.cos(math.pi * step / 100)) / 2 for step in range(100)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    assert rates[0] == np.float32(1e-3)
    assert rates[50] == pytest.approx(5e-4)


def test_warmup_rises_linearly_to_the_rate():
    rates = cosine(100, 4)
    np.testing.assert_allclose(rates[:5], [2e-4, 4e-4, 6e-4, 8e-4, 1e-3], rtol=1e-6)
    np.testing.assert_allclose(rates[4:], cosine(96, 0), rtol=1e-6)


@given(st.integers(1, 300), st.integers(0, 400))
def test_cosine_rates_are_positive_rise_and_then_fall(steps, warmup):
    rates = cosine(steps, warmup)
    assert rates.shape == (steps,)
    assert rates.dtype == np.float32
    assert (rates > 0).all()
    assert (rates <= np.float32(1e-3)).all()
    turn = min(warmup, steps - 1)
    assert (np.diff(rates[: turn + 1]) > 0).all()
    assert (np.diff(rates[turn:]) < 0).all()


def test_multistep_multiplies_from_each_milestone_on():
    rates = multistep(6, (2, 3, 5), 0.5)
    np.testing.assert_allclose(rates, 1e-3 * np.array([1, 1, 0.5, 0.25, 0.25, 0.125]), rtol=1e-6)


def test_milestones_after_the_last_step_do_nothing():
    np.testing.assert_array_equal(multistep(3, (3, 100), 0.1), np.full(3, 1e-3, np.float32))


# The loss.


@pytest.mark.parametrize(
    ("l2_from", "squared", "losses"),
    [(None, [], (False,)), (0, [1, 2, 3, 4], (True,)), (0.5, [3, 4], (False, True)), (0.99, [], (False,))],
)
def test_the_loss_is_squared_from_a_part_of_the_steps_on(l2_from, squared, losses):
    config = TrainingConfig(steps=4, l2_from=l2_from)
    assert [step for step in range(1, 5) if is_squared(config, step)] == squared
    assert losses_of(config) == losses


# Another length.


def of_milestones(steps, *milestones):
    schedule = MultiStepSchedule(type="multistep", milestones=milestones, gamma=0.5)
    return TrainingConfig(steps=steps, schedule=schedule)


@given(st.integers(1, 400), st.integers(1, 400), st.lists(st.integers(1, 500), min_size=1, max_size=5, unique=True))
def test_milestones_move_with_the_length(steps, longer, milestones):
    training = of_length(of_milestones(steps, *sorted(milestones)), longer)
    assert training.steps == longer
    moved = training.schedule.milestones
    assert list(moved) == sorted(set(moved))
    assert {max(1, round(one * longer / steps)) for one in milestones} == set(moved)
    # What is written down can be read again.
    assert TrainingConfig.model_validate_json(training.model_dump_json()) == training
    assert learning_rates(training).shape == (longer,)


def test_a_longer_training_has_the_same_part_at_each_rate():
    rates = learning_rates(of_length(of_milestones(40, 20, 30), 400))
    for place, rate in ((0, 1), (199, 1), (200, 0.5), (299, 0.5), (300, 0.25), (399, 0.25)):
        assert rates[place] == pytest.approx(1e-4 * rate)


def test_a_warm_up_stays_as_long_as_it_was():
    training = TrainingConfig(steps=40, schedule=CosineSchedule(type="cosine", warmup_steps=5))
    longer = of_length(training, 400)
    assert longer.schedule == training.schedule
    np.testing.assert_array_equal(learning_rates(longer)[:5], learning_rates(training)[:5])
    assert learning_rates(longer)[399] < learning_rates(training)[39]


def test_the_same_length_changes_nothing():
    for training in (of_milestones(40, 20, 30), TrainingConfig(steps=40)):
        assert of_length(training, 40) == training
