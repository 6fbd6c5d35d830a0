"""What one enlargement costs: median and spread of its time, and by how much memory grew."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import esr_ray.training.device_cost as device_cost
from esr_ray.config.evolution import EvolutionConfig, wants_device_cost
from esr_ray.config.schema import TrainingConfig
from esr_ray.errors import UserError
from esr_ray.networks.target import begin_peak, memory_use, use_target
from esr_ray.runtime.evaluator import Evaluator
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.device_cost import LEAST_S, ROUNDS, CostPlan, measure_cost
from esr_ray.training.native import NativeNetwork
from esr_ray.training.result import DeviceCost


class Network:
    """Takes given seconds for each enlargement, by a clock of its own."""

    def __init__(self, seconds):
        self.seconds, self.now = itertools.cycle(seconds), 0.0
        self.compiled, self.predicted = [], []

    def compile_predict(self, lr):
        assert not self.predicted
        self.compiled.append(lr.shape)

    def predict(self, lr):
        self.predicted.append((lr.shape, lr.dtype))
        self.now += next(self.seconds)
        return lr


@pytest.fixture
def by_its_clock(monkeypatch):
    """Measures a network by its own clock."""

    def measure(network, plan):
        monkeypatch.setattr(device_cost, "time", SimpleNamespace(perf_counter=lambda: network.now))
        return measure_cost(network, 3, plan)

    return measure


@pytest.fixture
def measured(by_its_clock):
    """Measures a network that takes so long: the network and what it costs."""

    def measure(seconds, in_use=5_000_000, peak=12_500_000, size=(18, 32)):
        network = Network(seconds)
        return network, by_its_clock(network, CostPlan(size, lambda: in_use, lambda: peak))

    return measure


def test_latency_is_the_median_with_half_the_range_between_the_quartiles(measured):
    # The first enlargement, which memory is read by, is not among those that are timed.
    network, cost = measured([100.0, *(1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0)])
    assert cost == DeviceCost(5.0, 2.0, 7.5)
    assert network.compiled == [(1, 3, 18, 32)]
    assert network.predicted == [((1, 3, 18, 32), np.float32)] * (1 + ROUNDS)


def test_small_networks_are_measured_more_often(measured):
    network, cost = measured([LEAST_S / 100])
    assert len(network.predicted) == pytest.approx(1 + 100, abs=1)
    assert cost.latency_s == pytest.approx(LEAST_S / 100)
    assert cost.latency_spread_s == pytest.approx(0, abs=1e-9)


def test_memory_that_did_not_grow_is_none_at_all(measured):
    _, cost = measured([1.0], in_use=9_000_000, peak=8_000_000)
    assert cost.memory_mb == 0.0


def test_where_the_peak_cannot_be_told_latency_is_measured_alone(measured, tmp_path, monkeypatch):
    _, cost = measured([1.0], in_use=None)
    assert (cost.latency_s, cost.memory_mb) == (1.0, None)
    monkeypatch.setattr("esr_ray.networks.target.FORGETS_PEAK", tmp_path / "not" / "there")
    assert begin_peak("CPU") is None


@pytest.mark.parametrize("keys", [{"objectives": ("psnr", "memory")}, {"max_memory_mb": 100.0}])
def test_a_search_by_memory_that_cannot_be_measured_does_not_begin(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("esr_ray.networks.target.FORGETS_PEAK", tmp_path / "not" / "there")
    monkeypatch.setattr("esr_ray.runtime.evaluator.pin_to_free_core", lambda: None)
    # It would start Ray in this process.
    monkeypatch.setattr("esr_ray.runtime.evaluator.this_node", lambda: "this node")
    config = SimpleNamespace(evolution=EvolutionConfig(**keys))
    with pytest.raises(UserError, match="memory cannot be measured on this node: "):
        Evaluator(WorkerSetup(config, "CPU", None, ()))


def test_memory_is_read_around_the_first_enlargement_after_compiling(by_its_clock):
    happened = []

    class Told(Network):
        def compile_predict(self, lr):
            happened.append("compiled")

        def predict(self, lr):
            happened.append("predicted")
            return super().predict(lr)

    def begin():
        happened.append("begun")
        return 0

    def peak():
        happened.append("peak")
        return 0

    by_its_clock(Told([1.0]), CostPlan((8, 8), begin, peak))
    assert happened[:4] == ["compiled", "begun", "predicted", "peak"]


def test_the_same_picture_is_enlarged_for_every_network(by_its_clock):
    seen = []

    class Looking(Network):
        def predict(self, lr):
            seen.append(lr.copy())
            return super().predict(lr)

    for _ in range(2):
        by_its_clock(Looking([1.0]), CostPlan((8, 10), lambda: 0, lambda: 0))
    assert all(np.array_equal(seen[0], other) for other in seen)
    assert seen[0].min() >= 0
    assert seen[0].max() <= 1


def test_a_native_network_is_measured(library):
    use_target("CPU", "graph")
    spec = NetworkSpec(("S_1_4_8", "C_1_4_4"), 4, 2, "nearest")
    network = NativeNetwork(spec, TrainingConfig(steps=1, batch_size=1, crop_size=8), 1, library)
    batch = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 3, 16, 16), np.float32)
    network.compile(*batch)
    network.step(*batch)
    cost = measure_cost(network, 3, CostPlan((32, 48), lambda: begin_peak("CPU"), lambda: memory_use("CPU")[1]))
    assert cost.latency_s > 0
    assert np.isfinite(cost.latency_spread_s)
    assert cost.latency_spread_s >= 0
    assert cost.memory_mb >= 0


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, False),
        ({"objectives": ("psnr", "params", "mult_adds", "ssim")}, False),
        ({"objectives": ("psnr", "latency")}, True),
        ({"objectives": ("ssim", "memory")}, True),
        ({"max_latency_ms": 20.0}, True),
        ({"max_memory_mb": 100.0}, True),
    ],
)
def test_an_evaluator_measures_only_what_the_search_goes_by(keys, wanted):
    evolution = EvolutionConfig(latency_size=(64, 80), **keys)
    assert wants_device_cost(evolution) == wanted
    setup = SimpleNamespace(config=SimpleNamespace(evolution=evolution), target="CPU")
    plan = Evaluator._cost_plan(SimpleNamespace(setup=setup))
    assert (plan is not None) == wanted
    if plan is not None:
        assert plan.size == (64, 80)
        assert plan.begin_peak() > 0
        assert plan.peak() > 0
