"""The native library in double precision: its output is the method's, and its gradient that of finite differences.

The sources are compiled with -DESRN_DOUBLE, once for each instruction set of this CPU; the builds that are installed
(float32) are then compared with the double ones.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy_network import Weights, reference_network
from strategies import legal_blocks

import esr_ray.native
from esr_ray.native.describe import HEADER, VERSION, describe
from esr_ray.native.library import Library, NativeUnavailable, load_library, usable_instruction_sets
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.spec import NetworkSpec

SOURCES = Path(esr_ray.native.__file__).parent / "src"
MARCH = {"avx512": ["-march=x86-64-v4"], "avx2": ["-march=x86-64-v3"], "portable": []}

# Of float64 arithmetic, relative to the largest number of the output.
OUTPUT = 1e-12
# Of finite differences: relative to what a random direction gives for a gradient of that size, and the noise of the
# difference of two outputs, relative to them (2e-15 was the largest of 7,628). The output is linear in most tensors
# between the kinks of its ReLUs, so that small steps lose nothing but to noise: 1 in 1,000 meets a kink within 1e-5.
DIFFERENCES = 1e-6
NOISE = 1e-14
STEPS = (1e-6, 1e-7, 1e-8)
# Of float32 arithmetic through some dozens of layers, relative to the largest number of the output or of a gradient.
FLOAT_OUTPUT = 3e-6
FLOAT_GRADIENT = 1e-4
# Of a float32.
ROUNDING = 2.0**-23


@pytest.fixture(scope="module", params=usable_instruction_sets())
def double(request, tmp_path_factory):
    """The library in double precision, for one instruction set."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    path = tmp_path_factory.mktemp("native") / f"libesrn_double_{request.param}.so"
    # As one source: most of the time of each is that of its headers.
    source = path.with_name("all.cpp")
    source.write_text("".join(f'#include "{one}"\n' for one in sorted(SOURCES.glob("*.cpp"))))
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-DESRN_DOUBLE", *MARCH[request.param]]
    command = [compiler, *flags, "-I", SOURCES, source, "-o", path]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    library = Library(path)
    assert library.real == np.float64
    assert library.instruction_set == request.param
    return library


archs = st.lists(legal_blocks.map(lambda block: block.name), min_size=1, max_size=3).map(tuple)
specs = st.builds(
    NetworkSpec,
    archs,
    st.sampled_from([4, 8, 12]),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from(["none", "nearest", "bicubic"]),
)
# Luminance, and packed Bayer mosaics of which RGB is made.
specs = st.builds(
    lambda spec, ends: replace(spec, in_channels=ends[0], out_channels=ends[1]),
    specs,
    st.sampled_from([(3, 3), (1, 1), (4, 3)]),
)
inputs = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)


@st.composite
def descriptions(draw):
    """Networks that the library knows and no NetworkSpec gives: other ends, and tails of no or any two stages."""
    skip = draw(st.integers(0, 2))
    ends = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    if skip:
        ends = (ends[0], ends[0])
    stages = draw(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([2, 3, 4])), max_size=2))
    arch = draw(st.lists(legal_blocks, min_size=1, max_size=2))
    values = [VERSION, *ends, draw(st.integers(1, 9)), skip, len(arch), len(stages)]
    for channels, factor in stages:
        values += [channels * factor**2, factor]
    values += [0] * (HEADER - len(values))
    for block in arch:
        values += ["SGC".index(block.letter), block.convs, block.growth, block.out]
    return np.array(values, np.int32)


def random_weights(shapes, rng):
    """Weights that keep signals near their size, and biases."""
    return {
        name: rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) if len(shape) == 4 else 4)
        for name, shape in shapes.items()
    }


def flat(values):
    return np.concatenate([value.ravel() for value in values])


