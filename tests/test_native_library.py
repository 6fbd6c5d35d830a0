"""The native library computes what the plain MindSpore network computes, in any thread, and refuses the rest."""

import ctypes
import shutil
import threading

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import legal_blocks

from esr_ray.native.describe import HEADER, describe
from esr_ray.native.library import Library, NativeError, NativeUnavailable, load_library, usable_instruction_sets
from esr_ray.networks.esrn import ESRN
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.networks.target import use_target
from esr_ray.space.spec import NetworkSpec

# Of float32 arithmetic through some dozens of layers, on both sides: relative to the largest number of the output, or
# of a parameter tensor's gradient.
OUTPUT = 1e-5
GRADIENT = 1e-4

MIXED = ("G_4_8_12", "C_2_8_6", "S_3_6_6")
SPEC = NetworkSpec(MIXED, 8, 2, "bicubic")


@pytest.fixture(autouse=True, scope="module")
def _pynative():
    mode = ms.get_context("mode")
    use_target("CPU", "pynative")
    yield
    ms.set_context(mode=mode)


@pytest.fixture(scope="module")
def libraries():
    """The builds for each instruction set of this CPU."""
    return [loaded(name) for name in usable_instruction_sets()]


@pytest.fixture(params=usable_instruction_sets())
def library(request):
    return loaded(request.param)


def loaded(name):
    try:
        return load_library(name)
    except NativeUnavailable as error:
        if any(map(shutil.which, ("c++", "g++", "clang++"))):
            pytest.fail(f"there is a compiler, but no build for {name}: {error}")
        pytest.skip(f"there is no compiler, and no build for {name}: {error}")


specs = st.builds(
    NetworkSpec,
    st.lists(legal_blocks.map(lambda block: block.name), min_size=1, max_size=4).map(tuple),
    st.sampled_from([4, 8, 12, 16]),
    st.sampled_from([2, 3, 4]),
    st.sampled_from(["none", "nearest", "bicubic"]),
)
inputs = st.tuples(st.integers(1, 5), st.integers(1, 25), st.integers(1, 25))


class Problem:
    """A network with weights that keep signals near their size, an input, and a gradient of the output."""

    def __init__(self, spec, size, seed):
        rng = np.random.default_rng(seed)
        batch, height, width = size
        self.spec, self.description, self.shapes = spec, describe(spec), parameter_shapes(spec)
        values = [
            rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) if len(shape) == 4 else 4)
            for shape in self.shapes.values()
        ]
        self.parameters = np.concatenate([value.ravel() for value in values]).astype(np.float32)
        self.x = rng.random((batch, 3, height, width)).astype(np.float32)
        self.dy = rng.standard_normal((batch, 3, spec.scale * height, spec.scale * width)).astype(np.float32)

    def native(self, library):
        """Output, and gradient."""
        y, workspace = library.forward(self.description, self.parameters, self.x)
        return y, library.backward(self.description, self.parameters, self.x, workspace, self.dy)


class Plain:
    """The plain network of a problem."""

    def __init__(self, problem):
        self.problem, self.network = problem, ESRN(problem.spec)
        built = {parameter.name: parameter.shape for parameter in self.network.trainable_params()}
        assert list(built.items()) == list(problem.shapes.items())

    def run(self, parameters):
        """Output, and gradient, at a flat vector of parameters."""
        at, trained = 0, self.network.trainable_params()
        for parameter in trained:
            part = parameters[at : at + parameter.size]
            parameter.set_data(ms.Tensor(part.reshape(parameter.shape)))
            at += parameter.size
        dy = ms.Tensor(self.problem.dy)

        def loss(x):
            y = self.network(x)
            return (y * dy).sum(), y

        (_, y), gradient = ms.value_and_grad(loss, None, trained, has_aux=True)(ms.Tensor(self.problem.x))
        return y.asnumpy(), np.concatenate([part.asnumpy().ravel() for part in gradient])


