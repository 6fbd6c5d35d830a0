"""One optimizer step as a cell, whatever computes the network: backward, clipping, Adam, averaged weights."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from esr_ray.config.schema import TrainingConfig
from esr_ray.training.schedule import learning_rates


def make_adam(parameters: Sequence[Parameter], config: TrainingConfig) -> nn.Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with the rate of each step from the configuration's schedule."""
    return nn.Adam(list(parameters), learning_rate=[float(rate) for rate in learning_rates(config)])


class TrainingStep(nn.TrainOneStepCell):
    """Forward, backward, clipped Adam, and the exponential average of the weights; takes what the loss takes."""

    def __init__(
        self, loss: nn.Cell, optimizer: nn.Optimizer, config: TrainingConfig, averages: Sequence[Parameter]
    ) -> None:
        super().__init__(loss, optimizer)
        self.clips = config.clip_norm is not None
        self.clip_norm = config.clip_norm or 1.0
        self.averages = ParameterTuple(averages)
        self.keep = config.average_weights or 0.0
        self.count = len(averages)

    def construct(self, *inputs: Tensor) -> Tensor:
        loss = self.network(*inputs)
        sens = ops.fill(loss.dtype, loss.shape, 1.0)
        gradients = self.grad(self.network, self.weights)(*inputs, sens)
        if self.clips:
            gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        loss = ops.depend(loss, self.optimizer(gradients))
        for index in range(self.count):
            average = self.averages[index]
            # depend: the average takes the weight of after the optimizer.
            weight = ops.depend(self.weights[index], loss)
            loss = ops.depend(loss, ops.assign(average, average * self.keep + weight * (1 - self.keep)))
        return loss
