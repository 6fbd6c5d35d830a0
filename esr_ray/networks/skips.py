"""The global skip: the enlarged input that is added to the output (ours; method, ESRN)."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops

from esr_ray.space.filters import phase_filters


class NearestSkip(nn.Cell):
    """(B, C, H, W) -> (B, C, scale·H, scale·W): each pixel repeated."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def construct(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = ops.reshape(x, (batch, channels, height, 1, width, 1))
        x = ops.tile(x, (1, 1, 1, self.scale, 1, self.scale))
        return ops.reshape(x, (batch, channels, height * self.scale, width * self.scale))


class BicubicSkip(nn.Cell):
    """(B, C, H, W) -> (B, C, scale·H, scale·W): bicubic (a = -0.5, borders replicated), as `esr_ray.data.resize`.

    Each of the scale² phases of the output is a fixed 5x5 filter of the input; a pixel shuffle interleaves them.
    """

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.filters = Tensor(np.tile(phase_filters(scale), (channels, 1, 1, 1)))  # (C·scale², 1, 5, 5)

    def construct(self, x: Tensor) -> Tensor:
        top = x[:, :, :1, :]
        x = ops.concat((top, top, x, x[:, :, -1:, :], x[:, :, -1:, :]), 2)
        left = x[:, :, :, :1]
        x = ops.concat((left, left, x, x[:, :, :, -1:], x[:, :, :, -1:]), 3)
        return ops.pixel_shuffle(ops.conv2d(x, self.filters, groups=self.channels), self.scale)


class OfMosaic(nn.Cell):
    """(B, 4, H, W) -> (B, 3, scale·H, scale·W): of a packed Bayer mosaic R, the mean of the greens and B, enlarged."""

    def __init__(self, skip: nn.Cell) -> None:
        super().__init__()
        self.skip = skip

    def construct(self, x: Tensor) -> Tensor:
        green = (x[:, 1:2] + x[:, 2:3]) / 2
        return self.skip(ops.concat((x[:, :1], green, x[:, 3:]), 1))


def make_skip(kind: str, scale: int, channels: int, of_mosaic: bool = False) -> nn.Cell:
    """The cell of `space.global_skip`, for pictures of so many channels."""
    if of_mosaic and kind != "none":
        return OfMosaic(make_skip(kind, scale, 3))
    if kind == "nearest":
        return NearestSkip(scale)
    if kind == "bicubic":
        return BicubicSkip(scale, channels)
    return nn.Identity()