def check_equality(libraries, problem):
    plain = Plain(problem)
    expected_y, expected = plain.run(problem.parameters)
    lengths = [int(np.prod(shape)) for shape in problem.shapes.values()]
    largest = np.maximum.reduceat(np.abs(expected), np.cumsum([0, *lengths[:-1]]))
    allowed, widened = GRADIENT * np.repeat(largest, lengths), False
    for library in libraries:
        y, gradient = problem.native(library)
        np.testing.assert_allclose(y, expected_y, rtol=0, atol=OUTPUT * np.abs(expected_y).max())
        np.testing.assert_array_equal(library.infer(problem.description, problem.parameters, problem.x), y)
        error = np.abs(gradient - expected)
        if (error > allowed).any() and not widened:
            # Where a ReLU's input is within rounding of 0, two computations may see it on different sides, which
            # happens in 1 of 100 networks. How much that changes, the plain network itself shows: by its gradients
            # after changes of about that size to the parameters.
            widened, rng = True, np.random.default_rng(0)
            for _ in range(12):
                nearby = problem.parameters * (1 + 1e-6 * rng.standard_normal(problem.parameters.size))
                allowed = np.maximum(allowed, 2 * np.abs(plain.run(nearby.astype(np.float32))[1] - expected))
        assert (error <= allowed).all(), f"{library.instruction_set}: {(error - allowed).max()} beyond the tolerance"


# Each type with the most convolutions, each scale and each skip; and one pixel, which has no neighbours at all.
@pytest.mark.parametrize(
    ("spec", "size", "seed"),
    [
        (NetworkSpec(("S_9_6_8", "S_1_8_8"), 8, 2, "none"), (2, 7, 10), 1),
        (NetworkSpec(("G_9_8_5", "G_3_2_2"), 4, 3, "nearest"), (3, 12, 9), 2),
        (NetworkSpec(("C_9_2_7", "C_3_5_4"), 12, 4, "bicubic"), (1, 9, 13), 3),
        (NetworkSpec(MIXED, 8, 3, "bicubic"), (1, 1, 1), 4),
    ],
)
def test_output_and_gradient_are_those_of_the_plain_network(libraries, spec, size, seed):
    check_equality(libraries, Problem(spec, size, seed))


def check_any(libraries, spec, size, seed):
    check_equality(libraries, Problem(spec, size, seed))


# MindSpore compiles each network anew, which takes a second: a few of them each time. That any network's output is the
# method's and its gradient that of finite differences, test_native_double.py has of many more.
@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_output_and_gradient_of_any_network_are_those_of_the_plain_one(libraries, count):
    limited = settings(deadline=None, max_examples=count)
    limited(given(st.just(libraries), specs, inputs, st.integers(0, 2**32 - 1))(check_any))()


@pytest.mark.parametrize(
    ("scale", "skip", "size"),
    [
        (2, "bicubic", (6, 32, 32)),  # an image to a tile
        (4, "nearest", (12, 10, 11)),  # several tiles of several images, until the tail's last stage
        (3, "none", (1, 60, 71)),  # an image larger than a tile, and odd
    ],
)
def test_batches_of_many_tiles_give_what_the_plain_network_gives(libraries, scale, skip, size):
    check_equality(libraries, Problem(NetworkSpec(MIXED, 8, scale, skip), size, seed=scale))


# ------------------------------------------------------------------------------------------- several at one time


def several_problems():
    """More than the library remembers the plans of."""
    specs = [NetworkSpec(MIXED[index % 3 :], 4 + 4 * (index % 2), 2 + index % 3, "nearest") for index in range(6)]
    return [Problem(spec, (1 + index, 9, 14 - index), index) for index, spec in enumerate(specs)]


