"""A candidate's fast training: what it hands back, that it repeats, and that divergence is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import enlarging, reported

from esr_ray.config.load import check_config
from esr_ray.config.schema import CosineSchedule, TrainingConfig
from esr_ray.data.crops import PicturePair
from esr_ray.data.resize import downscale
from esr_ray.errors import UserError
from esr_ray.inference.measure import batches, measure, measure_baseline
from esr_ray.inference.report import evaluate_baseline
from esr_ray.metrics import mean_quality
from esr_ray.networks.checkpoint import load_checkpoint
from esr_ray.networks.target import use_target
from esr_ray.space.counts import network_cost, spec_cost
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import make_task, network_spec
from esr_ray.training.candidate import train_candidate
from esr_ray.training.final import train_fully
from esr_ray.training.kernels import choose_kernels
from esr_ray.training.loop import CurvePoint, Diverged, train
from esr_ray.training.plain import PlainNetwork
from esr_ray.training.result import Trained

TASK = enlarging()
SPEC = NetworkSpec(("S_1_4_8", "C_1_4_4"), 4, 2, "nearest")


@pytest.fixture(autouse=True, scope="module")
def graph_mode() -> None:
    use_target("CPU", "graph")


def config(**changes: object) -> TrainingConfig:
    values: dict[str, object] = {
        "steps": 30,
        "batch_size": 4,
        "crop_size": 12,
        "learning_rate": 4e-3,
        "schedule": CosineSchedule(type="cosine", warmup_steps=3),
    }
    return TrainingConfig(**{**values, **changes})


def photographs(count: int, side: int = 48) -> list[PicturePair]:
    """Pairs of smooth pictures with edges, so that there is something to learn."""
    pairs = []
    rows, columns = np.mgrid[:side, :side]
    for index in range(count):
        bars = ((rows * (index + 1) + columns * 2) // 7 % 2 * 160 + 40 + rows).astype(np.uint8)
        hr = np.stack([bars, bars[::-1], bars[:, ::-1]], axis=2)
        pairs.append(PicturePair(f"bars{index}", hr, downscale(hr, 2)))
    return pairs


PAIRS = photographs(4)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_candidate(SPEC, config(), PAIRS[:3], PAIRS[3:], 1, PlainNetwork)


def test_result_says_what_the_network_and_the_pictures_say(trained: Trained) -> None:
    assert trained.params == network_cost(SPEC.arch, 4, 2).params
    assert [step for step, _ in trained.curve] == list(range(1, 31))
    assert trained.picture is not None
    assert trained.picture.shape == PAIRS[3].hr.shape
    assert min(trained.seconds.compile, trained.seconds.steps, trained.seconds.evaluation) > 0
    assert np.mean([loss for _, loss in trained.curve[-5:]]) < np.mean([loss for _, loss in trained.curve[:5]])


def test_the_same_network_and_seed_have_the_same_fitness(trained: Trained) -> None:
    again = train_candidate(SPEC, config(), PAIRS[:3], PAIRS[3:], 1, PlainNetwork)
    assert again.quality == trained.quality
    assert again.curve == trained.curve


def test_checkpoint_holds_the_network_that_was_measured(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "candidate.ckpt"
    path.write_bytes(trained.weights)
    parameters, spec = load_checkpoint(path)
    assert spec == SPEC
    network = PlainNetwork(spec, config(), seed=99)
    network.load(parameters)
    assert mean_quality([one.quality for one in measure(network, PAIRS[3:], TASK)]) == trained.quality


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_bad_checkpoint_is_named(content: bytes | None, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(trained.weights[: len(trained.weights) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"bad\.ckpt"):
        load_checkpoint(path)


def test_divergence_is_told_with_its_step() -> None:
    with pytest.raises(Diverged, match="steps"):
        train_candidate(SPEC, config(learning_rate=1e30), PAIRS[:3], PAIRS[3:], 1, PlainNetwork)


def test_an_output_that_is_no_picture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step may spoil the weights, of which no loss tells any more."""

    def spoil(network: PlainNetwork, *more: object) -> tuple[CurvePoint, ...]:
        network.load({name: value * np.float32("nan") for name, value in network.parameters().items()})
        return ()

    monkeypatch.setattr("esr_ray.training.candidate.train", spoil)
    with pytest.raises(Diverged, match="the output is no picture"):
        train_candidate(SPEC, config(), PAIRS[:3], PAIRS[3:], 1, PlainNetwork)


class Fake:
    """A network whose loss is told, to look at the loop alone."""

    def __init__(self, losses: list[float]) -> None:
        self.losses, self.batches = iter(losses), []

    def step(self, lr: np.ndarray, hr: np.ndarray) -> float:
        self.batches.append((lr.copy(), hr.copy()))
        return next(self.losses)


