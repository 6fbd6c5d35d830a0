"""The native network as an operator of MindSpore, with its gradient."""

from __future__ import annotations

from typing import Any

from mindspore import Parameter, Tensor, nn, ops

from esr_ray.native.library import Library


class NativeCell(nn.Cell):
    """(description, x (B, C, h, w)) -> (B, C, scale·h, scale·w), for any network that fits.

    `weights` is the flat vector of parameters, `workspace` the float32 numbers that activations may take between
    forward and backward, `scale` the enlargement. The gradient with respect to `x` is not computed: it is zero.
    """

    def __init__(self, library: Library, weights: Parameter, workspace: int, scale: int) -> None:
        super().__init__()
        self.weights = weights
        backward = ops.Custom(
            f"{library.path}:ESRNBackward",
            out_shape=lambda weights, description, x, saved, dy: weights,
            out_dtype=lambda weights, description, x, saved, dy: weights,
            func_type="aot",
        )

        # Both are tuples, as the operator has two outputs; one gradient for each input has to come back.
        def bprop(weights: Any, description: Any, x: Any, out: Any, dout: Any) -> Any:
            gradient = backward(weights, description, x, out[1], dout[0])
            return gradient, ops.zeros_like(description), ops.zeros_like(x)

        self.forward = ops.Custom(
            f"{library.path}:ESRNForward",
            out_shape=lambda weights, description, x: ([x[0], x[1], scale * x[2], scale * x[3]], [workspace]),
            out_dtype=lambda weights, description, x: (x, x),
            func_type="aot",
            bprop=bprop,
        )

    def construct(self, description: Tensor, x: Tensor) -> Tensor:
        return self.forward(self.weights, description, x)[0]