def test_two_threads_compute_at_once_what_each_computes_alone(library):
    problems = several_problems()
    expected = [problem.native(library) for problem in problems]
    start, failures = threading.Barrier(2), []

    def work(first):
        start.wait()
        try:
            for repetition in range(10):
                # Some of the networks are both threads' at the same time.
                for index in range(first, 6, 1 + repetition % 2):
                    problem, (y, gradient) = problems[index], expected[index]
                    given_y, given_gradient = problem.native(library)
                    np.testing.assert_array_equal(given_y, y)
                    np.testing.assert_array_equal(given_gradient, gradient)
                    inferred = library.infer(problem.description, problem.parameters, problem.x)
                    np.testing.assert_array_equal(inferred, y)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_workspace_is_all_that_a_backward_needs_of_its_forward(library):
    problems = several_problems()
    expected = [problem.native(library)[1] for problem in problems]
    # All forwards come before the first backward.
    workspaces = [library.forward(one.description, one.parameters, one.x)[1] for one in problems]
    kept = [workspace.copy() for workspace in workspaces]
    for index, problem in enumerate(problems):
        library.infer(problem.description, problem.parameters, problem.x)
        for _ in range(2):
            given = problem.description, problem.parameters, problem.x, workspaces[index], problem.dy
            np.testing.assert_array_equal(library.backward(*given), expected[index])
        np.testing.assert_array_equal(workspaces[index], kept[index])


# --------------------------------------------------------------------------------------------------------- errors

HEADERS = [
    ("version", {0: 2}, "another version"),
    ("version 0", {0: 0}, "another version"),
    ("no input channels", {1: 0}, "channels must be"),
    ("65 input channels", {1: 65, 4: 0}, "channels must be"),
    ("negative output channels", {2: -3}, "channels must be"),
    ("no channels between", {3: 0}, "channels must be"),
    ("4097 channels between", {3: 4097}, "channels must be"),
    ("skip", {4: 3}, "skip must be"),
    ("negative skip", {4: -1}, "skip must be"),
    ("skip from 3 to 4 channels", {2: 4}, "as many channels"),
    ("no blocks", {5: 0}, "number of blocks"),
    ("negative blocks", {5: -1}, "number of blocks"),
    ("too many blocks", {5: 4097}, "number of blocks"),
    ("most blocks", {5: 2**31 - 1}, "number of blocks"),
    ("more blocks than follow", {5: 4}, "before its last block"),
    ("negative stages", {6: -1}, "tail has"),
    ("3 stages", {6: 3}, "tail has"),
    ("stage without channels", {7: 0}, "stage shuffles"),
    ("stage of 30 channels", {7: 30}, "stage shuffles"),
    ("stage of too many channels", {7: 65540}, "stage shuffles"),
    ("factor 1", {8: 1}, "stage shuffles"),
    ("factor 0", {8: 0}, "stage shuffles"),
    ("factor 5", {7: 75, 8: 5}, "stage shuffles"),
    # Each within its bounds, and together more parameters than an int counts.
    ("tail of too many parameters", {3: 4096, 7: 65536}, r"more than 2\^26 parameters"),
]
BLOCKS = [
    ((3, 1, 4, 4), "type must be"),
    ((-1, 1, 4, 4), "type must be"),
    ((0, 0, 4, 4), "must be positive"),
    ((0, -2, 4, 4), "must be positive"),
    ((0, 257, 4, 4), "must be positive"),
    ((0, 1, 0, 4), "must be positive"),
    ((0, 1, 4097, 4), "must be positive"),
    ((0, 1, 4, 0), "must be positive"),
    ((0, 1, 4, 2**31 - 1), "must be positive"),
    ((1, 2, 5, 4), "groups of its convolutions"),
    ((1, 4, 6, 4), "groups of its convolutions"),
    ((2, 2, 2, 4), "divide by 4"),
    ((0, 256, 4096, 8), r"more than 2\^26 parameters"),
]


def refused(library, description, match):
    """By each function, and with the library's own message."""
    x = np.zeros((2, 3, 5, 6), np.float32)
    parameters, workspace, dy = np.zeros(10, np.float32), np.zeros(10, np.float32), np.zeros((2, 3, 10, 12), np.float32)
    with pytest.raises(NativeError, match=match):
        library.sizes(description, 2, 5, 6)
    with pytest.raises(NativeError, match=match):
        library.forward(description, parameters, x)
    with pytest.raises(NativeError, match=match):
        library.backward(description, parameters, x, workspace, dy)
    with pytest.raises(NativeError, match=match):
        library.infer(description, parameters, x)


@pytest.mark.parametrize("length", [0, 1, HEADER - 1, HEADER, HEADER + 4 * 3 - 1])
def test_a_description_that_ends_too_soon_is_refused(library, length):
    refused(library, describe(SPEC)[:length], "shorter than its header" if length < HEADER else "before its last block")