def test_candidates_see_the_same_crops_in_the_same_order() -> None:
    one, other = Fake([0.1] * 30), Fake([0.7] * 30)
    for network in (one, other):
        train(network, PAIRS, config(), TASK, seed=5)  # type: ignore[arg-type]
    for mine, theirs in zip(one.batches, other.batches, strict=True):
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])
    assert not np.array_equal(one.batches[0][0], one.batches[1][0])


def test_the_curve_is_the_mean_loss_between_its_points() -> None:
    told: list[CurvePoint] = []
    losses = [float(index) for index in range(50)]
    curve = train(Fake(losses), PAIRS, config(steps=50), TASK, seed=5, report=told.append)  # type: ignore[arg-type]
    assert tuple(told) == curve
    assert [point.step for point in curve] == list(range(2, 51, 2))
    assert [point.loss for point in curve] == [index + 0.5 for index in range(0, 50, 2)]


def test_batches_hold_every_picture_once_and_fill_up_the_last() -> None:
    pairs = photographs(10, 24) + photographs(1, 32)
    parts = list(batches(pairs, TASK))
    assert sorted(index for indices, _ in parts for index in indices) == list(range(11))
    assert [lr.shape for _, lr in parts] == [(8, 3, 12, 12), (8, 3, 12, 12), (1, 3, 16, 16)]


def test_bicubic_is_measured_as_the_network_is() -> None:
    (one,) = measure_baseline(PAIRS[:1], TASK)
    assert one.sr.shape == PAIRS[0].hr.shape
    assert 10 < one.quality.psnr_y < 60


def test_full_training_and_its_report_are_of_one_network() -> None:
    full = train_fully(SPEC, config(steps=5, average_weights=0.9), PAIRS[:3], 1, PlainNetwork)
    report = reported(full.weights, PAIRS[3:])
    assert report.name == "test"
    assert len(report.pictures) == 1
    assert report.mean.psnr_y == report.pictures[0].psnr_y
    assert reported(full.weights, PAIRS[3:]) == report
    (bicubic,) = evaluate_baseline(TASK, [("test", PAIRS[3:])]).sets
    (expected,) = measure_baseline(PAIRS[3:], TASK)
    assert (bicubic.mean.psnr_y, bicubic.mean.ssim_y) == (expected.quality.psnr_y, expected.quality.ssim_y)


def test_a_long_training_looks_at_its_loss_between_the_points_of_its_curve() -> None:
    told: list[CurvePoint] = []
    curve = train(Fake([1.0] * 8000), PAIRS, config(steps=8000, batch_size=1, crop_size=8), TASK, 5, told.append)  # type: ignore[arg-type]
    assert len(curve) == 20
    assert [point.step for point in told] == list(range(200, 8001, 200))


def test_pynative_mode_trains_to_the_same_result(trained: Trained) -> None:
    use_target("CPU", "pynative")
    try:
        again = train_candidate(SPEC, config(), PAIRS[:3], PAIRS[3:], 1, PlainNetwork)
    finally:
        use_target("CPU", "graph")
    assert again.quality.psnr_y == pytest.approx(trained.quality.psnr_y, abs=0.01)


@pytest.mark.parametrize(
    "task",
    [
        {"colour": "luminance"},
        {"name": "denoising", "sigma": 25},
        {"name": "demosaicking", "pattern": "GBRG"},
    ],
    ids=["luminance", "denoising", "demosaicking"],
)
@pytest.mark.parametrize("kernels", ["native", "plain"])
def test_candidates_of_every_task_learn(task: dict[str, object], kernels: str, request: pytest.FixtureRequest) -> None:
    """Networks of a task are trained and measured on both paths, from a configuration's network to its fitness."""
    if kernels == "native":
        request.getfixturevalue("library")
    given = check_config(
        {
            "task": task,
            "space": {"base_channels": 8},
            "data": {"hr": "sample:scikit-image"},
            "runtime": {"kernels": kernels},
        },
        "test",
    )
    scale = given.task.scale
    pairs = [PicturePair(one.name, one.hr, one.hr if scale == 1 else downscale(one.hr, scale)) for one in PAIRS]
    # MindSpore compiles a network for each task: a small one.
    spec = network_spec(SPEC.arch if kernels == "native" else SPEC.arch[:1], given)
    training = config(steps=60, crop_size=12, learning_rate=8e-3)
    trained = train_candidate(spec, training, pairs[:3], pairs[3:], 1, make=choose_kernels(given, "CPU").make)
    assert trained.params == spec_cost(spec).params
    assert trained.curve[-1][1] < 0.9 * trained.curve[0][1]
    assert trained.quality.by == make_task(given.task).judged_by
    full = train_fully(spec, training, pairs[:3], 1, choose_kernels(given, "CPU").make)
    found = reported(full.weights, pairs[3:], kernels)
    assert getattr(found.mean, trained.quality.by) == pytest.approx(trained.quality.fitness, abs=3)
