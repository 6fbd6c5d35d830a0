"""Names and shapes of a network's parameters, without building it: in the order of the plain network's."""

from __future__ import annotations

from esr_ray.networks.spec import NetworkSpec
from esr_ray.space.block import group_count, has_entry, has_residual_conv, parse_block

Shapes = dict[str, tuple[int, ...]]


def parameter_shapes(spec: NetworkSpec) -> Shapes:
    """Shapes by name; equal to those of `ESRN(spec).trainable_params()`, in the same order.

    Only for blocks of the types S, G and C: what a user's block holds is known to its cell alone.
    """
    shapes: Shapes = {}

    def conv(name: str, in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> None:
        shapes[f"{name}.weight"] = (out_channels, in_channels // groups, kernel, kernel)
        shapes[f"{name}.bias"] = (out_channels,)

    g0, channels, fused = spec.base_channels, spec.base_channels, 0
    conv("sfe1", 3, g0, 3)
    conv("sfe2", g0, g0, 3)
    for index, name in enumerate(spec.arch):
        block = parse_block(name)
        prefix, n, growth = f"blocks.{index}", block.convs, block.growth
        if has_entry(block, channels):
            conv(f"{prefix}.ends.entry", channels, growth, 1)
        if has_residual_conv(block, channels):
            conv(f"{prefix}.ends.residual", channels, block.out, 1)
        for c in range(n):
            if block.letter == "G":
                conv(f"{prefix}.convs.{c}", (c + 1) * growth, growth, 3, group_count(c))
            else:
                conv(f"{prefix}.convs.{c}", growth, growth, 3)
        shrinks = {"S": n, "C": n - 1}.get(block.letter, 0)
        for c in range(shrinks):
            conv(f"{prefix}.shrinks.{c}", (2 + c) * growth, growth if c < n - 1 else block.out, 1)
        if block.letter != "S":
            dense = (n + 1) * growth
            conv(f"{prefix}.last", dense // 4 if block.letter == "C" else dense, block.out, 1)
        channels = block.out
        fused += channels
    conv("gff1", fused, g0, 1)
    conv("gff2", g0, g0, 3)
    if spec.scale == 4:
        conv("upsampler.expand.0", g0, 4 * g0, 3)
        conv("upsampler.expand.1", g0, 4 * g0, 3)
        conv("upsampler.last", g0, 3, 3)
    else:
        conv("upsampler.expand.0", g0, spec.scale**2 * 3 * g0 // 4, 3)
        conv("upsampler.last", 3 * g0 // 4, 3, 3)
    return shapes
