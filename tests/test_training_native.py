"""Networks on the native library train as the plain ones do, each by itself, and survive what is illegal."""

import gc
import weakref
from functools import partial

import mindspore as ms
import numpy as np
import pytest
from pictures import reported
from strategies import small_space
from test_networks_plain import DECAY, SPEC, STEPS, assert_close, averaged, batch, begun, config

from esr_ray.config.schema import CosineSchedule, MultiStepSchedule, TrainingConfig
from esr_ray.data.crops import PicturePair
from esr_ray.data.resize import downscale
from esr_ray.metrics import Quality
from esr_ray.native.library import NativeError
from esr_ray.networks.checkpoint import checkpoint_bytes, checkpoint_from_bytes
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.candidate import train_candidate
from esr_ray.training.final import train_fully
from esr_ray.training.loop import Diverged
from esr_ray.training.native import NativeNetwork
from esr_ray.training.plain import PlainNetwork

# Of 20 steps at a rate of 2e-3, after which weights have moved by 1e-2. Adam divides a gradient by its own size, so
# that the rounding of one that nearly vanishes is part of a step: 6e-5 was the most seen in weights, 4e-5 in losses.
LOSS = 2e-4
WEIGHT = 2e-4
OUTPUT = 1e-3
"""Of outputs in the range of about 1."""


@pytest.fixture(autouse=True, scope="module")
def _graph_mode():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)


@pytest.fixture
def native(library):
    return partial(NativeNetwork, library=library)


@pytest.fixture(params=["plain", "native"])
def make(request):
    """Either path."""
    return PlainNetwork if request.param == "plain" else request.getfixturevalue("native")


def scaled_batch(scale, number=0, height=10, width=12):
    """As `batch`, of any scale."""
    patches = np.random.default_rng(number).random((4, 3, 4, 4))
    hr = np.kron(patches, np.ones((1, 1, height, width)))[:, :, : height * scale, : width * scale]
    hr = (hr + np.roll(hr, 1, axis=2) + np.roll(hr, 1, axis=3)) / 3
    lr = hr.reshape(4, 3, height, scale, width, scale).mean(axis=(3, 5))
    return lr.astype(np.float32), hr.astype(np.float32)


def trained(make, spec, training, steps, seed=1):
    """The network and its losses after steps on three batches in turn."""
    network = begun(make, spec, training, seed)
    network.compile(*scaled_batch(spec.scale))
    losses = [float(network.step(*scaled_batch(spec.scale, step % 3))) for step in range(steps)]
    return network, losses


def assert_same(one, other):
    """Equal to the bit, parameters in the same order."""
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def largest_difference(one, other):
    return max(np.abs(one[name] - other[name]).max() for name in one)


# ------------------------------------------------------------------------------------------------ as the plain network

COMBINATIONS = [
    (NetworkSpec(("C_1_4_4", "G_2_4_8"), 8, 2, "nearest"), {"schedule": CosineSchedule(type="cosine", warmup_steps=3)}),
    (
        NetworkSpec(("S_2_4_8", "C_2_4_4", "G_4_8_12"), 8, 3, "none"),
        {"clip_norm": 1.0, "schedule": MultiStepSchedule(type="multistep", milestones=(8, 15))},
    ),
    (
        NetworkSpec(("G_4_4_8", "S_1_8_8"), 12, 4, "bicubic"),
        {"average_weights": 0.9, "schedule": MultiStepSchedule(type="multistep", milestones=(5,))},
    ),
    (NetworkSpec(("S_3_4_6",), 4, 2, "none"), {"clip_norm": 0.1, "average_weights": 0.9}),
    (NetworkSpec(("S_2_4_8", "G_2_4_8"), 8, 2, "nearest"), {"l2_from": 0.3}),
]


