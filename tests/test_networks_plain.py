"""The plain network under training: it learns, averages, clips, and takes weights over."""

import mindspore as ms
import numpy as np
import pytest

from esr_ray.config.schema import TrainingConfig
from esr_ray.networks.initial import initial_parameters
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.plain import PlainNetwork

SPEC = NetworkSpec(("C_1_4_4", "G_2_4_8"), 8, 2, "nearest")
DECAY = 0.8
STEPS = 20


@pytest.fixture(autouse=True, scope="module")
def _graph_mode():
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=mode)


def batch(number=0):
    rng = np.random.default_rng(number)
    hr = np.kron(rng.random((4, 3, 3, 3)), np.ones((1, 1, 8, 8)))
    hr = (hr + np.roll(hr, 1, axis=2) + np.roll(hr, 1, axis=3)) / 3
    return hr.reshape(4, 3, 12, 2, 12, 2).mean(axis=(3, 5)).astype(np.float32), hr.astype(np.float32)


def config(**keys):
    return TrainingConfig(steps=STEPS + 5, learning_rate=2e-3, **keys)


def begun(make, spec, training, seed=1):
    """A network with initial weights whose last convolution is not zero even where there is a skip: from zeros nearly
    all of the first gradients vanish, and Adam makes their rounding as large as any."""
    network = make(spec, training, seed)
    shapes = {name: value.shape for name, value in network.parameters().items()}
    network.load(initial_parameters(shapes, seed, has_skip=False))
    return network


@pytest.fixture(scope="module")
def plain_training():
    """Losses, and the weights before and after each of the steps, of a training without averages and clipping."""
    network = begun(PlainNetwork, SPEC, config())
    weights, losses = [network.parameters()], []
    for _ in range(STEPS + 1):
        losses.append(float(network.step(*batch())))
        weights.append(network.parameters())
    return losses, weights


def test_steps_on_one_batch_lower_the_loss(plain_training):
    losses, _ = plain_training
    assert losses[STEPS - 1] < 0.8 * losses[0]


def test_every_parameter_is_trained(plain_training):
    _, weights = plain_training
    assert [name for name in weights[0] if np.array_equal(weights[0][name], weights[-1][name])] == []


def test_the_first_loss_is_the_mean_absolute_difference(plain_training):
    losses, _ = plain_training
    network = begun(PlainNetwork, SPEC, config())
    lr, hr = batch()
    np.testing.assert_allclose(losses[0], np.abs(network.predict(lr) - hr).mean(), rtol=1e-5)


def averaged(weights):
    """The exponential average over the weights before and after each step."""
    average = {name: value.astype(np.float64) for name, value in weights[0].items()}
    for after in weights[1:]:
        average = {name: DECAY * average[name] + (1 - DECAY) * value for name, value in after.items()}
    return average


def assert_close(values, expected):
    assert values.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(values[name], expected[name], rtol=0, atol=2e-6, err_msg=name)


def test_averages_are_evaluated_and_training_goes_on_from_the_last_weights(plain_training):
    _, weights = plain_training
    network = begun(PlainNetwork, SPEC, config(average_weights=DECAY))
    lr, hr = batch()
    start = network.predict(lr)
    for _ in range(STEPS):
        network.step(lr, hr)
    assert_close(network.parameters(), averaged(weights[:-1]))
    # The average is far from the last weights, so that the one is not taken for the other.
    assert max(np.abs(weights[-2][name] - value).max() for name, value in network.parameters().items()) > 1e-3
    predicted = network.predict(lr)
    np.testing.assert_array_equal(network.predict(lr), predicted)

    same = PlainNetwork(SPEC, config(), seed=2)
    same.load(network.parameters())
    np.testing.assert_allclose(predicted, same.predict(lr), atol=1e-6)

    network.step(lr, hr)
    assert_close(network.parameters(), averaged(weights))

    # Weights that are taken over are the last and the averaged ones, whatever was evaluated before.
    for evaluated in (False, True):
        if evaluated:
            network.predict(lr)
        network.load(weights[0])
        assert_close(network.parameters(), weights[0])
        np.testing.assert_array_equal(network.predict(lr), start)
    network.step(lr, hr)
    moved = network.parameters()
    # A step of Adam moves a weight by about the rate at most (here with moments of before), the average by 1 - DECAY.
    assert 0 < max(np.abs(moved[name] - weights[0][name]).max() for name in moved) < 5 * 2e-3 * (1 - DECAY)


def test_clipping_bounds_the_norm_of_the_whole_gradient():
    """Adam's first step moves a weight by rate·g / (|g| + e) with e = 1e-8 / sqrt(0.001): it tells the gradient."""
    keys = {"steps": 1, "learning_rate": 1.0}
    norms = {}
    for clip in (1e-7, 4e-7, 1e6):
        network = begun(PlainNetwork, SPEC, TrainingConfig(**keys, clip_norm=clip))
        before = network.parameters()
        network.step(*batch())
        moved = np.concatenate([np.abs(value - before[name]).ravel() for name, value in network.parameters().items()])
        moved = moved.astype(np.float64)
        if clip == 1e6:
            assert np.median(moved) > 0.99
        else:
            norms[clip] = np.linalg.norm(1e-8 / np.sqrt(0.001) * moved / (1 - moved))
    assert norms == pytest.approx({clip: clip for clip in norms}, rel=0.02)


def test_weights_of_another_network_are_refused_and_change_nothing():
    network = PlainNetwork(SPEC, config(average_weights=DECAY), seed=1)
    before = network.parameters()
    longer = PlainNetwork(NetworkSpec((*SPEC.arch, "S_1_4_4"), 8, 2, "nearest"), config(), seed=2).parameters()
    with pytest.raises(ValueError, match="another network"):
        network.load(longer)
    shorter = dict(list(PlainNetwork(SPEC, config(), seed=2).parameters().items())[:-1])
    with pytest.raises(ValueError, match=r"another network: \['upsampler.last.bias'\]"):
        network.load(shorter)
    wider = PlainNetwork(NetworkSpec(("C_1_4_4", "G_2_4_12"), 8, 2, "nearest"), config(), seed=2).parameters()
    assert wider.keys() == before.keys()
    with pytest.raises(ValueError, match=r"shape \(\d+, 12, 1, 1\)|shape \(12,"):
        network.load(wider)
    after = network.parameters()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_networks_that_begin_alike_start_alike():
    one = PlainNetwork(SPEC, config(), seed=1).parameters()
    other = PlainNetwork(NetworkSpec(("C_1_4_4", "S_2_8_4"), 8, 2, "nearest"), config(), seed=1).parameters()
    elsewhere = PlainNetwork(SPEC, config(), seed=2).parameters()

    def fan_in(values, name):
        return values[name.rpartition(".")[0] + ".weight"].shape[1:]

    shared = [name for name in one if name in other and fan_in(one, name) == fan_in(other, name)]
    shared = [name for name in shared if one[name].shape == other[name].shape]
    assert {"blocks.0.convs.0.weight", "upsampler.last.bias"} <= set(shared) < set(one)
    for name in shared:
        np.testing.assert_array_equal(one[name], other[name])
        if one[name].any():
            assert not np.array_equal(one[name], elsewhere[name])
    # With a skip the last convolution begins with zeros, as do biases.
    begin_with_zeros = {name for name in one if name.endswith(".bias")} | {"upsampler.last.weight"}
    assert {name for name in one if not one[name].any()} == begin_with_zeros
