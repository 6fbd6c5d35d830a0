"""The native library as operators of MindSpore: loss with gradient, and the optimizer's update."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from esr_ray.native.library import Library


def update_settings(rate: float, step: int, clip_norm: float | None, average_weights: float | None) -> np.ndarray:
    """(5,) float32, what `ESRNUpdate` reads for one step, counted from 1: powers of Adam's 0.9 and 0.999 are in it."""
    return np.array([rate, 0.9**step, 0.999**step, clip_norm or 0.0, average_weights or 0.0], np.float32)


class NativeStep(nn.Cell):
    """One training step of any network whose parameters and description fit: loss, backward, clipped Adam, average.

    The loss is the mean absolute difference, or, if `squared`, the mean squared one.
    `vectors` are the flat weights, both moments of Adam, and the averaged weights, all (P,) float32. Gradient and
    update are two operators: with `members` processes (a group that has been joined) gradient and loss become the
    means over all of them in between.
    """

    def __init__(
        self,
        library: Library,
        vectors: tuple[Parameter, Parameter, Parameter, Parameter],
        members: int = 1,
        squared: bool = False,
    ) -> None:
        super().__init__()
        self.members = members
        if members > 1:
            self.all_reduce = ops.AllReduce()
        self.weights, self.moment1, self.moment2, self.average = vectors
        self.gradient = ops.Custom(
            f"{library.path}:{'ESRNSquaredGradient' if squared else 'ESRNGradient'}",
            out_shape=lambda weights, description, lr, hr: ([1], weights),
            out_dtype=lambda weights, description, lr, hr: (weights, weights),
            func_type="aot",
        )
        self.update = ops.Custom(
            f"{library.path}:ESRNUpdate",
            out_shape=lambda w, m1, m2, average, gradient, settings: (w, w, w, w),
            out_dtype=lambda w, m1, m2, average, gradient, settings: (w, w, w, w),
            func_type="aot",
        )

    def construct(self, description: Tensor, lr: Tensor, hr: Tensor, settings: Tensor) -> Tensor:
        """LR (B, C, h, w) and HR (B, C, scale·h, scale·w) -> loss (1,)."""
        loss, gradient = self.gradient(self.weights, description, lr, hr)
        if self.members > 1:
            # One message: a second one would cost as much as a step of a small network.
            means = self.all_reduce(ops.concat((loss, gradient))) / self.members
            loss, gradient = means[:1], means[1:]
        weights, moment1, moment2, average = self.update(
            self.weights, self.moment1, self.moment2, self.average, gradient, settings
        )
        loss = ops.depend(loss, ops.assign(self.weights, weights))
        loss = ops.depend(loss, ops.assign(self.moment1, moment1))
        loss = ops.depend(loss, ops.assign(self.moment2, moment2))
        return ops.depend(loss, ops.assign(self.average, average))
