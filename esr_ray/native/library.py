"""The native library in this process: the build for this CPU is found, loaded, and called with checked arrays."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from esr_ray.native.build import NOTE, X86_BUILDS, instruction_sets, library_name
from esr_ray.native.cpu import cpu_features

FOLDER = Path(__file__).parent
VARIABLE = "ESR_RAY_INSTRUCTION_SET"
"""Environment variable that chooses a build by name, instead of the best one that the CPU has."""

_NO_MEMORY = 2
"""Status of a call that wanted more memory than there is."""
_LINUX_NAMES = {"bmi": "bmi1"}
"""CPU features that Linux calls otherwise than compilers do."""


class NativeUnavailable(Exception):
    """There is no library that this machine can use; the message says why."""


class NativeError(Exception):
    """The library refused what it was given; the message is its own."""


@dataclass(frozen=True)
class Sizes:
    """What a network needs at one batch and size. Parameters and workspace in float32 numbers."""

    params: int
    workspace: int
    scale: int
    in_channels: int
    out_channels: int
    forward_flops: float
    backward_flops: float


@dataclass(frozen=True)
class _Ends:
    """What a description alone says of a network."""

    params: int
    scale: int
    in_channels: int
    out_channels: int


class Library:
    """One loaded build. All functions are safe in any thread.

    Those that compute raise NativeError where the library refuses what it is given, MemoryError where it gets no
    memory.
    """

    def __init__(self, path: Path) -> None:
        """Raises NativeUnavailable where the file is missing or does not load."""
        if not path.is_file():
            raise NativeUnavailable(f"{path.name} was not built")
        try:
            self._functions = ctypes.CDLL(str(path))
            self._functions.esrn_instruction_set.restype = ctypes.c_char_p
            self.instruction_set = self._functions.esrn_instruction_set().decode()
            self.real = np.dtype(np.float32 if self._functions.esrn_real_bytes() == 4 else np.float64)
        except (OSError, AttributeError) as error:
            raise NativeUnavailable(f"{path.name} does not load: {error}") from None
        self.path = path
        self.kernels = f"native {self.instruction_set}"

    def sizes(self, description: np.ndarray, batch: int, height: int, width: int) -> Sizes:
        """What training the network on (batch, C, height, width) needs. Raises NativeError where it is illegal."""
        integers, flops = (ctypes.c_int64 * 5)(), (ctypes.c_double * 2)()
        self._call("esrn_sizes", *_shape(description, batch, height, width), integers, flops)
        return Sizes(*integers, *flops)

    def forward(self, description: np.ndarray, parameters: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output (B, C, scale·h, scale·w) of x (B, C, h, w), and the workspace that `backward` needs."""
        sizes = self._checked(description, parameters, x)
        y = np.empty((x.shape[0], sizes.out_channels, *(sizes.scale * side for side in x.shape[2:])), self.real)
        # NaN: what the library reads without having written it shows.
        needed = self.sizes(description, x.shape[0], *x.shape[2:]).workspace
        workspace = np.full(needed, np.nan, self.real)
        self._call(
            "esrn_forward",
            *_shape(description, x.shape[0], *x.shape[2:]),
            *_sized(parameters),
            _pointer(x),
            _pointer(y),
            *_sized(workspace),
        )
        return y, workspace

    def backward(
        self, description: np.ndarray, parameters: np.ndarray, x: np.ndarray, workspace: np.ndarray, dy: np.ndarray
    ) -> np.ndarray:
        """Gradient of the parameters (as long as they) from that of the output."""
        sizes = self._checked(description, parameters, x)
        self._array(workspace)
        self._output(sizes, x, dy, "the gradient of the output")
        gradient = np.empty_like(parameters)
        self._call(
            "esrn_backward",
            *_shape(description, x.shape[0], *x.shape[2:]),
            *_sized(parameters),
            _pointer(dy),
            *_sized(workspace),
            _pointer(gradient),
        )
        return gradient

    def gradient(
        self,
        description: np.ndarray,
        parameters: np.ndarray,
        x: np.ndarray,
        target: np.ndarray,
        squared: bool = False,
    ) -> tuple[np.floating, np.ndarray]:
        """Mean absolute (or `squared`) difference of the output and `target`; its gradient, as long as parameters."""
        ends = self._checked(description, parameters, x)
        self._output(ends, x, target, "the target")
        loss, gradient = np.empty(1, self.real), np.empty_like(parameters)
        self._call(
            "esrn_gradient",
            *_shape(description, x.shape[0], *x.shape[2:]),
            *_sized(parameters),
            _pointer(x),
            _pointer(target),
            ctypes.c_int(squared),
            _pointer(loss),
            _pointer(gradient),
        )
        return loss[0], gradient

    def update(self, state: Sequence[np.ndarray], gradient: np.ndarray, settings: np.ndarray) -> None:
        """One step of clipped Adam, and of averaging, in place.

        `state` is weights, first and second moments, and averaged weights, all as long as `gradient`, and none in
        memory of another; `settings` is what `UpdateSettings` (`src/training.h`) has.
        """
        for vector in (*state, gradient, settings):
            self._array(vector)
        if len(state) != 4 or not all(one.flags.writeable for one in state):
            raise NativeError("the update needs four vectors that it may write")
        if any(one.shape != (gradient.size,) for one in (*state, gradient)):
            raise NativeError(f"the vectors of an update differ in length: {[one.shape for one in (*state, gradient)]}")
        count = ctypes.c_int64(gradient.size)
        self._call("esrn_update", count, *(_pointer(one) for one in (*state, gradient)), *_sized(settings))

    def infer(self, description: np.ndarray, parameters: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The output alone, in memory of the library's own."""
        sizes = self._checked(description, parameters, x)
        y = np.empty((x.shape[0], sizes.out_channels, *(sizes.scale * side for side in x.shape[2:])), self.real)
        self._call(
            "esrn_infer",
            *_shape(description, x.shape[0], *x.shape[2:]),
            *_sized(parameters),
            _pointer(x),
            _pointer(y),
        )
        return y

    def gather(self, crops: Sequence[tuple[int, int, int]], size: int) -> np.ndarray:
        """Square crops as a batch (B, 3, size, size) in [0, 1].

        Each is its corner in memory and the bytes from row to row, from `address`, and its flips: 1 horizontal, 2
        vertical, 4 transposition, in this order. The caller vouches for the crops lying within pictures that are there.
        """
        out = np.empty((len(crops), 3, size, size), self.real)
        described = np.array(crops, np.int64)
        self._call("esrn_crops", _pointer(described), ctypes.c_int(len(crops)), ctypes.c_int(size), _pointer(out))
        return out

    def _checked(self, description: np.ndarray, parameters: np.ndarray, x: np.ndarray) -> _Ends:
        if x.ndim != 4 or 0 in x.shape:
            raise NativeError(f"the input has shape {x.shape}, not (batch, channels, height, width)")
        integers = (ctypes.c_int64 * 4)()
        self._call("esrn_network", *_described(description), integers)
        sizes = _Ends(*integers)
        self._array(parameters)
        self._array(x)
        if x.shape[1] != sizes.in_channels:
            raise NativeError(f"the input has shape {x.shape}, not (batch, {sizes.in_channels}, height, width)")
        if parameters.ndim != 1 or parameters.size != sizes.params:
            raise NativeError(f"{parameters.size} parameters are given, and {sizes.params} needed")
        return sizes

    def _output(self, ends: _Ends, x: np.ndarray, given: np.ndarray, what: str) -> None:
        """Raises NativeError where what is given has not the shape of the output for `x`."""
        self._array(given)
        expected = (x.shape[0], ends.out_channels, *(ends.scale * side for side in x.shape[2:]))
        if given.shape != expected:
            raise NativeError(f"{what} has shape {given.shape}, not {expected}")

    def _array(self, array: np.ndarray) -> None:
        if array.dtype != self.real or not array.flags.c_contiguous:
            raise NativeError(f"an array is {array.dtype}; {self.real} in C order is needed")

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._functions, name)(*arguments)
        if status == _NO_MEMORY:
            raise MemoryError(self.error())
        if status != 0:
            raise NativeError(self.error())

    def error(self) -> str:
        """The message of the last call that failed, in whatever thread."""
        text = ctypes.create_string_buffer(1000)
        self._functions.esrn_error(text, ctypes.c_int64(len(text)))
        return text.value.decode()


