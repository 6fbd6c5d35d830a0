"""Exact parameters and mult-adds of an ESRN, without building it, in microseconds.

Two ways of counting parameters: all weights and biases (`network_cost`), and the reference's own (`reference_params`),
which budgets in its users' files mean: no biases, and entry and residual 1x1s of the first block only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from esr_ray.space.block import block_cost, group_count, has_entry, has_residual_conv, parse_block
from esr_ray.space.layers import Cost, cost_of
from esr_ray.space.spec import NetworkSpec, network_layers

RGB = (3, 3)
"""Channels in and out of most networks."""
OUTPUT_PIXELS = 1280 * 720
"""Size of the output for which the field states mult-adds."""


@cache
def frame_cost(base_channels: int, scale: int, ends: tuple[int, int] = RGB) -> Cost:
    """Cost of all that is not blocks: SFE, upsampler, and GFF but for the weights of its 1x1, which depend on the
    blocks (see `network_cost`). `ends` are the channels of the pictures that go in and come out.

    Raises ValueError for a scale without an upsampler.
    """
    return cost_of(network_layers(NetworkSpec((), base_channels, scale, "none", *ends)))


def network_cost(arch: Iterable[str], base_channels: int, scale: int, ends: tuple[int, int] = RGB) -> Cost:
    """Exact parameters, and mult-adds for each LR pixel, of the network that `arch` decodes to."""
    frame = frame_cost(base_channels, scale, ends)
    params, mult_adds, channels = frame.params, frame.mult_adds, base_channels
    for name in arch:
        cost = block_cost(name, channels)
        channels = parse_block(name).out
        fused = channels * base_channels
        params += cost.params + fused
        mult_adds += cost.mult_adds + fused
    return Cost(params, mult_adds)


def spec_cost(spec: NetworkSpec) -> Cost:
    """Exact parameters, and mult-adds for each LR pixel, of a network."""
    return network_cost(spec.arch, spec.base_channels, spec.scale, (spec.in_channels, spec.out_channels))


def mult_adds_720p(cost: Cost, scale: int) -> int:
    """Mult-adds for a 1280x720 output: those of an LR pixel times 921,600/scale² (may be a fraction of a pixel)."""
    return round(cost.mult_adds * OUTPUT_PIXELS / scale**2)


@cache
def reference_block_params(name: str, in_channels: int, first: bool) -> int:
    """Parameters of a block as the reference's search counts them (method, "A budget means another count")."""
    block = parse_block(name)
    n, g, out = block.convs, block.growth, block.out
    if block.letter == "S":
        params = g * g * (9 * n + (n + 2) * (n - 1) // 2) + (n + 1) * g * out
    elif block.letter == "C":
        params = g * g * (9 * n + (n + 2) * (n - 1) // 2) + (n + 1) * g * out // 4
    elif block.letter == "G":
        params = sum(9 * g * g * (c + 1) // group_count(c) for c in range(n)) + (n + 1) * g * out
    else:
        # A user's type has no formula there: its own count.
        return block_cost(name, in_channels).params
    if first and has_entry(block, in_channels):
        params += in_channels * g
    if first and has_residual_conv(block, in_channels):
        params += in_channels * out
    return params


def reference_frame_params(base_channels: int) -> int:
    """What the reference adds for all that is not blocks, at any scale."""
    return 45 * base_channels**2 + 27 * base_channels + 648


def reference_params(arch: Iterable[str], base_channels: int) -> int:
    """Parameters of a whole network as the reference's search counts them."""
    params, channels = reference_frame_params(base_channels), base_channels
    for index, name in enumerate(arch):
        params += reference_block_params(name, channels, index == 0)
        channels = parse_block(name).out
        params += channels * base_channels
    return params