@pytest.mark.parametrize(
    ("spec", "keys"), COMBINATIONS, ids=["x2", "x3 clipped", "x4 averaged", "clipped averaged", "L2 at the end"]
)
def test_training_agrees_with_the_plain_networks(native, spec, keys):
    training = TrainingConfig(steps=STEPS, learning_rate=2e-3, **keys)
    ours, losses = trained(native, spec, training, STEPS)
    plain, expected = trained(PlainNetwork, spec, training, STEPS)
    np.testing.assert_allclose(losses, expected, rtol=LOSS)
    assert list(ours.parameters()) == list(plain.parameters())
    assert largest_difference(ours.parameters(), plain.parameters()) < WEIGHT
    lr, _ = scaled_batch(spec.scale, 7)
    np.testing.assert_allclose(ours.predict(lr), plain.predict(lr), rtol=0, atol=OUTPUT)
    # None of the keys is without effect, or agreement would say nothing of it.
    for key in keys:
        without = {name: value for name, value in keys.items() if name != key}
        other, _ = trained(native, spec, TrainingConfig(steps=STEPS, learning_rate=2e-3, **without), STEPS)
        assert largest_difference(ours.parameters(), other.parameters()) > 5 * WEIGHT, key


@pytest.mark.parametrize("spec", [spec for spec, _ in COMBINATIONS])
def test_networks_begin_with_the_plain_networks_parameters_to_the_bit(native, spec):
    assert_same(native(spec, config(), seed=3).parameters(), PlainNetwork(spec, config(), seed=3).parameters())


def test_the_path_is_told(native, library):
    assert native(SPEC, config(), seed=1).kernels == f"native {library.instruction_set}"


def random_parameters(spec, seed=5):
    rng = np.random.default_rng(seed)
    shapes = {name: value.shape for name, value in PlainNetwork(spec, config(), seed=1).parameters().items()}
    return {name: (rng.standard_normal(shape) / 8).astype(np.float32) for name, shape in shapes.items()}


def test_a_checkpoint_of_either_path_is_read_by_the_other_and_predicts_the_same(native):
    training = config(average_weights=DECAY)
    lr = batch(7)[0]
    ours, _ = trained(native, SPEC, training, 5)
    plain = PlainNetwork(SPEC, training, seed=9)
    parameters, spec = checkpoint_from_bytes(checkpoint_bytes(ours.parameters(), SPEC))
    assert spec == SPEC
    plain.load(parameters)
    assert_same(plain.parameters(), ours.parameters())
    np.testing.assert_allclose(plain.predict(lr), ours.predict(lr), rtol=0, atol=1e-5)

    plain.load(random_parameters(SPEC))
    parameters, _ = checkpoint_from_bytes(checkpoint_bytes(plain.parameters(), SPEC))
    for reader in (ours, native(SPEC, config(), seed=4)):  # one that has trained, one that has not
        reader.load(parameters)
        assert_same(reader.parameters(), plain.parameters())
        np.testing.assert_allclose(reader.predict(lr), plain.predict(lr), rtol=0, atol=1e-5)


def test_weights_that_are_taken_over_are_handed_back_and_not_shared(make):
    network = make(SPEC, config(average_weights=DECAY), seed=1)
    given = random_parameters(SPEC)
    network.load(given)
    kept = {name: value.copy() for name, value in given.items()}
    for value in given.values():
        value[:] = 0
    handed = network.parameters()
    assert_same(handed, kept)
    for value in handed.values():
        value[:] = 0
    assert_same(network.parameters(), kept)


