"""What a network is, as plain data: enough to build it, and what a checkpoint keeps of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from esr_ray.space.block import add_block
from esr_ray.space.layers import Conv, Layers, Step, convolutions

Arch = tuple[str, ...]
"""The decoded network: names of its blocks in order."""

MOSAIC = (4, 3)
"""Channels in and out of a network for packed Bayer mosaics: R, two greens, B; and RGB."""
_IN_BLOCK = ("ends", "convs", "shrinks", "last")
"""The order in which a block's cell holds its convolutions."""


@dataclass(frozen=True)
class NetworkSpec:
    """The blocks in order, the channels outside them (G0), the enlargement, the global skip, and the channels of the
    pictures that go in and come out. `task` are the settings of what it is for, as JSON; of RGB super-resolution, for
    which the first networks were, none."""

    arch: Arch
    base_channels: int
    scale: int
    global_skip: str
    in_channels: int = 3
    out_channels: int = 3
    task: str = ""

    @property
    def of_mosaic(self) -> bool:
        """Whether packed Bayer mosaics go in and RGB comes out."""
        return (self.in_channels, self.out_channels) == MOSAIC

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def spec_from_json(text: str) -> NetworkSpec:
    """The inverse of `NetworkSpec.to_json`."""
    content = json.loads(text)
    return NetworkSpec(**{**content, "arch": tuple(content["arch"])})


def tail_stages(base_channels: int, scale: int) -> tuple[tuple[int, int], ...]:
    """Stages of the upsampler before its last convolution: (channels of the 3x3, factor of the pixel shuffle).

    None for scale 1. Raises ValueError for a scale that is not known (paper, section 3.1, for 2 to 4).
    """
    if scale == 1:
        return ()
    if scale in (2, 3):
        return ((scale * scale * 3 * base_channels // 4, scale),)
    if scale == 4:
        return ((4 * base_channels, 2), (4 * base_channels, 2))
    raise ValueError(f"no upsampler for scale {scale}")


def network_layers(spec: NetworkSpec) -> tuple[Step, ...]:
    """The layers of a network: shallow features, blocks, global feature fusion, global residual, upsampler (paper,
    section 3.1). Pictures may have any height and width."""
    layers, g0, scale = Layers(), spec.base_channels, spec.scale
    picture = layers.input(spec.in_channels)
    x = layers.even(picture)
    shallow = layers.conv(x, "sfe1", g0, 3)
    current = layers.conv(shallow, "sfe2", g0, 3)
    outputs = []
    for index, name in enumerate(spec.arch):
        layers.within(f"blocks.{index}.")
        current = add_block(layers, name, current)
        outputs.append(current)
    layers.within("")
    fused = layers.conv(layers.conv(layers.concat(outputs), "gff1", g0, 1), "gff2", g0, 3)
    y = layers.add(fused, shallow)
    for index, (channels, factor) in enumerate(tail_stages(g0, scale)):
        y = layers.pixel_shuffle(layers.conv(y, f"upsampler.expand.{index}", channels, 3), factor)
    y = layers.conv(y, "upsampler.last", spec.out_channels, 3)
    if spec.global_skip != "none":
        seen = layers.mosaic(x) if spec.of_mosaic else x
        y = layers.add(y, layers.skip(seen, spec.global_skip, scale))
    layers.crop(y, picture, scale)
    return tuple(layers.steps)


def network_convolutions(spec: NetworkSpec) -> tuple[Conv, ...]:
    """The convolutions of a network in the order in which its cells hold them, user's blocks apart."""
    found = convolutions(network_layers(spec))
    parts = {part: place for place, part in enumerate(dict.fromkeys(_part(name)[0] for name in found))}
    return tuple(sorted(found.values(), key=lambda conv: (parts[_part(conv.name)[0]], _part(conv.name)[1])))


def _part(name: str) -> tuple[str, int]:
    """The block (or else the layer) that a convolution is in, and its place within that."""
    first, *rest = name.split(".")
    return (f"{first}.{rest[0]}", _IN_BLOCK.index(rest[1])) if first == "blocks" else (name, 0)
