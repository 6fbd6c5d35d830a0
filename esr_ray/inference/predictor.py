"""A trained network as what enlarges pictures, on the native library or on MindSpore's operators."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from esr_ray.native.choice import choose_library
from esr_ray.native.describe import describe, unsupported
from esr_ray.native.library import Library
from esr_ray.networks.parameters import check_parameters, flatten, parameter_shapes
from esr_ray.networks.target import use_target
from esr_ray.space.spec import NetworkSpec

log = logging.getLogger(__name__)


class Predictor(Protocol):
    """What enlarges pictures: float32, RGB in [0, 1].

    `kernels` says what computes it, such as `plain` or `native avx2`: others round differently.
    """

    kernels: str

    def compile_predict(self, lr: np.ndarray) -> None:
        """Make ready to predict pictures of this shape."""

    def predict(self, lr: np.ndarray) -> np.ndarray:
        """(B, 3, h, w) -> (B, 3, scale·h, scale·w), with the weights that are evaluated (averaged or last)."""


class NativePredictor:
    """Implements `Predictor` with the native library, for networks that it knows; needs no MindSpore."""

    def __init__(self, library: Library, spec: NetworkSpec, parameters: Mapping[str, np.ndarray]) -> None:
        """Raises ValueError where the parameters are not those of the network."""
        shapes = parameter_shapes(spec)
        check_parameters(parameters, shapes)
        self.kernels = library.kernels
        self._library = library
        self._description = describe(spec)
        self._flat = flatten({name: parameters[name] for name in shapes})

    def compile_predict(self, lr: np.ndarray) -> None:
        """Nothing is compiled: the library predicts any size."""

    def predict(self, lr: np.ndarray) -> np.ndarray:
        return self._library.infer(self._description, self._flat, np.ascontiguousarray(lr))


class PlainPredictor:
    """Implements `Predictor` with MindSpore's operators, in the mode that MindSpore is in."""

    kernels = "plain"

    def __init__(self, spec: NetworkSpec, parameters: Mapping[str, np.ndarray]) -> None:
        """Raises ValueError where the parameters are not those of the network."""
        # Imported late: the native library does without.
        from mindspore import Tensor

        from esr_ray.networks.esrn import ESRN

        self._network = ESRN(spec)
        weights = {weight.name: weight for weight in self._network.trainable_params()}
        check_parameters(parameters, {name: tuple(weight.shape) for name, weight in weights.items()})
        for name, weight in weights.items():
            weight.set_data(Tensor(parameters[name]))

    def compile_predict(self, lr: np.ndarray) -> None:
        import mindspore as ms

        if ms.get_context("mode") == ms.GRAPH_MODE:
            self._network.compile(ms.Tensor(lr))

    def predict(self, lr: np.ndarray) -> np.ndarray:
        import mindspore as ms

        return np.asarray(self._network(ms.Tensor(lr)).asnumpy())


class PredictorMaker:
    """What computes networks in this process; call it with a network and its parameters.

    `library` is None where all are plain; `reason` says why in one line. MindSpore is set up for the first plain one.
    """

    def __init__(self, library: Library | None, reason: str, target: str, mode: str) -> None:
        self.library, self.reason = library, reason
        self._target, self._mode = target, mode
        self._set_up = False

    def __call__(self, spec: NetworkSpec, parameters: Mapping[str, np.ndarray]) -> Predictor:
        """Raises UserError for a block that cannot be built, or where MindSpore has not the target, ValueError where
        the parameters are not the network's."""
        if self.library is not None:
            reason = unsupported(spec)
            if reason is None:
                return NativePredictor(self.library, spec, parameters)
            log.warning("plain kernels for this network: %s", reason)
        if not self._set_up:
            use_target(self._target, self._mode)
            self._set_up = True
        return PlainPredictor(spec, parameters)


def choose_predictor(kernels: str, target: str, mode: str = "graph") -> PredictorMaker:
    """`kernels` is auto, native or plain, `target` CPU or Ascend, `mode` graph or pynative: how MindSpore runs it.

    Raises UserError as `choose_library` does.
    """
    return PredictorMaker(*choose_library(kernels, target), target, mode)
