"""Latency and memory: as measured, predicted where they were not, and limits that come before all objectives."""

import numpy as np
import pytest
from strategies import small_space
from worlds import told, view_of

from esr_ray.metrics import Quality
from esr_ray.search.device_figures import device_values
from esr_ray.search.job import Candidate, Job, Outcome
from esr_ray.search.objectives import OBJECTIVES
from esr_ray.search.race import judge
from esr_ray.search.state import State, tell, with_asked
from esr_ray.space.block import parse_block
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.training.result import NOT_MEASURED, DeviceCost

SPACE = small_space()


def cost(latency, memory=None):
    return DeviceCost(latency, 0.001, memory)


def values(state, name, ids=None):
    return OBJECTIVES[name].values(state, tuple(state.candidates) if ids is None else ids).tolist()


def trained(state, *results):
    """The state after trainings of (candidate, PSNR, cost)."""
    for candidate, psnr, measured in results:
        state = with_asked(state, Job(state.next_job, candidate, 10, len(state.jobs_of.get(candidate.id, ()))))
        quality = None if psnr is None else Quality(psnr, psnr - 2, 0.9)
        outcome = Outcome(state.next_job - 1, quality, measured, None if quality else "diverged")
        state = tell(state, outcome)
    return state


def networks(count, seed=0):
    """Candidates of a space, each another network, with their true mult-adds."""
    rng = np.random.default_rng(seed)
    archs = {}
    while len(archs) < count:
        genome = sample_genome(SPACE, rng)
        archs.setdefault(decode(genome), genome)
    return [
        Candidate(number, genome, arch, "random", (), SPACE.cost(arch).params, SPACE.cost(arch).mult_adds)
        for number, (arch, genome) in enumerate(archs.items())
    ]


def additive(candidate):
    """Seconds: something for each network, for each mult-add, and for each block and convolution by its type."""
    seconds = 0.01 + 2e-7 * candidate.mult_adds
    for block in map(parse_block, candidate.arch):
        seconds += {"S": 0.003, "C": 0.007}[block.letter] + {"S": 0.002, "C": 0.001}[block.letter] * block.convs
    return seconds


def test_what_was_measured_is_taken_as_it_is_and_the_mean_over_trainings():
    one, other = networks(2)
    state = trained(State(), (one, 30.0, cost(0.2, 10.0)), (other, 31.0, cost(0.5, 40.0)), (one, 30.2, cost(0.3, 12.0)))
    assert values(state, "latency") == pytest.approx([0.25, 0.5])
    assert values(state, "memory") == [11.0, 40.0]
    assert values(state, "latency", (1,)) == [0.5]


def test_where_nothing_was_measured_figures_are_infinite():
    one, other = networks(2)
    state = trained(State(), (one, 30.0, NOT_MEASURED), (other, 31.0, NOT_MEASURED))
    assert values(state, "latency") == [np.inf, np.inf]
    # Memory of a device that tells only the time.
    state = trained(state, (one, 30.0, cost(0.2)))
    assert np.isfinite(values(state, "latency")).all()
    assert values(state, "memory") == [np.inf, np.inf]


def test_predictions_recover_a_cost_that_is_a_sum_over_blocks():
    candidates = networks(60)
    known, unknown = candidates[:40], candidates[40:]
    state = trained(State(), *((one, 30.0, cost(additive(one))) for one in known))
    state = trained(state, *((one, 30.0, NOT_MEASURED) for one in unknown))
    np.testing.assert_allclose(values(state, "latency"), [additive(one) for one in candidates], rtol=1e-5)


def test_noisy_measurements_give_predictions_that_are_nearly_right_and_never_negative():
    candidates = networks(60)
    rng = np.random.default_rng(1)
    measured = {one.id: additive(one) * rng.normal(1, 0.05) for one in candidates[:40]}
    state = trained(State(), *((one, 30.0, cost(measured[one.id])) for one in candidates[:40]))
    state = trained(state, *((one, 30.0, NOT_MEASURED) for one in candidates[40:]))
    found, true = np.array(values(state, "latency")[40:]), np.array([additive(one) for one in candidates[40:]])
    assert (found > 0).all()
    assert np.abs(found / true - 1).max() < 0.1


def test_one_measured_network_is_enough_to_predict_by():
    one, *others = networks(4)
    state = trained(State(), (one, 30.0, cost(0.2)), *((other, 30.0, NOT_MEASURED) for other in others))
    found = values(state, "latency")
    assert found[0] == 0.2
    assert np.isfinite(found).all()
    assert min(found) > 0


def test_a_figure_without_a_result_counts_for_nobody():
    """A job that failed after its network was built has measured nothing."""
    one, other = networks(2)
    state = trained(State(), (one, None, NOT_MEASURED), (other, 30.0, cost(0.2)))
    assert device_values(state, (1,), lambda measured: measured.latency_s).tolist() == [0.2]


# Limits.


def limited(*results, objectives=("psnr",), **limits):
    candidates = networks(len(results))
    rows = zip(candidates, results, strict=True)
    state = trained(State(), *((one, psnr, cost(*figures)) for one, (psnr, *figures) in rows))
    return view_of(state, objectives, limits)


def test_networks_within_the_limits_stand_before_all_others():
    view = limited((33.0, 0.5), (30.0, 0.1), (31.0, 0.2), (34.0, 0.3), latency=0.2)
    assert [view.ids[row] for row in view.order] == [2, 1, 3, 0]
    assert view.violation.tolist() == pytest.approx([1.5, 0, 0, 0.5])
    assert view.front == (2,)
    assert judge(view, 0.0).winner.candidate.id == 2


def test_limits_of_latency_and_memory_are_kept_together():
    view = limited((33.0, 0.1, 90.0), (32.0, 0.4, 10.0), (30.0, 0.2, 50.0), latency=0.2, memory=50.0)
    assert view.front == (2,)
    assert judge(view, 0.0).winner.candidate.id == 2
    # By how much they break them, relative to the limit: 0.8 and 1.
    assert [view.ids[row] for row in view.order] == [2, 0, 1]


def test_with_several_objectives_the_front_is_of_those_within_the_limits():
    view = limited((33.0, 0.5), (30.0, 0.1), (31.0, 0.2), (34.0, 0.3), objectives=("psnr", "latency"), latency=0.2)
    assert sorted(view.front) == [1, 2]
    assert set(view.order[:2]) == {view.row_of[1], view.row_of[2]}
    assert judge(view, 0.0).winner.candidate.id == 2


def test_where_nothing_was_measured_a_limit_leaves_the_order_as_it_is():
    """All break it without end: the best of them wins, and nothing raises."""
    state = told((0, 10, 30.0), (1, 10, 32.0), (2, 10, 31.0))
    view = view_of(state, limits={"latency": 0.2})
    assert [view.ids[row] for row in view.order] == [1, 2, 0]
    assert judge(view, 0.0).winner.candidate.id == 1
