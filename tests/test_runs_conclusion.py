"""What is said at the end of a search: its front, how sure the winner is, the limits that it keeps; who is trained."""

import json
from dataclasses import replace

import pytest
from worlds import BY_HAND, SPACE, InProcess, World, make_config, search, told

from esr_ray.runs.population import front_json
from esr_ray.runs.record import read_history
from esr_ray.runs.result import front_lines, reported_networks, result_json, winner_lines
from esr_ray.search.front import chosen, front_rows
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.training.result import DeviceCost


class Measuring(World):
    """Latency and memory are of the parameters; those of some candidates are not measured."""

    def __init__(self, unmeasured=()):
        super().__init__()
        self.unmeasured = unmeasured

    def trained(self, job, wrong=0):
        found = super().trained(job, wrong)
        if job.candidate.id in self.unmeasured:
            return found
        return replace(found, cost=DeviceCost(job.candidate.params / 1e5, 0.001, job.candidate.params / 1e3))


def searched(fresh, world=None, generations=6, **keys):
    """The algorithm and the history of a search that is done."""
    path, config = fresh(), make_config(generations, **keys)
    search(path, config, InProcess(world or Measuring()), SPACE)
    return make_algorithm(config, SPACE), read_history(path)


def result_of(algorithm, history):
    return json.loads(result_json(algorithm, algorithm.verdict(history.state), {}, history))


def test_nothing_is_said_of_a_search_without_a_result():
    algorithm = make_algorithm(make_config(), SPACE)
    assert front_lines(algorithm, State()) == winner_lines(algorithm, State()) == []


def test_the_winner_is_told_with_its_confidence_the_noise_and_the_runners_up():
    algorithm = make_algorithm(make_config(race={"share": 0.3, "tolerance": 0.02}), BY_HAND)
    results = [(0, 10, 31.0), (1, 10, 30.0), (2, 10, 30.5), (0, 10, 31.02), (2, 10, 30.52)]
    won, runners_up = winner_lines(algorithm, told(*results))
    verdict = algorithm.verdict(told(*results))
    sure, noise = f"{verdict.confidence:.2f}", f"{verdict.noise[0][1]:.3f}"
    assert won == (
        f"winner: candidate 0, {verdict.winner.value:.3f} ± {verdict.winner.error:.3f} dB, the best or within "
        f"0.02 dB of it with probability {sure}; noise of a training: {noise} dB at 10 steps"
    )
    assert runners_up.startswith("runners-up: candidates 2 (30.")
    assert ", 1 (30." in runners_up
    assert "(assumed: no network was trained with two seeds)" in winner_lines(algorithm, told(*results[:3]))[0]


def test_the_front_is_told_with_what_each_network_costs_and_how_far_that_spreads(fresh):
    algorithm, history = searched(fresh, objectives=["psnr", "latency", "ssim"])
    title, *lines = front_lines(algorithm, history.state)
    assert title == "front of psnr against latency against ssim:"
    rows = front_rows(algorithm, history.state)
    assert len(lines) == len(rows) > 1
    for line, row in zip(lines, rows, strict=True):
        assert f"candidate {row.id}: {row.psnr:.3f} ± {row.error:.3f} dB, SSIM {row.ssim:.4f} after 10 steps, " in line
        assert f", {1e3 * (row.params / 1e5):.1f} ± 1.0 ms, {row.params / 1e3:.0f} MB: {' '.join(row.arch)}" in line
        assert row.predicted == ()


def test_what_was_predicted_is_told_as_such(fresh):
    algorithm, history = searched(fresh, Measuring(range(12)), objectives=["psnr", "latency"])
    rows = [row for row in front_rows(algorithm, history.state) if row.id < 12]
    assert rows
    lines = front_lines(algorithm, history.state)
    kept = {one["id"]: one for one in json.loads(front_json(algorithm, history.state))["front"]}
    for row in rows:
        assert row.predicted == ("latency",)
        assert row.latency_s > 0
        (line,) = [line for line in lines if line.startswith(f"  candidate {row.id}: ")]
        assert f", about {1e3 * row.latency_s:.1f} ms: " in line
        assert kept[row.id]["predicted"] == ["latency"]
        assert kept[row.id]["latency_s"] == pytest.approx(row.latency_s)
    assert all("predicted" not in one for one in kept.values() if one["id"] >= 12)


def test_a_limit_that_no_network_keeps_is_told(fresh):
    algorithm, history = searched(fresh, max_latency_ms=0.5, max_memory_mb=1e6)
    winner = algorithm.verdict(history.state).winner.candidate
    latency = 1e3 * winner.params / 1e5
    line = f"limits: no network keeps latency within 0.5 ms: the winner has {latency:.1f} ms"
    assert [one for one in winner_lines(algorithm, history.state) if one.startswith("limits")] == [line]
    best = result_of(algorithm, history)["best"]
    assert best["latency_s"] == pytest.approx(latency / 1e3)
    assert best["limits_not_kept"] == ["latency"]


def test_limits_that_the_winner_keeps_are_not_spoken_of(fresh):
    algorithm, history = searched(fresh, max_latency_ms=1e6)
    assert not [one for one in winner_lines(algorithm, history.state) if one.startswith("limits")]
    assert result_of(algorithm, history)["best"]["limits_not_kept"] == []
    # And without limits there is nothing to keep.
    assert "limits_not_kept" not in result_of(*searched(fresh))["best"]


def test_a_limit_of_what_nobody_has_measured_is_told(fresh):
    algorithm, history = searched(fresh, World(), max_memory_mb=50)
    assert "limits: no network keeps memory within 50 MB: it was measured of no network" in winner_lines(
        algorithm, history.state
    )


def test_networks_to_train_are_the_winner_the_knee_or_spread_over_the_front(fresh):
    algorithm, history = searched(fresh, objectives=["psnr", "params"])
    state = history.state
    front = algorithm.view(state).front
    assert len(front) >= 3
    assert chosen(algorithm, state, "best") == (algorithm.verdict(state).winner.candidate.id,)
    (knee,) = chosen(algorithm, state, "knee")
    assert knee in front
    ends = {min(front, key=lambda one: state.candidates[one].params), front[0]}
    two = chosen(algorithm, state, "front:2")
    assert set(two) == ends
    assert set(chosen(algorithm, state, f"front:{len(front) + 5}")) == set(front)
    assert chosen(algorithm, State(), "knee") == ()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"best": {}}, {}),
        ({"best": {}, "full_training": {"id": 3}}, {"final": None}),
        (
            {"full_trainings": {"front_00": {"id": 3}, "front_01": {"id": 9}}},
            {"front_00": "front_00 (candidate 3)", "front_01": "front_01 (candidate 9)"},
        ),
        ({"networks": {"network_00": {}, "network_01": {}}}, {"network_00": "network_00", "network_01": "network_01"}),
    ],
)
def test_reports_are_called_by_their_networks(tmp_path, content, expected):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    assert reported_networks(path) == expected
