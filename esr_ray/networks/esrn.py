"""ESRN: shallow features, blocks, global feature fusion, global residual, upsampler (paper, section 3.1)."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from esr_ray.networks.blocks import build_block, conv
from esr_ray.networks.skips import make_skip
from esr_ray.space.block import parse_block
from esr_ray.space.spec import NetworkSpec, tail_stages


class Upsampler(nn.Cell):
    """(B, G0, H, W) -> (B, out, scale·H, scale·W); `last` is the network's last convolution."""

    def __init__(self, base_channels: int, scale: int, out_channels: int) -> None:
        super().__init__()
        stages = tail_stages(base_channels, scale)
        self.factors = tuple(factor for _, factor in stages)
        expand, channels = [], base_channels
        for wide, factor in stages:
            expand.append(conv(channels, wide, 3))
            channels = wide // factor**2
        self.expand = nn.CellList(expand)
        self.last = conv(channels, out_channels, 3)

    def construct(self, x: Tensor) -> Tensor:
        for layer, factor in zip(self.expand, self.factors):  # noqa: B905 (graph mode knows no strict=)
            x = ops.pixel_shuffle(layer(x), factor)
        return self.last(x)


class ESRN(nn.Cell):
    """Pictures in [0, 1], (B, in, H, W) -> (B, out, scale·H, scale·W), any H and W; the output is not clipped."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        g0, channels = spec.base_channels, spec.base_channels
        self.scale = spec.scale
        self.sfe1 = conv(spec.in_channels, g0, 3)
        self.sfe2 = conv(g0, g0, 3)
        blocks, fused = [], 0
        for name in spec.arch:
            block = parse_block(name)
            blocks.append(build_block(block, channels))
            channels = block.out
            fused += channels
        self.blocks = nn.CellList(blocks)
        self.gff1 = conv(fused, g0, 1)
        self.gff2 = conv(g0, g0, 3)
        self.upsampler = Upsampler(g0, spec.scale, spec.out_channels)
        self.has_skip = spec.global_skip != "none"
        self.skip = make_skip(spec.global_skip, spec.scale, spec.in_channels, spec.of_mosaic)

    def construct(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        # Blocks see even sizes only: the input is padded once, right and bottom, by its edge (method, ESRN).
        if height % 2 == 1:
            x = ops.concat((x, x[:, :, -1:, :]), 2)
        if width % 2 == 1:
            x = ops.concat((x, x[:, :, :, -1:]), 3)
        shallow = self.sfe1(x)  # (B, G0, H, W)
        current = self.sfe2(shallow)
        outputs: tuple[Tensor, ...] = ()
        for block in self.blocks:
            current = block(current)
            outputs = (*outputs, current)
        fused = self.gff2(self.gff1(ops.concat(outputs, 1))) + shallow
        y = self.upsampler(fused)  # (B, out, scale·H, scale·W)
        if self.has_skip:
            y = y + self.skip(x)
        return y[:, :, : self.scale * height, : self.scale * width]
