"""Networks under training on the native library: one compiled graph for all that fit it."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from esr_ray.config.schema import TrainingConfig
from esr_ray.native.describe import describe, description_length
from esr_ray.native.library import Library
from esr_ray.native.step import NativeStep, update_settings
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import check_parameters, flatten, parameter_shapes
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.schedule import is_squared, learning_rates, losses_of
from esr_ray.training.state import pack_state, unpack_state

log = logging.getLogger(__name__)

GROWTH = 1.25
"""A graph that has become too small is made anew so much larger than the network that did not fit."""


@dataclass(frozen=True)
class Capacity:
    """What a graph has room for: parameters and blocks."""

    params: int
    blocks: int

    def holds(self, other: Capacity) -> bool:
        return self.params >= other.params and self.blocks >= other.blocks

    def joined(self, other: Capacity) -> Capacity:
        return Capacity(max(self.params, other.params), max(self.blocks, other.blocks))


class _Graph:
    """The flat vectors of a training and the step compiled around them. One network uses it at a time."""

    def __init__(self, library: Library, capacity: Capacity, members: int) -> None:
        self.capacity = capacity

        def vector(name: str) -> Parameter:
            return Parameter(Tensor(np.zeros(capacity.params, np.float32)), name=name, requires_grad=False)

        self.weights, self.average = vector("weights"), vector("average")
        self.moments = (vector("moment1"), vector("moment2"))
        vectors = (self.weights, *self.moments, self.average)
        self.steps = {squared: NativeStep(library, vectors, members, squared) for squared in (False, True)}
        self.owner: weakref.ref[NativeNetwork] | None = None

    def free(self) -> None:
        """The network that has the graph keeps what it has learnt, and trains no more."""
        owner = self.owner() if self.owner is not None else None
        if owner is not None:
            owner.detach()
        self.owner = None

    def begin(self, network: NativeNetwork) -> None:
        """Give the graph to a network, as new."""
        self.free()
        self.owner = weakref.ref(network)
        for moment in self.moments:
            moment.set_data(Tensor(np.zeros(self.capacity.params, np.float32)))


class NativeNetworks:
    """Makes native networks, which share a graph; call it as (spec, config, seed)."""

    def __init__(self, library: Library, capacity: Capacity | None = None, members: int = 1) -> None:
        """`capacity` is what the networks to come are expected to need; a larger one makes a new graph.

        `members` processes train together, each on its share of a batch (`NativeStep`).
        """
        self.library, self.members = library, members
        self.capacity = capacity or Capacity(0, 0)
        self.graphs_made = 0
        self._graph: _Graph | None = None

    def __call__(self, spec: NetworkSpec, config: TrainingConfig, seed: int) -> NativeNetwork:
        return NativeNetwork(self, spec, config, seed)

    def graph(self, needed: Capacity) -> _Graph:
        """The graph, made anew where the network does not fit it."""
        if self._graph is not None and self._graph.capacity.holds(needed):
            return self._graph
        if self._graph is None:
            self.capacity = self.capacity.joined(needed)
        else:
            self.capacity = self.capacity.joined(Capacity(int(GROWTH * needed.params), needed.blocks))
            log.warning("a network larger than those before: the training graph is compiled once more")
            self._graph.free()
        self._graph = _Graph(self.library, self.capacity, self.members)
        self.graphs_made += 1
        return self._graph


class NativeNetwork:
    """A `TrainableNetwork` on the native library."""

    def __init__(self, networks: NativeNetworks, spec: NetworkSpec, config: TrainingConfig, seed: int) -> None:
        self.spec, self._config = spec, config
        self._networks = networks
        self.kernels = f"native {networks.library.instruction_set}"
        self._shapes = parameter_shapes(spec)
        self._count = sum(int(np.prod(shape)) for shape in self._shapes.values())
        self._flat = flatten(
            initial_parameters(self._shapes, seed, spec.global_skip != "none", config.initial_variance)
        )
        self._rates = learning_rates(config)
        self._steps = 0
        self._graph: _Graph | None = None
        self._description: Tensor | None = None
        # Whether it has trained, and another network then took the graph over: it cannot go on.
        self._detached = False

    def compile(self, lr: np.ndarray, hr: np.ndarray) -> None:
        graph = self._join()
        if ms.get_context("mode") == ms.GRAPH_MODE:
            # MindSpore keeps what it has compiled, until it is told to recycle memory.
            for squared in losses_of(self._config):
                graph.steps[squared].compile(self._description, Tensor(lr), Tensor(hr), Tensor(self._settings()))

    def step(self, lr: np.ndarray, hr: np.ndarray) -> Any:
        """One optimizer step. Raises RuntimeError where another network has taken the graph over since."""
        graph = self._join()
        settings = Tensor(self._settings())
        self._steps += 1
        step = graph.steps[is_squared(self._config, self._steps)]
        return step(self._description, Tensor(lr), Tensor(hr), settings)

    def compile_predict(self, lr: np.ndarray) -> None:
        """Nothing is compiled: the library predicts any size."""

    def predict(self, lr: np.ndarray) -> np.ndarray:
        return self._networks.library.infer(describe(self.spec), self._evaluated(), np.ascontiguousarray(lr))

    def parameters(self) -> dict[str, np.ndarray]:
        return self._by_name(self._evaluated())

    def state(self) -> dict[str, np.ndarray]:
        graph = self._join()
        vectors = {"weights": graph.weights, "moment1": graph.moments[0], "moment2": graph.moments[1]}
        if self._config.average_weights is not None:
            vectors["average"] = graph.average
        return pack_state({kind: self._by_name(vector.asnumpy()) for kind, vector in vectors.items()}, self._steps)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        kinds, self._steps = unpack_state(state, self._shapes, self._config)
        graph = self._join()
        vectors = (graph.weights, *graph.moments, graph.average)
        for kind, vector in zip(("weights", "moment1", "moment2", "average"), vectors, strict=True):
            # Without averaging the average is the weights.
            flat = flatten(kinds.get(kind, kinds["weights"]))
            vector.set_data(Tensor(_padded(flat, graph.capacity.params)))

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Take weights over, as the last and as the averaged ones; all must be there.

        Raises ValueError where names or shapes differ.
        """
        check_parameters(parameters, self._shapes)
        self._flat = flatten({name: parameters[name] for name in self._shapes})
        if self._graph is not None:
            self._put(self._graph)

    def detach(self) -> None:
        """Give the graph up: what was trained stays, and can be evaluated."""
        self._flat = self._evaluated().copy()
        self._graph, self._detached = None, True

    def _settings(self) -> np.ndarray:
        # Beyond the schedule its last rate stays.
        rate = float(self._rates[min(self._steps, len(self._rates) - 1)])
        config = self._config
        return update_settings(rate, self._steps + 1, config.clip_norm, config.average_weights)

    def _evaluated(self) -> np.ndarray:
        if self._graph is None:
            return self._flat
        # Without averaging they are the weights.
        return self._graph.average.asnumpy()[: self._count]

    def _join(self) -> _Graph:
        if self._detached:
            raise RuntimeError("another network has taken the training graph over: this one cannot be trained further")
        if self._graph is None:
            graph = self._networks.graph(Capacity(self._count, len(self.spec.arch)))
            graph.begin(self)
            self._put(graph)
            self._description = Tensor(describe(self.spec, description_length(graph.capacity.blocks)))
            self._graph = graph
        return self._graph

    def _put(self, graph: _Graph) -> None:
        for vector in (graph.weights, graph.average):
            vector.set_data(Tensor(_padded(self._flat, graph.capacity.params)))

    def _by_name(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        result, start = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            result[name] = flat[start : start + size].reshape(shape).copy()
            start += size
        return result


def _padded(flat: np.ndarray, size: int) -> np.ndarray:
    padded = np.zeros(size, np.float32)
    padded[: flat.size] = flat
    return padded
