"""A network as the integers that the native library reads (`src/network.h`)."""

from __future__ import annotations

import numpy as np

from esr_ray.space.block import parse_block
from esr_ray.space.spec import SKIPS, NetworkSpec, tail_stages

VERSION = 1
HEADER = 11
"""Integers before the first block: version, channels in and out, G0, skip, blocks, stages, and two stages."""
_TYPES = "SGC"


def unsupported(spec: NetworkSpec) -> str | None:
    """Why the library cannot compute a network, or None."""
    users = sorted({parse_block(name).letter for name in spec.arch} - set(_TYPES))
    return f"{users[0]} is a block type of a user's file" if users else None


def describe(spec: NetworkSpec) -> np.ndarray:
    """(HEADER + 4 · blocks,) int32. Raises ValueError where the library does not know a block's type."""
    reason = unsupported(spec)
    if reason is not None:
        raise ValueError(reason)
    stages = tail_stages(spec.base_channels, spec.scale)
    values = [VERSION, spec.in_channels, spec.out_channels, spec.base_channels, SKIPS.index(spec.global_skip)]
    values += [len(spec.arch), len(stages)]
    values += [number for stage in stages for number in stage]
    values += [0] * (HEADER - len(values))
    for name in spec.arch:
        block = parse_block(name)
        values += [_TYPES.index(block.letter), block.convs, block.growth, block.out]
    return np.array(values, np.int32)