def address(picture: np.ndarray) -> tuple[int, int]:
    """Where the pixels (h, w, 3) of a picture begin in memory, and bytes from row to row, as `Library.gather` reads it.

    Raises NativeError where it is not uint8 RGB whose rows are contiguous.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.strides[1:] != (3, 1):
        raise NativeError(f"a picture is {picture.dtype} {picture.shape}, not a view (h, w, 3) of uint8 RGB")
    return picture.__array_interface__["data"][0], picture.strides[0]


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _sized(array: np.ndarray) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
    return _pointer(array), ctypes.c_int64(array.size)


def _shape(description: np.ndarray, batch: int, height: int, width: int) -> tuple[object, ...]:
    if not all(-(2**31) <= size < 2**31 for size in (batch, height, width)):
        raise NativeError(f"batch and sizes {batch}, {height}, {width} are beyond 32 bits")
    return (*_described(description), ctypes.c_int(batch), ctypes.c_int(height), ctypes.c_int(width))


def _described(description: np.ndarray) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
    if description.dtype != np.int32 or not description.flags.c_contiguous:
        raise NativeError(f"the description is {description.dtype}; int32 in C order is needed")
    return _sized(description)


def usable_instruction_sets() -> tuple[str, ...]:
    """Builds whose instructions this CPU has, best first."""
    features = cpu_features()
    return tuple(
        name
        for name in instruction_sets()
        if all(_LINUX_NAMES.get(feature, feature) in features for feature in X86_BUILDS[name])
    )


def library_path(instruction_set: str) -> Path:
    """Where a build lies."""
    return FOLDER / library_name(instruction_set)


@cache
def load_library(instruction_set: str | None = None) -> Library:
    """The best build for this CPU, or the one named (or chosen by ESR_RAY_INSTRUCTION_SET).

    Raises NativeUnavailable where there is none, or this CPU cannot run the one that was asked for.
    """
    usable = usable_instruction_sets()
    wanted = instruction_set or os.environ.get(VARIABLE) or None
    if wanted is not None:
        if wanted not in usable:
            raise NativeUnavailable(f"this CPU cannot run the build {wanted!r}; it can run {', '.join(usable)}")
        return Library(library_path(wanted))
    reasons = []
    for name in usable:
        try:
            return Library(library_path(name))
        except NativeUnavailable as error:
            reasons.append(str(error))
    raise NativeUnavailable("; ".join(reasons) + ". " + _build_note())


def _build_note() -> str:
    note = FOLDER / NOTE
    if note.is_file():
        return f"The installation could not build it: {note.read_text().strip()}"
    return "Install esr_ray with pip to build it"
