"""Which parameter counts a space can reach, exactly, and genomes drawn straight from those within the budget.

A network's count is a sum over its blocks, each of which depends on its own name and the channels that reach it. So
the reachable sums of k blocks ending in c channels follow from those of k-1 blocks: one bit a sum, in a Python integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import fsum

import numpy as np

from esr_ray.config.space import MOST_FRAMES
from esr_ray.errors import UserError
from esr_ray.space.block import block_cost, parse_block
from esr_ray.space.counts import frame_cost, reference_block_params, reference_frame_params
from esr_ray.space.genome import Genome
from esr_ray.space.space import Space

# Bit s of layers[k][c]: some k blocks, the last with c output channels, add s parameters to the frame's.
Layers = list[dict[int, int]]


@dataclass(frozen=True)
class Reach:
    """Parameter counts of a space's networks, in the counting of its budget: the extremes, and those in the budget."""

    least: int
    greatest: int
    within: int
    """How many different counts lie within the budget; 0: it cannot be reached."""
    nearest: int
    """The reachable count nearest to the budget; the least within it where there are any."""


def frame_params(space: Space, frame: int) -> int:
    """Parameters that every network of this frame has, in the counting of the space's budget."""
    if space.reference_counting:
        return reference_frame_params(frame)
    return frame_cost(frame, space.scale, space.ends).params


def added_params(space: Space, frame: int, name: str, in_channels: int, first: bool) -> int:
    """Parameters that a block adds: its own and its share of the fusion's 1x1."""
    if space.reference_counting:
        own = reference_block_params(name, in_channels, first)
    else:
        own = block_cost(name, in_channels).params
    return own + parse_block(name).out * frame


@lru_cache(maxsize=2 * MOST_FRAMES)
def _reachable(space: Space, frame: int) -> Layers:
    layers: Layers = [{frame: 1}]
    for count in range(space.node_num):
        layer: dict[int, int] = {}
        for channels, sums in layers[-1].items():
            for name in space.vocabulary.names:
                out = parse_block(name).out
                layer[out] = layer.get(out, 0) | sums << added_params(space, frame, name, channels, count == 0)
        layers.append(layer)
    return layers


def _window(space: Space, frame: int, sums: int) -> int:
    """Of a set of sums, those within the parameter budget, shifted so that bit 0 is the least allowed."""
    low = max(0, space.min_params - frame_params(space, frame))
    sums >>= low
    if space.max_params is not None:
        width = space.max_params - frame_params(space, frame) - low + 1
        sums &= (1 << max(0, width)) - 1
    return sums


def reach(space: Space) -> Reach:
    """What the space can reach with min_active to node_num blocks, each count exactly."""
    counts = 0
    for frame in space.base_channels:
        for layer in _reachable(space, frame)[max(1, space.min_active) :]:
            for bits in layer.values():
                counts |= bits << frame_params(space, frame)
    least = _lowest(counts)
    greatest = counts.bit_length() - 1
    low, high = space.min_params, greatest if space.max_params is None else space.max_params
    within = counts >> low & (1 << max(0, high - low + 1)) - 1
    if within:
        nearest = low + _lowest(within)
    else:
        below, above = counts & (1 << low) - 1, counts >> high + 1
        candidates = []
        if below:
            candidates.append(below.bit_length() - 1)
        if above:
            candidates.append(high + 1 + _lowest(above))
        nearest = min(candidates, key=lambda count: min(abs(count - low), abs(count - high)))
    return Reach(least, greatest, within.bit_count(), nearest)


def _lowest(bits: int) -> int:
    """Index of the lowest of the set bits."""
    return (bits & -bits).bit_length() - 1


def check_budget(space: Space) -> Reach:
    """Raise UserError where no network of the space has a parameter count within the budget."""
    found = reach(space)
    if found.within == 0:
        limits = (
            f"{space.min_params:,} to {space.max_params:,}" if space.max_params else f"{space.min_params:,} or more"
        )
        raise UserError(
            f"space: no network has {limits} parameters (min_params, max_params); with {space.min_active} to "
            f"{space.node_num} blocks of this vocabulary they have {found.least:,} to {found.greatest:,}, "
            f"and the nearest count is {found.nearest:,}"
        )
    return found


def draw_within(space: Space, rng: np.random.Generator) -> Genome:
    """A random genome whose parameter count is within the budget, built from its count backwards.

    Mult-adds are not looked at. The space's budget must be reachable (`check_budget`).
    """
    ends = [
        (frame, count, channels, window)
        for frame in space.base_channels
        for count in range(max(1, space.min_active), space.node_num + 1)
        for channels, bits in _reachable(space, frame)[count].items()
        if (window := _window(space, frame, bits))
    ]
    frame, count, channels, window = ends[rng.integers(len(ends))]
    layers = _reachable(space, frame)
    total = max(0, space.min_params - frame_params(space, frame)) + _random_bit(window, rng)
    names: list[str] = []
    for left in range(count, 0, -1):
        options: list[tuple[str, int, int]] = []
        weights: list[float] = []
        for before, bits in layers[left - 1].items():
            for name, probability in zip(space.vocabulary.names, space.vocabulary.probabilities, strict=True):
                if parse_block(name).out != channels:
                    continue
                rest = total - added_params(space, frame, name, before, left == 1)
                if rest >= 0 and bits >> rest & 1:
                    options.append((name, before, rest))
                    weights.append(probability)
        chosen = rng.choice(len(options), p=np.array(weights) / fsum(weights))
        name, channels, total = options[chosen]
        names.append(name)
    names.reverse()
    places = sorted(int(place) for place in rng.choice(space.node_num, size=count, replace=False))
    blocks = [space.vocabulary.draw(rng) for _ in range(space.node_num)]
    for place, name in zip(places, names, strict=True):
        blocks[place] = name
    named = frame if len(space.base_channels) > 1 else None
    return Genome(tuple(place in places for place in range(space.node_num)), tuple(blocks), named)


def _random_bit(bits: int, rng: np.random.Generator) -> int:
    """Index of one of the set bits: from a random place upwards, wrapping around."""
    start = int(rng.integers(bits.bit_length()))
    above = bits >> start
    if above:
        return start + _lowest(above)
    return _lowest(bits)
