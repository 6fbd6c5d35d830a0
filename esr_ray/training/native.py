"""Networks under training on the native library: no MindSpore, and nothing to compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from esr_ray.config.schema import TrainingConfig
from esr_ray.native.describe import describe
from esr_ray.native.library import Library
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import check_parameters, flatten, parameter_shapes
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.schedule import is_squared, learning_rates
from esr_ray.training.state import pack_state, unpack_state

KINDS = ("weights", "moment1", "moment2", "average")
"""The vectors of a training, in the order of `Library.update`."""


def update_settings(rate: float, step: int, clip_norm: float | None, average_weights: float | None) -> np.ndarray:
    """(5,) float32, what `Library.update` reads for a step, counted from 1, with powers of Adam's 0.9 and 0.999."""
    return np.array([rate, 0.9**step, 0.999**step, clip_norm or 0.0, average_weights or 0.0], np.float32)


Mean = Callable[[np.ndarray], np.ndarray]
"""Of a vector, the mean over processes that train together."""


class NativeNetwork:
    """A `TrainableNetwork` on the native library."""

    def __init__(
        self, spec: NetworkSpec, config: TrainingConfig, seed: int, library: Library, mean: Mean | None = None
    ) -> None:
        """With a `mean` it trains as one of several, each on its share of a batch."""
        self.spec, self._config = spec, config
        self._library, self._mean = library, mean
        self.kernels = library.kernels
        self._shapes = parameter_shapes(spec)
        self._description = describe(spec)
        self._rates = learning_rates(config)
        self._steps = 0
        flat = flatten(initial_parameters(self._shapes, seed, spec.global_skip != "none", config.initial_variance))
        # Without averaging the average is the weights.
        self._vectors = (flat, np.zeros_like(flat), np.zeros_like(flat), flat.copy())

    def compile(self, lr: np.ndarray, hr: np.ndarray) -> None:
        """Nothing is compiled: the library trains on any batch."""

    def step(self, lr: np.ndarray, hr: np.ndarray) -> Any:
        lr, hr = np.ascontiguousarray(lr), np.ascontiguousarray(hr)
        squared = is_squared(self._config, self._steps + 1)
        loss, gradient = self._library.gradient(self._description, self._vectors[0], lr, hr, squared)
        if self._mean is not None:
            # One message: a second one would cost as much as a step of a small network.
            means = self._mean(np.concatenate(([loss], gradient)))
            loss, gradient = means[0], means[1:]
        self._library.update(self._vectors, gradient, self._settings())
        self._steps += 1
        return loss

    def compile_predict(self, lr: np.ndarray) -> None:
        """Nothing is compiled: the library predicts any size."""

    def predict(self, lr: np.ndarray) -> np.ndarray:
        return self._library.infer(self._description, self._evaluated(), np.ascontiguousarray(lr))

    def parameters(self) -> dict[str, np.ndarray]:
        return self._by_name(self._evaluated())

    def state(self) -> dict[str, np.ndarray]:
        kinds = {kind: self._by_name(vector) for kind, vector in zip(KINDS, self._vectors, strict=True)}
        if self._config.average_weights is None:
            del kinds["average"]
        return pack_state(kinds, self._steps)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        kinds, self._steps = unpack_state(state, self._shapes, self._config)
        for kind, vector in zip(KINDS, self._vectors, strict=True):
            vector[:] = flatten(kinds.get(kind, kinds["weights"]))

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Take weights over, as the last and as the averaged ones; all must be there.

        Raises ValueError where names or shapes differ.
        """
        check_parameters(parameters, self._shapes)
        weights, _, _, average = self._vectors
        weights[:] = average[:] = flatten({name: parameters[name] for name in self._shapes})

    def _settings(self) -> np.ndarray:
        # Beyond the schedule its last rate stays.
        rate = float(self._rates[min(self._steps, len(self._rates) - 1)])
        config = self._config
        return update_settings(rate, self._steps + 1, config.clip_norm, config.average_weights)

    def _evaluated(self) -> np.ndarray:
        return self._vectors[KINDS.index("average")]

    def _by_name(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        result, start = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            result[name] = flat[start : start + size].reshape(shape).copy()
            start += size
        return result
