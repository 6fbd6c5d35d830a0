"""The plain MindSpore network under training: loss, Adam, clipping, averaged weights, one compiled graph a shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from esr_ray.config.schema import TrainingConfig
from esr_ray.networks.esrn import ESRN
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import check_parameters
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.schedule import is_squared, learning_rates, losses_of
from esr_ray.training.state import pack_state, unpack_state


class _Loss(nn.Cell):
    """Mean absolute, or squared, difference of prediction and HR."""

    def __init__(self, network: nn.Cell, squared: bool) -> None:
        super().__init__()
        self.network, self.squared = network, squared

    def construct(self, lr: Tensor, hr: Tensor) -> Tensor:
        difference = self.network(lr) - hr
        if self.squared:
            return ops.mean(ops.square(difference))
        return ops.mean(ops.abs(difference))


class _Step(nn.TrainOneStepCell):
    """Forward, backward, clipped Adam, and the exponential average of the weights."""

    def __init__(
        self,
        loss: nn.Cell,
        optimizer: nn.Optimizer,
        config: TrainingConfig,
        averages: list[Parameter],
        members: int,
    ) -> None:
        super().__init__(loss, optimizer)
        self.members = members
        if members > 1:
            self.reducer = nn.DistributedGradReducer(self.weights, mean=True, degree=members)
            self.all_reduce = ops.AllReduce()
        self.clips = config.clip_norm is not None
        self.clip_norm = config.clip_norm or 1.0
        self.averages = ParameterTuple(averages)
        self.keep = config.average_weights or 0.0
        self.count = len(averages)

    def construct(self, lr: Tensor, hr: Tensor) -> Tensor:
        loss = self.network(lr, hr)
        sens = ops.fill(loss.dtype, loss.shape, 1.0)
        gradients = self.grad(self.network, self.weights)(lr, hr, sens)
        if self.members > 1:
            gradients = self.reducer(gradients)
            loss = self.all_reduce(loss) / self.members
        if self.clips:
            gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        loss = ops.depend(loss, self.optimizer(gradients))
        for index in range(self.count):
            average = self.averages[index]
            # depend: the average takes the weight of after the optimizer.
            weight = ops.depend(self.weights[index], loss)
            loss = ops.depend(loss, ops.assign(average, average * self.keep + weight * (1 - self.keep)))
        return loss


class PlainNetwork:
    """A `TrainableNetwork` on MindSpore's own operators."""

    kernels = "plain"

    def __init__(self, spec: NetworkSpec, config: TrainingConfig, seed: int, members: int = 1) -> None:
        """`members` processes train together, each on its share of a batch; they have joined a group."""
        self.spec, self._config = spec, config
        # What a user's block holds beside convolutions is initialised by MindSpore: alike in each process.
        ms.set_seed(seed % 2**32)
        self._network = ESRN(spec)
        self._weights = {parameter.name: parameter for parameter in self._network.trainable_params()}
        shapes = {name: tuple(parameter.shape) for name, parameter in self._weights.items()}
        self._set(initial_parameters(shapes, seed, spec.global_skip != "none", config.initial_variance))
        self._averages: dict[str, Parameter] = {}
        if config.average_weights is not None:
            self._averages = {
                name: Parameter(weight.value().copy(), name=f"average.{name}", requires_grad=False)
                for name, weight in self._weights.items()
            }
        rates = [float(rate) for rate in learning_rates(config)]
        self._optimizer = nn.Adam(self._network.trainable_params(), learning_rate=rates)
        averages = list(self._averages.values())
        self._steps = {
            squared: _Step(_Loss(self._network, squared), self._optimizer, config, averages, members)
            for squared in losses_of(config)
        }
        for step in self._steps.values():
            step.set_train()
        self._done = 0
        # Weights that `predict` has replaced by their averages are put back here before the next step.
        self._held: dict[str, np.ndarray] = {}

    def compile(self, lr: np.ndarray, hr: np.ndarray) -> None:
        if ms.get_context("mode") == ms.GRAPH_MODE:
            for step in self._steps.values():
                step.compile(Tensor(lr), Tensor(hr))

    def step(self, lr: np.ndarray, hr: np.ndarray) -> Any:
        self._resume_last()
        self._done += 1
        return self._steps[is_squared(self._config, self._done)](Tensor(lr), Tensor(hr))

    def compile_predict(self, lr: np.ndarray) -> None:
        if ms.get_context("mode") == ms.GRAPH_MODE:
            self._network.compile(Tensor(lr))

    def predict(self, lr: np.ndarray) -> np.ndarray:
        self._use_averages()
        return self._network(Tensor(lr)).asnumpy()

    def parameters(self) -> dict[str, np.ndarray]:
        source = self._averages or self._weights
        return {name: source[name].asnumpy().copy() for name in self._weights}

    def state(self) -> dict[str, np.ndarray]:
        self._resume_last()
        adam = self._optimizer
        kinds = {
            "weights": self._named(self._weights.values()),
            "moment1": self._named(adam.moment1),
            "moment2": self._named(adam.moment2),
        }
        if self._averages:
            kinds["average"] = self._named(self._averages.values())
        # Products of single steps, rounded each time: powers of the step count would differ in their last bits.
        powers = np.array([float(adam.beta1_power.asnumpy()), float(adam.beta2_power.asnumpy())], np.float32)
        return pack_state(kinds, int(adam.global_step.asnumpy()[0]), powers=powers)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        shapes = {name: tuple(weight.shape) for name, weight in self._weights.items()}
        kinds, steps = unpack_state(state, shapes, self._config)
        self._held, self._done = {}, steps
        self._set(kinds["weights"])
        adam = self._optimizer
        targets = {"moment1": adam.moment1, "moment2": adam.moment2}
        if self._averages:
            targets["average"] = self._averages.values()
        for kind, parameters in targets.items():
            for parameter, name in zip(parameters, shapes, strict=True):
                _put(parameter, kinds[kind][name])
        powers = state.get("powers", np.array([0.9**steps, 0.999**steps], np.float32))
        for parameter, value in zip((adam.beta1_power, adam.beta2_power), powers, strict=True):
            _put(parameter, np.full(parameter.shape, value, np.float32))
        _put(adam.global_step, np.array([steps], np.int32))

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Take weights over, as the last and as the averaged ones; all must be there.

        Raises ValueError where names or shapes differ.
        """
        check_parameters(parameters, {name: tuple(weight.shape) for name, weight in self._weights.items()})
        self._set(parameters)
        self._held = {}
        for name, average in self._averages.items():
            _put(average, parameters[name])

    def _set(self, parameters: dict[str, np.ndarray]) -> None:
        for name, value in parameters.items():
            if tuple(self._weights[name].shape) != value.shape:
                raise ValueError(f"parameter {name} has shape {value.shape}, not {tuple(self._weights[name].shape)}")
        for name, value in parameters.items():
            _put(self._weights[name], value)

    def _named(self, parameters: Iterable[Parameter]) -> dict[str, np.ndarray]:
        return {name: one.asnumpy().copy() for name, one in zip(self._weights, parameters, strict=True)}

    def _use_averages(self) -> None:
        if self._averages and not self._held:
            self._held = {name: weight.asnumpy().copy() for name, weight in self._weights.items()}
            self._set({name: average.asnumpy() for name, average in self._averages.items()})

    def _resume_last(self) -> None:
        if self._held:
            self._set(self._held)
            self._held = {}


def _put(parameter: Parameter, value: np.ndarray) -> None:
    if ms.get_context("mode") == ms.GRAPH_MODE:
        parameter.set_data(Tensor(value))
    else:
        # set_data gives the parameter other memory, and the optimizer's next update goes to that of before.
        ops.assign(parameter, Tensor(value))