def bicubic(picture, scale):
    """Keys' cubic with a = -0.5, borders replicated, as two matrices: (C, H, W) -> (C, scale·H, scale·W)."""

    def matrix(size):
        rows = np.zeros((scale * size, size))
        for place in range(scale * size):
            center = (place + 0.5) / scale - 0.5
            for tap in range(int(np.floor(center)) - 1, int(np.floor(center)) + 3):
                d = abs(center - tap)
                weight = 1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
                rows[place, np.clip(tap, 0, size - 1)] += weight
        return rows

    _, height, width = picture.shape
    return np.einsum("yh,chw,xw->cyx", matrix(height), picture, matrix(width))


@given(specs, inputs, seeds)
@settings(deadline=None, max_examples=25)
def test_the_output_is_what_the_method_says(double, spec, size, seed):
    rng = np.random.default_rng(seed)
    weights = Weights(random_weights(parameter_shapes(spec), rng))
    batch, height, width = size
    x = rng.random((batch, spec.in_channels, height, width))
    expected = np.stack([reference_network(spec.arch, spec.scale, one, weights) for one in x])
    seen = np.stack([x[:, 0], (x[:, 1] + x[:, 2]) / 2, x[:, 3]], 1) if spec.in_channels == 4 else x
    if spec.global_skip == "nearest":
        expected += np.kron(seen, np.ones((spec.scale, spec.scale)))
    if spec.global_skip == "bicubic":
        expected += np.stack([bicubic(one, spec.scale) for one in seen])
    description, parameters = describe(spec), flat(weights.values())
    output, _ = double.forward(description, parameters, x)
    np.testing.assert_allclose(output, expected, rtol=0, atol=OUTPUT * np.abs(expected).max())
    np.testing.assert_array_equal(double.infer(description, parameters, x), output)


def check_differences(library, description, parameters, x, dy, direction, gradient):
    """The derivative of sum(output · dy) along a direction is that of the gradient.

    A difference says nothing where a ReLU turns within its step, and a smaller step has more noise: one of the steps
    must agree. A wrong gradient agrees with none. The example is thrown away only where the network itself has a kink
    at this point: where its derivatives forward and backward differ over the smallest step.
    """

    def products(step):
        return (library.infer(description, parameters + step * direction, x) * dy).ravel()

    def difference(one, other):
        # Of the sums, in more precision: their own noise would be most of what is seen.
        return float(np.sum((one - other).astype(np.longdouble)))

    middle = products(0)
    expected = float(gradient @ direction)
    # Along a random direction the derivative is about as large as its terms together, whatever their signs.
    scale = float(np.linalg.norm(gradient * direction))
    noise = NOISE * float(np.linalg.norm(middle))
    estimates = []
    for step in STEPS:
        after, before = products(step), products(-step)
        estimates.append(difference(after, before) / (2 * step))
        if abs(estimates[-1] - expected) <= DIFFERENCES * scale + noise / step:
            return
    one_sided = difference(after, middle) / step - difference(middle, before) / step
    assume(abs(one_sided) <= DIFFERENCES * scale + 4 * noise / step)
    raise AssertionError(f"the gradient gives {expected}, differences {estimates} (scale {scale})")


@given(specs, inputs, seeds)
@settings(deadline=None, max_examples=60)
def test_the_gradient_of_each_tensor_is_that_of_finite_differences(double, spec, size, seed):
    rng = np.random.default_rng(seed)
    batch, height, width = size
    shapes = parameter_shapes(spec)
    parameters = flat(random_weights(shapes, rng).values())
    x = rng.random((batch, spec.in_channels, height, width))
    dy = rng.standard_normal((batch, spec.out_channels, spec.scale * height, spec.scale * width))
    description = describe(spec)
    _, workspace = double.forward(description, parameters, x)
    gradient = double.backward(description, parameters, x, workspace, dy)
    at = 0
    for shape in shapes.values():
        count = int(np.prod(shape))
        along = np.zeros_like(parameters)
        along[at : at + count] = rng.standard_normal(count) / np.sqrt(np.prod(shape[1:]))
        check_differences(double, description, parameters, x, dy, along, gradient)
        # One parameter of the tensor: an error there is not lost among the others.
        single = np.zeros_like(parameters)
        single[at + rng.integers(count)] = 1
        check_differences(double, description, parameters, x, dy, single, gradient)
        at += count
    assert at == parameters.size


