"""What a network is, as plain data: enough to build it, and what a checkpoint keeps of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from esr_ray.space.block import add_block
from esr_ray.space.layers import Conv, Layers, Step, convolutions

Arch = tuple[str, ...]
"""The decoded network: names of its blocks in order, after the name of its frame (`G0_16`) in a space of several."""

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


_FRAME = re.compile(r"G0_([1-9]\d{0,3})")


def frame_name(base_channels: int) -> str:
    """What a network's channels outside the blocks are called in an arch: `G0_16`."""
    return f"G0_{base_channels}"


def split_frame(arch: Sequence[str]) -> tuple[int | None, Arch]:
    """The channels outside the blocks that an arch names, None where it names none; and its blocks."""
    named = _FRAME.fullmatch(arch[0]) if arch else None
    return (int(named[1]), tuple(arch[1:])) if named else (None, tuple(arch))


def named_among(arch: Sequence[str], frames: Sequence[int]) -> Arch:
    """A network as it is called where there are these channels outside the blocks: one alone is not named."""
    frame, blocks = split_frame(arch)
    return blocks if list(frames) == [frame] else tuple(arch)


MOST_BLOCKS = 1000
"""Blocks of a network that is read from a file: one of more is a mistake, or meant to take all memory."""
MOST_IN_ALL = 5000
"""Convolutions of all its blocks."""
MOST_CHANNELS = 4096
MOST_OF_TASK = 4000
"""Characters."""
SKIPS = ("none", "nearest", "bicubic")
"""Global skips, in the order by which the native library numbers them."""


def spec_from_json(text: str) -> NetworkSpec:
    """The inverse of `NetworkSpec.to_json`. Raises ValueError for anything else, before it takes memory; whether the
    blocks are known is not looked at."""
    try:
        content = json.loads(text)
        spec = NetworkSpec(**{**content, "arch": tuple(content["arch"])})
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"is not the description of a network ({type(error).__name__})") from None
    numbers = {
        "base_channels": (spec.base_channels, MOST_CHANNELS),
        "scale": (spec.scale, 4),
        "in_channels": (spec.in_channels, 4),
        "out_channels": (spec.out_channels, 4),
    }
    for name, (value, most) in numbers.items():
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"{name} is {value!r:.60}, not from 1 to {most}")
    if spec.global_skip not in SKIPS:
        raise ValueError(f"global_skip is {spec.global_skip!r:.60}, not one of {', '.join(SKIPS)}")
    if not isinstance(spec.task, str) or len(spec.task) > MOST_OF_TASK or not spec.task.isprintable():
        raise ValueError(f"task is not a line of up to {MOST_OF_TASK:,} characters")
    if len(spec.arch) > MOST_BLOCKS:
        raise ValueError(f"it has {len(spec.arch):,} blocks; at most {MOST_BLOCKS:,} are built")
    if not all(isinstance(name, str) for name in spec.arch):
        raise ValueError("arch is not a list of blocks")
    convs = sum(int(number) for name in spec.arch for number in re.findall(r"^[A-Z]_(\d{1,4})_", name))
    if convs > MOST_IN_ALL:
        raise ValueError(f"its blocks have {convs:,} convolutions; at most {MOST_IN_ALL:,} are built")
    return spec


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