def test_a_description_that_goes_on_is_refused(library):
    refused(library, np.append(describe(SPEC), np.int32(0)), "goes on after its last block")


@pytest.mark.parametrize(("changes", "match"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_an_illegal_header_is_refused_with_its_rule(library, changes, match):
    description = describe(SPEC)
    for at, value in changes.items():
        description[at] = value
    refused(library, description, match)


@pytest.mark.parametrize(("block", "match"), BLOCKS)
def test_an_illegal_block_is_refused_with_its_place_and_rule(library, block, match):
    description = describe(SPEC)
    description[HEADER + 4 : HEADER + 8] = block
    refused(library, description, match if match == r"more than 2\^26 parameters" else f"block 1: .*{match}")


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float32])
def test_a_description_of_another_dtype_is_refused(library, dtype):
    refused(library, describe(SPEC).astype(dtype), "int32 in C order")


def test_a_description_in_pieces_is_refused(library):
    refused(library, np.repeat(describe(SPEC), 2)[::2], "int32 in C order")


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ((0, 5, 6), "positive"),
        ((2, 0, 6), "positive"),
        ((2, 5, 0), "positive"),
        ((-1, 5, 6), "positive"),
        ((2, -5, 6), "positive"),
        ((2, 5, -(2**31)), "positive"),
        ((2**31 - 1, 5, 6), "pixels"),
        ((2, 2**31 - 1, 6), "pixels"),
        ((2, 5, 2**31 - 1), "pixels"),
        ((2**31 - 1,) * 3, "pixels"),
        ((2, 2**13, 2**13), "pixels"),
        # Beyond 32 bits: not to be cut to 2, 5 and 6.
        ((2**32 + 2, 5, 6), "sizes|pixels"),
        ((2, 2**32 + 5, 6), "sizes|pixels"),
        ((2, 5, 2**64 + 6), "sizes|pixels"),
        ((2, 5, 6 - 2**40), "sizes|pixels"),
    ],
)
def test_sizes_that_no_batch_can_have_are_refused(library, sizes, match):
    with pytest.raises(NativeError, match=match):
        library.sizes(describe(SPEC), *sizes)


def named(changes):
    """Cases of a test by the names of what is changed."""
    return pytest.mark.parametrize("change", changes.values(), ids=changes.keys())


def arguments(library, **changes):
    """What a backward takes, each right but for what is changed by a function of it."""
    problem = Problem(SPEC, (2, 6, 5), seed=0)
    right = {
        "description": problem.description,
        "parameters": problem.parameters,
        "x": problem.x,
        "workspace": np.zeros(library.sizes(problem.description, 2, 6, 5).workspace, np.float32),
        "dy": problem.dy,
    }
    return right | {name: change(right[name]) for name, change in changes.items()}


def refused_by_all(library, given, match):
    description, parameters, x, workspace, dy = given.values()
    with pytest.raises(NativeError, match=match):
        library.forward(description, parameters, x)
    with pytest.raises(NativeError, match=match):
        library.infer(description, parameters, x)
    with pytest.raises(NativeError, match=match):
        library.backward(description, parameters, x, workspace, dy)