@given(descriptions(), inputs, seeds)
@settings(deadline=None, max_examples=60)
def test_networks_beyond_those_that_are_searched_have_the_gradient_of_finite_differences(
    double, description, size, seed
):
    rng = np.random.default_rng(seed)
    sizes = double.sizes(description, *size)
    parameters = rng.standard_normal(sizes.params) * 0.3
    batch, height, width = size
    x = rng.random((batch, sizes.in_channels, height, width))
    dy = rng.standard_normal((batch, sizes.out_channels, sizes.scale * height, sizes.scale * width))
    _, workspace = double.forward(description, parameters, x)
    gradient = double.backward(description, parameters, x, workspace, dy)
    check_differences(double, description, parameters, x, dy, rng.standard_normal(sizes.params), gradient)
    for index in rng.integers(sizes.params, size=20):
        single = np.zeros_like(parameters)
        single[index] = 1
        check_differences(double, description, parameters, x, dy, single, gradient)


@given(specs, inputs, seeds)
# One pixel, of which the skip and the network's part cancel: there is no larger number in the output.
@example(NetworkSpec(("S_1_6_1", "S_1_6_1"), 4, 1, "nearest", 1, 1), (1, 1, 1), 0)
@settings(deadline=None, max_examples=60)
def test_the_installed_build_computes_in_float32_what_the_double_one_does(double, spec, size, seed):
    try:
        single = load_library(double.instruction_set)
    except NativeUnavailable as error:
        pytest.fail(f"there is a compiler, but no build for {double.instruction_set}: {error}")
    rng = np.random.default_rng(seed)
    batch, height, width = size
    shapes = parameter_shapes(spec)
    parameters = flat(random_weights(shapes, rng).values()).astype(np.float32)
    x = rng.random((batch, spec.in_channels, height, width)).astype(np.float32)
    dy = rng.standard_normal((batch, spec.out_channels, spec.scale * height, spec.scale * width)).astype(np.float32)
    description = describe(spec)

    def compute(library, parameters):
        given = [array.astype(library.real) for array in (parameters, x, dy)]
        y, workspace = library.forward(description, given[0], given[1])
        return y, library.backward(description, given[0], given[1], workspace, given[2])

    y, gradient = compute(single, parameters)
    expected_y, expected = compute(double, parameters)

    def changes(part, size):
        """How much of what the double network computes changes with its parameters, by so much of each."""
        nearby = (parameters * (1 + size * rng.standard_normal(parameters.size)) for _ in range(20))
        return 2 * np.max([np.abs(compute(double, one)[part] - (expected_y, expected)[part]) for one in nearby], axis=0)

    allowed = np.full(y.shape, FLOAT_OUTPUT * np.abs(expected_y).max())
    error = np.abs(y - expected_y)
    if (error > allowed).any():
        # Where what is added cancels, rounding is that of the summands.
        allowed = np.maximum(allowed, changes(0, ROUNDING))
    assert (error <= allowed).all(), f"{(error - allowed).max()} beyond the tolerance"
    lengths = [int(np.prod(shape)) for shape in shapes.values()]
    largest = np.repeat(np.maximum.reduceat(np.abs(expected), np.cumsum([0, *lengths[:-1]])), lengths)
    allowed = FLOAT_GRADIENT * largest
    error = np.abs(gradient - expected)
    if (error > allowed).any():
        # Where a ReLU's input is within rounding of 0, float32 may see it on the other side. The double network shows
        # how much that changes: its own gradient after changes of that size to the parameters.
        allowed = np.maximum(allowed, changes(1, 1e-6))
    assert (error <= allowed).all(), f"{(error - allowed).max()} beyond the tolerance"