def test_weights_of_another_network_are_refused_and_change_nothing(make):
    network = make(SPEC, config(average_weights=DECAY), seed=1)
    before = network.parameters()
    longer = random_parameters(NetworkSpec((*SPEC.arch, "S_1_4_4"), 8, 2, "nearest"))
    with pytest.raises(ValueError, match="another network"):
        network.load(longer)
    shorter = dict(list(before.items())[:-1])
    with pytest.raises(ValueError, match=r"another network: \['upsampler.last.bias'\]"):
        network.load(shorter)
    wider = random_parameters(NetworkSpec(("C_1_4_4", "G_2_4_12"), 8, 2, "nearest"))
    assert wider.keys() == before.keys()
    with pytest.raises(ValueError, match=r"shape \(\d+, 12, 1, 1\)|shape \(12,"):
        network.load(wider)
    # The same numbers, of another shape.
    with pytest.raises(ValueError, match=r"shape \("):
        network.load({name: value.reshape(-1) for name, value in before.items()})
    assert_same(network.parameters(), before)


# ------------------------------------------------------------------- what test_networks_plain.py asks of the plain one


@pytest.fixture(scope="module")
def native_training(library):
    """Losses, and the weights before and after each of the steps, of a training without averages and clipping."""
    network = begun(partial(NativeNetwork, library=library), SPEC, config())
    weights, losses = [network.parameters()], []
    for _ in range(STEPS + 1):
        losses.append(float(network.step(*batch())))
        weights.append(network.parameters())
    return losses, weights


def test_steps_on_one_batch_train_every_parameter_and_lower_the_loss(native_training):
    losses, weights = native_training
    assert losses[STEPS - 1] < 0.8 * losses[0]
    assert [name for name in weights[0] if np.array_equal(weights[0][name], weights[-1][name])] == []


def test_the_first_loss_is_the_mean_absolute_difference(native, native_training):
    losses, _ = native_training
    lr, hr = batch()
    predicted = begun(native, SPEC, config()).predict(lr)
    np.testing.assert_allclose(losses[0], np.abs(predicted - hr).mean(dtype=np.float64), rtol=1e-6)


def test_averages_are_evaluated_and_training_goes_on_from_the_last_weights(native, native_training):
    _, weights = native_training
    network = begun(native, SPEC, config(average_weights=DECAY))
    lr, hr = batch()
    start = network.predict(lr)
    for _ in range(STEPS):
        network.step(lr, hr)
    assert_close(network.parameters(), averaged(weights[:-1]))
    # The average is far from the last weights, so that the one is not taken for the other.
    assert largest_difference(weights[-2], network.parameters()) > 1e-3
    predicted = network.predict(lr)
    same = native(SPEC, config(), seed=2)
    same.load(network.parameters())
    np.testing.assert_array_equal(same.predict(lr), predicted)

    network.step(lr, hr)
    assert_close(network.parameters(), averaged(weights))

    # Weights that are taken over are the last and the averaged ones.
    network.load(weights[0])
    assert_same(network.parameters(), weights[0])
    np.testing.assert_array_equal(network.predict(lr), start)
    network.step(lr, hr)
    # A step of Adam moves a weight by about the rate at most (here with moments of before), the average by 1 - DECAY.
    assert 0 < largest_difference(network.parameters(), weights[0]) < 5 * 2e-3 * (1 - DECAY)


def test_clipping_bounds_the_norm_of_the_whole_gradient(native):
    """Adam's first step moves a weight by rate·g / (|g| + e) with e = 1e-8 / sqrt(0.001): it tells the gradient."""
    norms = {}
    for clip in (1e-7, 4e-7, 1e6):
        network = begun(native, SPEC, TrainingConfig(steps=1, learning_rate=1.0, clip_norm=clip))
        before = network.parameters()
        network.step(*batch())
        moved = np.concatenate([np.abs(value - before[name]).ravel() for name, value in network.parameters().items()])
        moved = moved.astype(np.float64)
        if clip == 1e6:
            assert np.median(moved) > 0.99
        else:
            norms[clip] = np.linalg.norm(1e-8 / np.sqrt(0.001) * moved / (1 - moved))
    assert norms == pytest.approx({clip: clip for clip in norms}, rel=0.02)