def in_pieces(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


@named(
    {
        "float64": lambda x: x.astype(np.float64),
        "float16": lambda x: x.astype(np.float16),
        "int32": lambda x: x.astype(np.int32),
        "the other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
        "in pieces": in_pieces,
        "channels last in memory": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "1 channel": lambda x: x[:, :1].copy(),
        "6 channels": lambda x: np.repeat(x, 2, axis=1),
        "1 axis": lambda x: x[0, 0, 0],
        "3 axes": lambda x: x[0],
        "5 axes": lambda x: x[None],
        "no image": lambda x: x[:0],
        "no rows": lambda x: x[:, :, :0].copy(),
        "no columns": lambda x: x[:, :, :, :0].copy(),
    }
)
def test_an_input_of_another_dtype_layout_or_shape_is_refused(library, change):
    refused_by_all(library, arguments(library, x=change), r"array|input|sizes")


@named(
    {
        "float64": lambda p: p.astype(np.float64),
        "float16": lambda p: p.astype(np.float16),
        "in pieces": in_pieces,
        "one too few": lambda p: p[:-1],
        "one too many": lambda p: np.append(p, p[:1]),
        "none": lambda p: p[:0],
        "2 axes": lambda p: p[None],
    }
)
def test_parameters_of_another_dtype_layout_or_length_are_refused(library, change):
    refused_by_all(library, arguments(library, parameters=change), r"array|parameters")


@named(
    {
        "float64": lambda dy: dy.astype(np.float64),
        "in pieces": in_pieces,
        "1 image": lambda dy: dy[:1],
        "2 channels": lambda dy: dy[:, :2].copy(),
        "a row less": lambda dy: dy[:, :, :-1].copy(),
        "a column less": lambda dy: dy[..., :-1].copy(),
        "3 axes": lambda dy: dy[0],
        "as many numbers": lambda dy: dy.reshape(2, 3, 10, 12),
    }
)
def test_a_gradient_of_another_dtype_layout_or_shape_is_refused(library, change):
    with pytest.raises(NativeError, match=r"array|gradient"):
        library.backward(**arguments(library, dy=change))


@named(
    {
        "one too few": lambda workspace: workspace[:-1],
        "none": lambda workspace: workspace[:0],
        "float16": lambda workspace: workspace.astype(np.float16),
        "float64": lambda workspace: workspace.astype(np.float64),
        "in pieces": in_pieces,
        "one number repeated": lambda workspace: np.broadcast_to(np.float32(0), workspace.shape),
    }
)
def test_a_workspace_of_another_dtype_layout_or_length_is_refused(library, change):
    with pytest.raises(NativeError, match=r"array|workspace"):
        library.backward(**arguments(library, workspace=change))


def test_the_library_itself_refuses_vectors_of_other_lengths(library):
    """Called without what Python checks first: the pointers are null, so that any access would be the end."""
    problem = Problem(SPEC, (2, 6, 5), seed=0)
    sizes = library.sizes(problem.description, 2, 6, 5)
    functions = ctypes.CDLL(str(library.path))
    shape = [
        ctypes.c_void_p(problem.description.ctypes.data),
        ctypes.c_int64(problem.description.size),
        *map(ctypes.c_int, (2, 6, 5)),
    ]
    nothing = ctypes.c_void_p()

    def message(name, *arguments):
        given = [ctypes.c_int64(argument) if isinstance(argument, int) else argument for argument in arguments]
        assert getattr(functions, name)(*shape, *given) != 0
        return library.error()

    for count in (sizes.params - 1, sizes.params + 1, 0, -1):
        assert "parameters" in message("esrn_forward", nothing, count, nothing, nothing, nothing, sizes.workspace)
        assert "parameters" in message("esrn_backward", nothing, count, nothing, nothing, sizes.workspace, nothing)
        assert "parameters" in message("esrn_infer", nothing, count, nothing, nothing)
    for room in (sizes.workspace - 1, 0, -1):
        assert "workspace" in message("esrn_forward", nothing, sizes.params, nothing, nothing, nothing, room)
        assert "workspace" in message("esrn_backward", nothing, sizes.params, nothing, nothing, room, nothing)


def test_a_library_computes_as_before_after_it_has_refused(library):
    problem = Problem(SPEC, (2, 6, 5), seed=0)
    before = problem.native(library)
    with pytest.raises(NativeError):
        library.sizes(problem.description[:5], 2, 6, 5)
    for one, other in zip(before, problem.native(library), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_that_is_missing_or_no_library_is_unavailable(tmp_path):
    with pytest.raises(NativeUnavailable, match="was not built"):
        Library(tmp_path / "libesrn_none.so")
    other = tmp_path / "libesrn_text.so"
    other.write_text("no library")
    with pytest.raises(NativeUnavailable, match="does not load"):
        Library(other)


def test_an_instruction_set_that_this_cpu_cannot_run_is_unavailable():
    with pytest.raises(NativeUnavailable, match="cannot run the build 'sse9'"):
        load_library("sse9")
