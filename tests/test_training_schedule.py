"""The learning rate of every step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr_ray.config.schema import CosineSchedule, MultiStepSchedule, TrainingConfig
from esr_ray.training.schedule import learning_rates


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
