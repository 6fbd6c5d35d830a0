"""What trainings of several lengths and seeds say of a candidate, on synthetic data whose truth is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import told

from esr_ray.search.evidence import NOISE_SHARE, PRIOR_SLOPE, estimate, gather
from esr_ray.search.state import State

few = settings(deadline=None, max_examples=30)
values = st.lists(st.floats(20, 40).map(lambda one: round(one, 3)), min_size=1, max_size=12)


def estimated(*results):
    """(mean, error) by candidate."""
    evidence = gather(told(*results))
    found = estimate(evidence)
    return {one: (found.mean[row], found.error[row]) for row, one in enumerate(evidence.ids)}


def synthetic(seed, count, lengths=(10,), seeds=(1,), spread=0.3, noise=0.1, slope=0.8):
    """True values and results of candidates: longer lengths have their own truth, correlated with the shorter one's;
    `seeds` of each length are trained."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(30.0, spread, count)
    results = []
    for level, (steps, times) in enumerate(zip(lengths, seeds, strict=True)):
        if level:
            truth = 30.5 + slope * (truth - 30.0) + rng.normal(0, spread / 10, count)
        for one in range(count):
            results += [(one, steps, psnr) for psnr in rng.normal(truth[one], noise, times)]
    return truth, results


def test_nothing_told_is_no_evidence():
    evidence = gather(State())
    assert len(evidence.ids) == len(evidence.lengths) == 0
    found = estimate(evidence)
    assert found.mean.shape == found.error.shape == evidence.at_longest.shape == (0,)


def test_evidence_has_counts_and_means_by_length():
    state = told((3, 10, 29.0), (1, 10, 30.0), (1, 30, 31.0), (2, 10, None), (1, 30, 32.0), (0, 10, "pending"))
    evidence = gather(state)
    assert sorted(evidence.ids) == [1, 3]
    assert evidence.lengths == (10, 30)
    row = {one: row for row, one in enumerate(evidence.ids)}
    order = [row[1], row[3]]
    np.testing.assert_array_equal(evidence.count[order], [[1, 2], [1, 0]])
    np.testing.assert_allclose(evidence.mean[order], [[30.0, 31.5], [29.0, 0.0]])
    assert evidence.at_longest[order].tolist() == [True, False]


def test_evidence_may_be_of_another_figure():
    state = told((0, 10, 29.0), ssim=0.75)
    assert gather(state, lambda quality: quality.ssim_y).mean.tolist() == [[0.75]]


@few
@given(values)
def test_with_one_length_and_one_seed_estimates_keep_the_order_of_the_values(psnr):
    found = estimated(*((one, 10, value) for one, value in enumerate(psnr)))
    by_value = sorted(range(len(psnr)), key=lambda one: psnr[one])
    by_estimate = [found[one][0] for one in by_value]
    assert by_estimate == sorted(by_estimate)
    for one, other in pairwise(by_value):
        assert (psnr[one] == psnr[other]) == (found[one][0] == found[other][0])


@few
@given(values)
def test_estimates_lie_between_the_median_and_the_value(psnr):
    """What was lucky was less good than it looked."""
    found, middle = estimated(*((one, 10, value) for one, value in enumerate(psnr))), float(np.median(psnr))
    for one, value in enumerate(psnr):
        assert min(middle, value) - 1e-9 <= found[one][0] <= max(middle, value) + 1e-9
        assert found[one][1] > 0


@few
@given(st.integers(0, 1000), st.integers(1, 3))
def test_the_order_of_telling_makes_no_difference(seed, times):
    _, results = synthetic(seed, 6, (10, 30), (times, 1))
    # Seeds of one training are told apart by their order: only candidates change places.
    groups = [[one for one in results if one[0] == number] for number in range(6)]
    shuffled = [one for number in np.random.default_rng(seed).permutation(6) for one in groups[number]]
    first, other = estimated(*results), estimated(*shuffled)
    for one in range(6):
        np.testing.assert_allclose(first[one], other[one], rtol=1e-12)


@pytest.mark.parametrize("times", [4, 9, 16])
def test_several_seeds_reduce_the_error_by_about_the_square_root(times):
    """Where noise is small beside the spread, the error is that of a mean of as many."""
    truth, results = synthetic(0, 60, seeds=(2,), noise=0.02)
    rng = np.random.default_rng(1)
    results += [(0, 10, psnr) for psnr in rng.normal(truth[0], 0.02, times - 2)]
    found = estimated(*results)
    assert found[1][1] / found[0][1] == pytest.approx(np.sqrt(times / 2), rel=0.05)
    assert found[0][1] == pytest.approx(gather(told(*results)).noise[0] / np.sqrt(times), rel=0.05)


@pytest.mark.parametrize("noise", [0.03, 0.1, 0.3])
def test_noise_is_recovered_from_repeated_seeds(noise):
    _, results = synthetic(2, 50, seeds=(4,), noise=noise)
    assert gather(told(*results)).noise[0] == pytest.approx(noise, rel=0.15)


