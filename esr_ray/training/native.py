"""Networks under training on the native library: one compiled graph for all that fit it."""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from esr_ray.config.schema import TrainingConfig
from esr_ray.native.describe import describe, description_length
from esr_ray.native.library import Library
from esr_ray.native.operator import NativeCell
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.networks.spec import NetworkSpec
from esr_ray.training.step import TrainingStep, make_adam, restart_adam

log = logging.getLogger(__name__)

GROWTH = 1.25
"""A graph that has become too small is made anew so much larger than the network that did not fit."""


@dataclass(frozen=True)
class Capacity:
    """What a graph has room for: parameters and workspace in float32 numbers, blocks."""

    params: int
    workspace: int
    blocks: int

    def holds(self, other: Capacity) -> bool:
        return self.params >= other.params and self.workspace >= other.workspace and self.blocks >= other.blocks

    def joined(self, other: Capacity) -> Capacity:
        return Capacity(
            max(self.params, other.params), max(self.workspace, other.workspace), max(self.blocks, other.blocks)
        )


class _Loss(nn.Cell):
    """Mean absolute difference of prediction and HR."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__()
        self.network = network

    def construct(self, description: Tensor, lr: Tensor, hr: Tensor) -> Tensor:
        return ops.mean(ops.abs(self.network(description, lr) - hr))


class _Graph:
    """Flat weights, optimizer and averages, and the step compiled around them. One network uses it at a time."""

    def __init__(self, library: Library, config: TrainingConfig, capacity: Capacity, scale: int) -> None:
        self.capacity = capacity
        zeros = np.zeros(capacity.params, np.float32)
        self.weights = Parameter(Tensor(zeros), name="weights")
        self.averages = []
        if config.average_weights is not None:
            self.averages = [Parameter(Tensor(zeros), name="average", requires_grad=False)]
        cell = NativeCell(library, self.weights, capacity.workspace, scale)
        self.optimizer = make_adam([self.weights], config)
        self.step = TrainingStep(_Loss(cell), self.optimizer, config, self.averages)
        self.step.set_train()
        self.compiled: set[tuple[int, ...]] = set()
        self.owner: weakref.ref[NativeNetwork] | None = None

    def begin(self, network: NativeNetwork) -> None:
        """Take the graph over: the network that had it keeps its weights, and trains no more."""
        previous = self.owner() if self.owner is not None else None
        if previous is not None and previous is not network:
            previous.detach()
        self.owner = weakref.ref(network)
        restart_adam(self.optimizer)


class NativeNetworks:
    """Makes native networks of one enlargement that share a graph; call it as (spec, config, seed)."""

    def __init__(self, library: Library, capacity: Capacity | None = None) -> None:
        """`capacity` is what the networks to come are expected to need; a larger one makes a new graph."""
        self.library = library
        self.capacity = capacity or Capacity(0, 0, 0)
        self._graph: _Graph | None = None
        self._made_for: tuple[TrainingConfig, int] | None = None
        self.graphs_made = 0

    def __call__(self, spec: NetworkSpec, config: TrainingConfig, seed: int) -> NativeNetwork:
        return NativeNetwork(self, spec, config, seed)

    def graph(self, needed: Capacity, config: TrainingConfig, scale: int) -> _Graph:
        """The graph, made anew where the network does not fit it or is trained in another way."""
        if self._graph is None or self._made_for != (config, scale):
            self.capacity = self.capacity.joined(needed)
        elif self._graph.capacity.holds(needed):
            return self._graph
        else:
            more = Capacity(int(GROWTH * needed.params), int(GROWTH * needed.workspace), needed.blocks)
            self.capacity = self.capacity.joined(more)
            log.warning("a network larger than those before: the training graph is compiled once more")
        if self._graph is not None and self._graph.owner is not None and (owner := self._graph.owner()) is not None:
            owner.detach()
        self._graph = _Graph(self.library, config, self.capacity, scale)
        self._made_for = (config, scale)
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
        self._flat = _flatten(initial_parameters(self._shapes, seed, spec.global_skip != "none"))
        self._graph: _Graph | None = None
        self._description: Tensor | None = None
        # Whether it has trained, and another network then took the graph over: it cannot go on.
        self._detached = False

    def compile(self, lr: np.ndarray, hr: np.ndarray) -> None:
        graph = self._join(lr)
        if ms.get_context("mode") == ms.GRAPH_MODE and (lr.shape not in graph.compiled):
            graph.step.compile(self._description, Tensor(lr), Tensor(hr))
            graph.compiled.add(lr.shape)

    def step(self, lr: np.ndarray, hr: np.ndarray) -> Any:
        """One optimizer step. Raises RuntimeError where another network has taken the graph over since."""
        graph = self._join(lr)
        return graph.step(self._description, Tensor(lr), Tensor(hr))

    def compile_predict(self, lr: np.ndarray) -> None:
        """Nothing is compiled: the library predicts any size."""

    def predict(self, lr: np.ndarray) -> np.ndarray:
        return self._networks.library.infer(describe(self.spec), self._evaluated(), np.ascontiguousarray(lr))

    def parameters(self) -> dict[str, np.ndarray]:
        flat = self._evaluated()
        result, start = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            result[name] = flat[start : start + size].reshape(shape).copy()
            start += size
        return result

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Take weights over, as the last and as the averaged ones; all must be there.

        Raises ValueError where names or shapes differ.
        """
        different = parameters.keys() ^ self._shapes.keys()
        if different:
            raise ValueError(f"parameters of another network: {sorted(different)[:3]} ...")
        for name, shape in self._shapes.items():
            if parameters[name].shape != shape:
                raise ValueError(f"parameter {name} has shape {parameters[name].shape}, not {shape}")
        self._flat = _flatten({name: parameters[name] for name in self._shapes})
        if self._graph is not None:
            self._put(self._graph)

    def detach(self) -> None:
        """Give the graph up: what was trained stays, and can be evaluated."""
        self._flat = self._evaluated().copy()
        self._graph, self._detached = None, True

    def _evaluated(self) -> np.ndarray:
        if self._graph is None:
            return self._flat
        source = self._graph.averages[0] if self._graph.averages else self._graph.weights
        return source.asnumpy()[: self._count]

    def _join(self, lr: np.ndarray) -> _Graph:
        if self._detached:
            raise RuntimeError("another network has taken the training graph over: this one cannot be trained further")
        if self._graph is not None:
            return self._graph
        library = self._networks.library
        sizes = library.sizes(describe(self.spec), lr.shape[0], *lr.shape[2:])
        needed = Capacity(sizes.params, sizes.workspace, len(self.spec.arch))
        graph = self._networks.graph(needed, self._config, self.spec.scale)
        graph.begin(self)
        self._put(graph)
        self._description = Tensor(describe(self.spec, description_length(graph.capacity.blocks)))
        self._graph = graph
        return graph

    def _put(self, graph: _Graph) -> None:
        padded = np.zeros(graph.capacity.params, np.float32)
        padded[: self._count] = self._flat
        for vector in [graph.weights, *graph.averages]:
            vector.set_data(Tensor(padded))


def _flatten(parameters: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(value, np.float32).ravel() for value in parameters.values()])
