"""Denoising and demosaicking: what networks are given, and what there is without them."""

import numpy as np
import pytest

from esr_ray.config.load import check_config
from esr_ray.data.crops import PicturePair, Share
from esr_ray.data.images import read_picture
from esr_ray.data.samples import sample_files
from esr_ray.errors import UserError
from esr_ray.inference.load import ready_network
from esr_ray.inference.measure import measure, measure_baseline
from esr_ray.inference.predictor import choose_predictor
from esr_ray.metrics import psnr
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.spec import NetworkSpec, spec_from_json
from esr_ray.tasks.demosaicking import PATTERNS, bilinear, malvar
from esr_ray.tasks.denoising import spread_of_noise
from esr_ray.tasks.make import make_task, network_spec, task_of
from esr_ray.tasks.pixels import as_picture, as_rgb
from esr_ray.training.batches import training_batch

RNG = np.random.default_rng(0)
GREY = np.full((64, 80, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def photo():
    """Part of a photograph of scikit-image's."""
    return np.ascontiguousarray(read_picture(sample_files()["test"][1]).pixels[100:228, 100:260])


def config(**task):
    return check_config({"task": task, "data": {"hr": "sample:scikit-image"}, "space": {"base_channels": 8}}, "test")


def made(**task):
    return make_task(config(**task).task)


def pair_of(picture, scale=1, name="p"):
    return PicturePair(name, picture, np.ascontiguousarray(picture[::scale, ::scale]))


# Noise.


@pytest.mark.parametrize("sigma", [15, 50])
def test_noise_has_its_standard_deviation_and_no_mean(sigma):
    task = made(name="denoising", sigma=sigma)
    noise = 255 * task.degraded(pair_of(GREY)) - 128
    assert noise.std() == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) < 4 * sigma / noise.size**0.5
    # White: neighbours have nothing in common; normal: 95 of a hundred within two deviations.
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.03
    assert (np.abs(noise) < 1.96 * sigma).mean() == pytest.approx(0.95, abs=0.01)


def test_noise_depends_on_the_picture_and_is_the_same_each_time():
    task = made(name="denoising")
    one = task.degraded(pair_of(GREY, name="a"))
    np.testing.assert_array_equal(task.degraded(pair_of(GREY, name="a")), one)
    assert not np.array_equal(task.degraded(pair_of(GREY, name="b")), one)
    # Written down: another version, or machine, must not measure with other noise.
    np.testing.assert_allclose(one[0, 0, :3], FIRST, atol=1e-6)


FIRST = [0.36443, 0.395101, 0.489239]


def test_noise_is_clipped_where_that_is_asked_for(photo):
    free, clipped = (made(name="denoising", sigma=50, clip=clip).degraded(pair_of(photo)) for clip in (False, True))
    assert free.min() < 0
    assert free.max() > 1
    np.testing.assert_array_equal(clipped, np.clip(free, 0, 1))


def test_a_range_of_noise_is_drawn_for_each_crop():
    training = config().fast_training.model_copy(update={"crop_size": 32, "batch_size": 40})
    task = made(name="denoising", sigma=(5, 45))
    given, wanted = training_batch(task, [pair_of(GREY)], training, 3, 1)
    assert given.shape == wanted.shape == (40, 3, 32, 32)
    np.testing.assert_allclose(wanted, 128 / 255, rtol=1e-6)
    spreads = 255 * (given - wanted).std(axis=(1, 2, 3))
    assert 4.5 < spreads.min() < 12
    assert 38 < spreads.max() < 47


def test_parts_of_a_batch_are_those_of_the_whole():
    """Of processes that train together each makes its own crops, with the noise that they have in the whole batch."""
    training = config().fast_training.model_copy(update={"crop_size": 8, "batch_size": 6})
    for task, pair in ((made(name="denoising"), pair_of(GREY)), (made(name="demosaicking"), pair_of(GREY, 2))):
        whole = training_batch(task, [pair], training, 3, 5)
        parts = [training_batch(task, [pair], training, 3, 5, Share(rank, 3)) for rank in range(3)]
        for place in (0, 1):
            np.testing.assert_array_equal(np.concatenate([part[place] for part in parts]), whole[place])
    first, second = (training_batch(made(name="denoising"), [pair_of(GREY)], training, 3, step)[0] for step in (1, 2))
    assert not np.array_equal(first, second)


def test_baselines_of_denoising_take_noise_away(photo):
    task = made(name="denoising", sigma=25)
    pair = pair_of(photo)
    noisy, means = (measure_baseline([pair], task, one)[0].quality for one in task.baselines)
    # 20 log10(255 / 25), and a little for what rounding to 8 bits clips.
    assert noisy.fitness == pytest.approx(20.2, abs=0.4)
    assert noisy.fitness == noisy.psnr_rgb
    assert means.fitness > noisy.fitness + 5
    assert 255 * spread_of_noise(task.degraded(pair)) == pytest.approx(25, rel=0.1)


# Mosaics.


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_mosaic_holds_what_the_sensor_sees(pattern):
    names = np.array(list(pattern)).reshape(2, 2)
    picture = RNG.integers(0, 256, (6, 8, 3), np.uint8)
    task = made(name="demosaicking", pattern=pattern)
    packed = 255 * task.degraded(pair_of(picture, 2))
    assert packed.shape == (4, 3, 4)
    mosaic = task.shown(pair_of(picture, 2)).sum(2, dtype=np.uint16)[..., None]
    np.testing.assert_array_equal(255 * task.given(mosaic.astype(np.uint8)), packed)
    np.testing.assert_allclose(255 * task.given(257 * mosaic), packed, atol=1e-3)
    greens = []
    for row in (0, 1):
        for column in (0, 1):
            channel = "RGB".index(names[row, column])
            seen = picture[row::2, column::2, channel]
            if channel == 1:
                greens.append(seen)
            else:
                np.testing.assert_allclose(packed[0 if channel == 0 else 3], seen, atol=1e-3)
    found = sorted(packed[1:3].round().tolist())
    assert found == sorted(np.array(greens).astype(float).tolist())


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("method", [bilinear, malvar])
def test_plain_demosaicking_keeps_what_was_seen_and_finds_smooth_colours(pattern, method):
    down, right = np.linspace(0.2, 0.7, 20)[:, None], np.linspace(0, 0.25, 24)[None]
    ramp = np.stack([down + right, down - right / 2, 0.5 + right - down / 3]).astype(np.float32)
    found = method(ramp, pattern)
    for channel in range(3):
        error = np.abs(found[channel] - ramp[channel])[4:-4, 4:-4]
        assert error.max() < 0.02, "linear in both directions"
    seen = {0: [], 1: [], 2: []}
    for channel, place in zip((0, 1, 1, 2), PATTERNS[pattern], strict=True):
        seen[channel].append(place)
    for channel, places in seen.items():
        for row, column in places:
            np.testing.assert_allclose(found[channel, row::2, column::2], ramp[channel, row::2, column::2], atol=1e-6)


def test_malvar_beats_bilinear_on_a_photograph(photo):
    task = made(name="demosaicking")
    pair = pair_of(photo, 2)
    best, plain = (measure_baseline([pair], task, one)[0].quality.fitness for one in task.baselines)
    assert best > plain + 1
    assert 28 < plain < best < 50
    assert plain == pytest.approx(psnr(as_picture(bilinear(as_rgb(photo), "RGGB")), photo, 10, False))
    assert task.shown(pair).shape == photo.shape
    assert (task.shown(pair) > 0).sum(2).max() == 1


def test_the_pattern_stays_where_crops_are_turned():
    """A network is given the mosaic of the turned crop, not the turned mosaic."""
    picture = RNG.integers(0, 256, (40, 44, 3), np.uint8)
    training = config().fast_training.model_copy(update={"crop_size": 8, "batch_size": 12})
    task = made(name="demosaicking")
    given, wanted = training_batch(task, [pair_of(picture, 2)], training, 1, 1)
    assert (given.shape, wanted.shape) == ((12, 4, 8, 8), (12, 3, 16, 16))
    for packed, whole in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(packed, task.degraded(pair_of(as_picture(whole), 2)))


# Networks.

TASKS = {"denoising": {"name": "denoising", "sigma": 25}, "demosaicking": {"name": "demosaicking"}}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("skip", ["none", "nearest", "bicubic"])
def test_native_and_plain_networks_agree(library, task, skip):
    given = config(**task)
    spec = network_spec(("S_1_4_8", "C_1_4_4", "G_2_4_6"), given)
    spec = NetworkSpec(spec.arch, 8, spec.scale, skip, spec.in_channels, spec.out_channels, spec.task)
    assert spec_from_json(spec.to_json()) == spec
    assert task_of(spec).settings == given.task.model_dump(mode="json")
    shapes = parameter_shapes(spec)
    parameters = {name: RNG.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    x = RNG.random((2, spec.in_channels, 7, 10), np.float32)
    native, plain = (choose_predictor(kernels, "CPU")(spec, parameters).predict(x) for kernels in ("native", "plain"))
    assert native.shape == (2, 3, 7 * spec.scale, 10 * spec.scale)
    np.testing.assert_allclose(native, plain, atol=1e-4 * np.abs(plain).max())


@pytest.mark.parametrize(("task", "least"), [("denoising", 20), ("demosaicking", 22)])
def test_a_network_begins_as_its_skip(photo, task, least):
    spec = network_spec(("S_1_4_8",), config(**TASKS[task]))
    parameters = initial_parameters(parameter_shapes(spec), 1, True)
    network = ready_network(parameters, spec, choose_predictor("auto", "CPU"), "it")
    (found,) = measure(network.predictor, [pair_of(photo, spec.scale)], network.task)
    assert found.sr.shape == photo.shape
    assert found.quality.fitness > least
    assert found.quality.by == "psnr_rgb"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "denoising", "scale": 2}, "scale: 2 is not for denoising"),
        ({"name": "super_resolution", "scale": 1}, "scale: 1 is not for super_resolution"),
        ({"sigma": 15}, "sigma: is for denoising, not for super_resolution"),
        ({"name": "denoising", "colour": "luminance"}, "colour: is for super_resolution, not for denoising"),
        ({"name": "denoising", "pattern": "BGGR"}, "pattern: is for demosaicking, not for denoising"),
        ({"name": "denoising", "sigma": [50, 15]}, r"sigma: \[50.0, 15.0\] is no range"),
        ({"name": "denoising", "sigma": 0}, "sigma"),
        ({"name": "demosaicking", "pattern": "RGBG"}, "pattern"),
        ({"name": "deblurring"}, "task.name"),
    ],
)
def test_what_is_wrong_with_a_task_is_said(task, message):
    with pytest.raises(UserError, match=message):
        config(**task)