def test_a_batch_without_an_error_changes_nothing(native):
    network, _ = trained(native, SPEC, config(), 3)
    other = native(SPEC, config(clip_norm=1.0, average_weights=DECAY), seed=2)
    other.load(network.parameters())
    lr, _ = batch()
    target = other.predict(lr)
    for _ in range(3):
        assert float(other.step(lr, target)) == 0
    assert_same(other.parameters(), network.parameters())
    np.testing.assert_array_equal(other.predict(lr), target)


# -------------------------------------------------------------------------------------------- many networks, one by one


def random_specs(count, seed=0):
    """Different networks of the small space, with at most 12,725 parameters."""
    space, rng = small_space(), np.random.default_rng(seed)
    archs = {}
    while len(archs) < count:
        archs.setdefault(decode(sample_genome(space, rng)))
    return [NetworkSpec(arch, 8, 2, "nearest") for arch in archs]


FULL = TrainingConfig(steps=25, learning_rate=2e-3, clip_norm=0.1, average_weights=0.9)
"""With all that a training keeps: moments, averages, and the number of the step."""
LARGE = NetworkSpec(("S_2_8_8", "G_4_8_16", "C_2_8_8", "S_1_8_8"), 8, 2, "nearest")


def test_many_networks_are_trained_each_as_if_it_were_the_first(native):
    specs = random_specs(40)
    alone, expected = trained(native, specs[0], FULL, 5)
    for number, spec in enumerate([specs[0], *specs, specs[0]]):
        network, losses = trained(native, spec, FULL, 5)
        assert np.isfinite(losses).all()
        if spec == specs[0]:
            assert losses == expected, number
            assert_same(network.parameters(), alone.parameters())


def test_networks_that_are_trained_in_turns_do_not_meet(native):
    """Of the same size and of another: what one keeps is not in the way of the others."""
    specs = (SPEC, LARGE, SPEC)
    expected = [trained(native, spec, FULL, 6, seed) for seed, spec in enumerate(specs)]
    networks = [begun(native, spec, FULL, seed) for seed, spec in enumerate(specs)]
    losses = [[float(network.step(*scaled_batch(2, step % 3))) for network in networks] for step in range(6)]
    for index, (network, (alone, alone_losses)) in enumerate(zip(networks, expected, strict=True)):
        assert [row[index] for row in losses] == alone_losses
        assert_same(network.parameters(), alone.parameters())


def test_a_network_is_trained_on_batches_of_any_shape_and_layout(native):
    for number, spec in enumerate(random_specs(3)):
        network, same = native(spec, FULL, seed=1), native(spec, FULL, seed=1)
        for height in (8, 11):
            lr, hr = scaled_batch(2, number, height)
            loss = network.step(lr, hr)
            assert np.isfinite(loss)
            strided = [np.ascontiguousarray(one.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1) for one in (lr, hr)]
            assert not strided[0].flags.c_contiguous
            assert same.step(*strided) == loss
        assert_same(same.parameters(), network.parameters())


def test_the_network_before_is_freed(native):
    network, _ = trained(native, SPEC, config(), 1)
    reference = weakref.ref(network)
    del network
    gc.collect()
    assert reference() is None


def test_pictures_of_any_size_and_layout_are_predicted(native):
    network = native(SPEC, config(), seed=1)
    network.load(random_parameters(SPEC))
    network.compile_predict(batch()[0])
    assert network.predict(batch()[0]).shape == (4, 3, 24, 24)
    lr = np.random.default_rng(0).random((9, 7, 3)).astype(np.float32).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(network.predict(lr), network.predict(lr.copy()))


