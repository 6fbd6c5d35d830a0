"""What networks are for: what they are given, what their output makes, and what a checkpoint says of it."""

import numpy as np
import pytest
from pictures import enlarging

from esr_ray.config.load import check_config
from esr_ray.data.crops import PicturePair
from esr_ray.data.resize import downscale, upscale
from esr_ray.inference.load import ready_network
from esr_ray.inference.measure import measure, measure_baseline
from esr_ray.inference.predictor import choose_predictor
from esr_ray.metrics import YCBCR_FROM_RGB, YCBCR_OFFSET, luminance, psnr, to_ycbcr
from esr_ray.networks.checkpoint import checkpoint_bytes, checkpoint_from_bytes
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.counts import network_cost, spec_cost
from esr_ray.space.spec import NetworkSpec, spec_from_json
from esr_ray.tasks.make import network_spec, space_of, task_of
from esr_ray.training.batches import training_batch

RNG = np.random.default_rng(0)
HR = np.kron(RNG.integers(0, 256, (8, 10, 3)), np.ones((4, 4, 1))).astype(np.uint8)
PAIR = PicturePair("p", HR, downscale(HR, 2))


def config(**task):
    return check_config({"task": task, "data": {"hr": "sample:scikit-image"}, "space": {"base_channels": 8}}, "test")


