"""Initial weights depend on the seed and the parameter's name alone."""

import numpy as np
import pytest

from esr_ray.networks.esrn import ESRN
from esr_ray.networks.initial import initial_parameters
from esr_ray.space.spec import NetworkSpec

SHAPES = {
    "a.weight": (64, 16, 3, 3),
    "a.bias": (64,),
    "b.weight": (64, 16, 3, 3),
    "upsampler.last.weight": (3, 24, 3, 3),
    "upsampler.last.bias": (3,),
}


def test_the_same_name_and_seed_give_the_same_values_in_any_network():
    few = {name: SHAPES[name] for name in ("a.bias", "a.weight")}
    all_of_them, some = initial_parameters(SHAPES, 5, True), initial_parameters(few, 5, True)
    for name in few:
        np.testing.assert_array_equal(all_of_them[name], some[name])
        assert all_of_them[name].dtype == np.float32
        assert all_of_them[name].shape == SHAPES[name]


def test_other_seeds_and_other_names_give_other_values():
    values, other = initial_parameters(SHAPES, 5, False), initial_parameters(SHAPES, 6, False)
    for name in ("a.weight", "b.weight", "upsampler.last.weight"):
        assert not np.array_equal(values[name], other[name])
    assert not np.array_equal(values["a.weight"], values["b.weight"])


def test_weights_are_uniform_with_one_over_the_fan_in_as_variance():
    values = np.concatenate([initial_parameters(SHAPES, seed, True)["a.weight"].ravel() for seed in range(20)])
    assert np.var(values) == pytest.approx(1 / (16 * 9), rel=0.02)
    bound = np.sqrt(3 / (16 * 9))
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    quarters, _ = np.histogram(values, bins=4, range=(-bound, bound))
    np.testing.assert_allclose(quarters / len(values), 0.25, atol=0.05)


def test_what_goes_through_convolutions_keeps_its_size():
    """Whatever a convolution is given, what comes out has as great a variance (where no ReLU follows)."""
    weights = initial_parameters(SHAPES, 3, False)["a.weight"].reshape(64, -1)
    given = np.random.default_rng(0).standard_normal((weights.shape[1], 500))
    assert np.var(weights @ given) == pytest.approx(1.0, rel=0.1)


def test_biases_are_zero():
    for name in ("a.bias", "upsampler.last.bias"):
        np.testing.assert_array_equal(initial_parameters(SHAPES, 5, False)[name], np.zeros(SHAPES[name], np.float32))


def test_a_skip_makes_the_last_convolution_zero_and_nothing_else():
    plain, skipped = initial_parameters(SHAPES, 5, False), initial_parameters(SHAPES, 5, True)
    np.testing.assert_array_equal(skipped["upsampler.last.weight"], np.zeros_like(plain["upsampler.last.weight"]))
    assert plain["upsampler.last.weight"].any()
    for name in set(SHAPES) - {"upsampler.last.weight"}:
        np.testing.assert_array_equal(skipped[name], plain[name])


def test_what_is_no_convolutions_keeps_its_cells_values():
    shapes = {"norm.gamma": (8,), "dense.weight": (8, 4), "dense.bias": (8,), "weight": (3, 3, 1, 1), "x.bias": (2,)}
    assert initial_parameters(shapes, 0, True) == {}


def test_every_parameter_of_a_network_of_the_built_in_blocks_is_set():
    network = ESRN(NetworkSpec(("S_2_4_8", "G_2_4_6", "C_1_4_4"), 8, 4, "nearest"))
    shapes = {parameter.name: tuple(parameter.shape) for parameter in network.trainable_params()}
    values = initial_parameters(shapes, 0, True)
    assert {name: value.shape for name, value in values.items()} == shapes
    # The tail that begins with zeros is there under its name.
    assert "upsampler.last.weight" in shapes


def test_the_variance_may_be_less() -> None:
    whole, third = (initial_parameters(SHAPES, 5, True, variance)["a.weight"] for variance in (1.0, 1 / 3))
    np.testing.assert_allclose(third, whole / np.sqrt(3), rtol=1e-6)