def test_processes_that_train_together_take_the_mean_of_loss_and_gradient(library):
    """Two shares of a batch, each with a group's mean in the place of its own, are the whole batch."""
    lr, hr = scaled_batch(2)
    whole, expected = native_of(library), []
    messages = {}

    def record(rank):
        def mean(values):
            messages[rank] = values.copy()
            return values

        return mean

    shares = [native_of(library, record(rank)) for rank in (0, 1)]
    for _ in range(5):
        expected.append(float(whole.step(lr, hr)))
        for rank, network in enumerate(shares):
            before = network.state()
            network.step(lr[2 * rank : 2 * rank + 2], hr[2 * rank : 2 * rank + 2])
            network.restore(before)
        means = (messages[0] + messages[1]) / 2
        assert means.dtype == np.float32
        for rank, network in enumerate(shares):
            network._mean = lambda values, means=means: means
            loss = float(network.step(lr[:2], hr[:2]))
            assert loss == pytest.approx(expected[-1], rel=LOSS)
            network._mean = record(rank)
    assert_same(shares[0].parameters(), shares[1].parameters())
    assert largest_difference(shares[0].parameters(), whole.parameters()) < WEIGHT


def native_of(library, mean=None):
    return NativeNetwork(SPEC, FULL, 1, library, mean)


# ------------------------------------------------------------------------------------------------ through the trainings


def photographs(count, side=48):
    rows, columns = np.mgrid[:side, :side]
    pairs = []
    for index in range(count):
        bars = ((rows * (index + 1) + columns * 2) // 7 % 2 * 160 + 40 + rows).astype(np.uint8)
        hr = np.stack([bars, bars[::-1], bars[:, ::-1]], axis=2)
        pairs.append(PicturePair(f"bars{index}", hr, downscale(hr, 2)))
    return pairs


PAIRS = photographs(4)
CANDIDATE = {"steps": 30, "batch_size": 4, "crop_size": 12, "learning_rate": 4e-3}


def test_a_candidate_has_the_same_fitness_whoever_was_trained_before(native, library):
    training = TrainingConfig(**CANDIDATE)
    first, other, again = (
        train_candidate(spec, training, PAIRS[:3], PAIRS[3:], seed=1, make=native) for spec in (SPEC, LARGE, SPEC)
    )
    assert (again.quality, again.curve, again.params) == (first.quality, first.curve, first.params)
    assert other.quality != first.quality
    assert first.kernels == f"native {library.instruction_set}"
    # The checkpoint is of the network that was measured.
    measured = reported(first.weights, PAIRS[3:], "native").mean
    found = Quality(measured.psnr_y, measured.psnr_rgb, measured.ssim_y)
    assert found == first.quality


def test_divergence_is_told_and_the_next_network_knows_nothing_of_it(native):
    alone, expected = trained(native, SPEC, FULL, 5)
    for keys in ({}, {"clip_norm": 1.0}, {"average_weights": 0.9}):
        training = TrainingConfig(**{**CANDIDATE, "learning_rate": 1e30}, **keys)
        with pytest.raises(Diverged, match="steps"):
            train_candidate(SPEC, training, PAIRS[:3], PAIRS[3:], seed=1, make=native)
        network, losses = trained(native, SPEC, FULL, 5)
        assert losses == expected
        assert_same(network.parameters(), alone.parameters())


def test_full_training_and_its_report_are_those_of_the_plain_path(native):
    training = TrainingConfig(**{**CANDIDATE, "steps": 5, "average_weights": 0.9})
    full = train_fully(SPEC, training, PAIRS[:3], seed=1, make=native)
    assert full.kernels.startswith("native ")
    ours, plain = (reported(full.weights, PAIRS[3:], kernels).mean for kernels in ("native", "plain"))
    assert ours.psnr_y == pytest.approx(plain.psnr_y, abs=1e-3)


def test_a_network_whose_step_was_refused_goes_on(native):
    """The same network: the step that was refused is none."""
    alone, expected = trained(native, SPEC, FULL, 5)
    network = begun(native, SPEC, FULL)
    lr, hr = batch()
    with pytest.raises(NativeError, match="the target has shape"):
        network.step(lr, hr[:, :, 1:].copy())
    losses = [float(network.step(*scaled_batch(2, step % 3))) for step in range(5)]
    assert losses == expected
    assert_same(network.parameters(), alone.parameters())