def test_luminance_is_the_metrics_own_and_colours_come_back():
    ycbcr = to_ycbcr(HR.astype(np.float32) / 255, axis=2)
    np.testing.assert_allclose(255 * ycbcr[..., 0], luminance(HR), atol=1e-4)
    rgb = (ycbcr - YCBCR_OFFSET) @ np.linalg.inv(YCBCR_FROM_RGB).T
    np.testing.assert_allclose(255 * rgb, HR, atol=1e-3)
    # Grey has no colour; MATLAB's rgb2ycbcr of pure red, green and blue.
    rgb = np.array([[0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    found = 255 * to_ycbcr(rgb, axis=1)
    np.testing.assert_allclose(found[0, 1:], 128, atol=1e-3)
    np.testing.assert_allclose(found[1:], [[81.48, 90.2, 240], [144.55, 53.8, 34.21], [40.97, 240, 109.79]], atol=0.01)


def test_rgb_is_given_and_taken_as_it_is():
    task = enlarging(2)
    np.testing.assert_array_equal(task.complete(task.given(HR), PAIR.lr), HR)
    np.testing.assert_array_equal(task.baseline.of(PAIR), upscale(PAIR.lr, 2))
    given, wanted = training_batch(task, [PAIR], config().fast_training.model_copy(update={"crop_size": 8}), 0, 1)
    assert given.shape[1:] == (3, 8, 8)
    assert wanted.shape[1:] == (3, 16, 16)


def test_a_network_of_luminance_sees_one_channel_and_bicubic_makes_the_colours():
    task = enlarging(2, colour="luminance")
    assert task.given(PAIR.lr).shape == (1, 16, 20)
    true = task.given(HR)
    made = task.complete(true, PAIR.lr)
    # Y is what came out, but where its colours cannot be had; colours are those of bicubic.
    inside = ((made > 0) & (made < 255)).all(2)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(luminance(made)[inside], luminance(HR)[inside], atol=0.6)
    colours = to_ycbcr(made / np.float32(255), axis=2)[..., 1:]
    expected = to_ycbcr(upscale(PAIR.lr, 2) / np.float32(255), axis=2)[..., 1:]
    np.testing.assert_allclose(colours[inside], expected[inside], atol=0.003)
    assert psnr(made, HR, 2, True) > psnr(upscale(PAIR.lr, 2), HR, 2, True) + 5


def test_batches_of_luminance_are_those_of_rgb_in_one_channel():
    training = config().fast_training.model_copy(update={"crop_size": 8, "batch_size": 3})
    rgb = training_batch(enlarging(2), [PAIR], training, 5, 7)
    luma = training_batch(enlarging(2, colour="luminance"), [PAIR], training, 5, 7)
    for colours, grey in zip(rgb, luma, strict=True):
        assert grey.flags.c_contiguous
        np.testing.assert_array_equal(grey, to_ycbcr(colours, axis=1)[:, :1])


@pytest.mark.parametrize("kernels", ["native", "plain"])
def test_a_network_of_luminance_is_the_baseline_as_long_as_it_only_skips(kernels, request):
    if kernels == "native":
        request.getfixturevalue("library")
    spec = network_spec(("S_1_4_8", "C_1_4_4"), config(colour="luminance"))
    parameters = initial_parameters(parameter_shapes(spec), 1, True)
    assert parameters["sfe1.weight"].shape == (8, 1, 3, 3)
    loaded = ready_network(
        *checkpoint_from_bytes(checkpoint_bytes(parameters, spec)), choose_predictor(kernels, "CPU"), "it"
    )
    assert loaded.spec == spec
    assert (loaded.task.in_channels, loaded.task.border) == (1, 2)
    (ours,) = measure(loaded.predictor, [PAIR], loaded.task)
    (bicubic,) = measure_baseline([PAIR], loaded.task)
    expected = PAIR.lr.repeat(2, 0).repeat(2, 1) if spec.global_skip == "nearest" else upscale(PAIR.lr, 2)
    assert spec.global_skip != "none"
    assert psnr(ours.sr, HR, 2, True) == pytest.approx(psnr(expected, HR, 2, True), abs=0.1)
    assert bicubic.quality.psnr_y == pytest.approx(psnr(upscale(PAIR.lr, 2), HR, 2, True))


@pytest.mark.parametrize("skip", ["none", "nearest", "bicubic"])
def test_native_and_plain_agree_on_one_channel(library, skip):
    spec = NetworkSpec(("S_1_4_8", "C_1_4_4", "G_2_4_6"), 8, 2, skip, 1, 1)
    shapes = parameter_shapes(spec)
    parameters = {name: RNG.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    x = RNG.random((2, 1, 7, 10), np.float32)
    native, plain = (choose_predictor(kernels, "CPU")(spec, parameters).predict(x) for kernels in ("native", "plain"))
    assert native.shape == (2, 1, 14, 20)
    np.testing.assert_allclose(native, plain, atol=1e-4 * np.abs(plain).max())


def test_a_network_says_what_it_is_for():
    for keys in ({}, {"scale": 3}, {"scale": 4, "colour": "luminance"}):
        given = config(**keys)
        spec = network_spec(("S_1_4_8",), given)
        task = task_of(spec_from_json(spec.to_json()))
        assert task.settings == given.task.model_dump()
        assert (task.scale, task.in_channels) == (spec.scale, spec.in_channels)
    # As networks were written before there were other tasks.
    old = '{"arch": ["S_1_4_8"], "base_channels": 8, "scale": 3, "global_skip": "none"}'
    assert task_of(spec_from_json(old)).scale == 3
    assert spec_from_json(old).in_channels == 3


def test_counts_are_those_of_the_tasks_channels():
    arch = ("S_1_4_8",)
    rgb, luma = (config(colour=colour) for colour in ("rgb", "luminance"))
    one = spec_cost(network_spec(arch, luma))
    assert space_of(luma).cost(arch) == one
    assert space_of(rgb).cost(arch) == network_cost(arch, 8, 2)
    # Two channels less of the first 3x3 (to 8) and of the last (from 6, at four pixels).
    less = network_cost(arch, 8, 2)
    assert less.params - one.params == 2 * 8 * 9 + 2 * (6 * 9 + 1)
    assert less.mult_adds - one.mult_adds == 2 * 8 * 9 + 4 * 2 * 6 * 9
    shapes = parameter_shapes(network_spec(arch, luma))
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == one.params