def test_each_length_has_its_own_noise():
    rng = np.random.default_rng(3)
    results = [(one, 10, psnr) for one in range(40) for psnr in rng.normal(30 + one / 20, 0.2, 3)]
    results += [(one, 30, psnr) for one in range(40) for psnr in rng.normal(31 + one / 20, 0.05, 3)]
    np.testing.assert_allclose(gather(told(*results)).noise, [0.2, 0.05], rtol=0.2)


def test_before_a_seed_is_repeated_noise_is_a_part_of_the_spread_of_the_better_half():
    psnr = [10.0, 20.0, 30.0, 30.1, 30.4]
    upper = np.sqrt(np.mean(np.square([0.0, 0.1, 0.4])))
    assert gather(told(*((one, 10, value) for one, value in enumerate(psnr)))).noise[0] == pytest.approx(
        NOISE_SHARE * upper
    )


def test_bad_networks_say_nothing_of_the_noise_and_the_errors_of_the_good_ones():
    good = [(one, 10, 30 + one / 10) for one in range(9)]
    middling, awful = ([(9 + one, 10, value - one) for one in range(8)] for value in (29.0, 9.0))
    one, other = estimated(*good, *middling), estimated(*good, *awful)
    assert all(one[number] == pytest.approx(other[number]) for number in range(9))


def test_a_longer_result_outweighs_a_shorter_one():
    """Two networks whose long trainings turned their order round are ordered by these."""
    _, results = synthetic(4, 30, (10, 30), (1, 1), noise=0.03)
    found = estimated(*results, (98, 10, 30.3), (99, 10, 30.1), (98, 30, 30.6), (99, 30, 30.8))
    assert found[99][0] > found[98][0]
    assert abs(found[99][0] - 30.8) < abs(found[99][0] - 30.6)


@pytest.mark.parametrize("seed", range(5))
def test_estimates_are_of_the_longest_length_for_all(seed):
    """What was trained for a short time is carried up: its estimate is on the scale of the longest, its error says how
    far off it may be, and is greater than that of what was trained for long."""
    truth, results = synthetic(seed, 80, (10, 100), (1, 1), noise=0.09)
    kept = [one for one in results if one[1] == 10 or one[0] % 2]
    found = estimated(*kept)
    means = np.array([found[one][0] for one in range(80)])
    errors = np.array([found[one][1] for one in range(80)])
    long = np.arange(80) % 2 == 1
    assert errors[long].max() < errors[~long].min()
    for part in (long, ~long):
        off = (means - truth)[part]
        assert np.sqrt(np.mean(off**2)) == pytest.approx(np.sqrt(np.mean(errors[part] ** 2)), rel=0.5)


def test_errors_cover_the_truth_as_often_as_they_say():
    """Of 2,000 estimates about 68 % and 95 % lie within one and two errors."""
    off = []
    for seed in range(50):
        truth, results = synthetic(100 + seed, 40, (10,), (2,), noise=0.1)
        found = estimated(*results)
        off += [(found[one][0] - truth[one]) / found[one][1] for one in range(40)]
    inside = [np.mean(np.abs(off) < width) for width in (1, 2)]
    assert inside[0] == pytest.approx(0.683, abs=0.05)
    assert inside[1] == pytest.approx(0.954, abs=0.03)


def test_before_two_lengths_were_compared_a_prior_carries_upwards():
    found = estimated(*((one, 10, 30 + one / 10) for one in range(10)), (9, 30, 31.5))
    assert found[9][0] == pytest.approx(31.5, abs=0.1)
    # The others are ordered as they were, and lie closer to each other.
    means = [found[one][0] for one in range(9)]
    assert means == sorted(means)
    assert 0.3 * PRIOR_SLOPE * 0.8 < means[-1] - means[0] < 0.8


# Trainings that are under way.


@few
@given(st.integers(0, 1000), st.data())
def test_trainings_under_way_only_shrink_errors(seed, data):
    _, results = synthetic(seed, 8, (10, 30), (1, 2))
    evidence = gather(told(*(one for one in results if one[1] == 10 or one[0] < 4)))
    extra = np.array(data.draw(st.lists(st.integers(0, 3), min_size=16, max_size=16)), float).reshape(8, 2)
    before, after = estimate(evidence), estimate(evidence, extra)
    assert (after.error <= before.error + 1e-12).all()
    assert (after.error[extra[:, 1] > 0] < before.error[extra[:, 1] > 0]).all()
    # Of the longest they leave all means where they are.
    extra[:, 0] = 0
    np.testing.assert_array_equal(estimate(evidence, extra).mean, before.mean)


def test_a_training_under_way_counts_as_one_that_ended_as_expected():
    _, results = synthetic(5, 20, seeds=(3,))
    evidence = gather(told(*results))
    extra = np.zeros_like(evidence.count)
    extra[0] = 1
    expected = estimate(evidence, extra)
    ended = estimate(gather(told(*results, (0, 10, float(estimate(evidence).mean[0])))))
    assert expected.error[0] == pytest.approx(ended.error[0], rel=0.05)
    assert expected.mean[0] == pytest.approx(ended.mean[0], abs=1e-2)
