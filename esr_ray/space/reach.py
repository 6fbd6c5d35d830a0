"""Which parameter counts a space can reach, exactly, and genomes drawn straight from those within the budget.

A network's count is a sum over its blocks, each of which depends on its own name and the channels that reach it. So
the reachable sums of k blocks ending in c channels follow from those of k-1 blocks: one bit a sum, in a Python integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import fsum

import numpy as np

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


def frame_params(space: Space) -> int:
    """Parameters that every network of the space has, in the counting of its budget."""
    if space.reference_counting:
        return reference_frame_params(space.base_channels)
    return frame_cost(space.base_channels, space.scale, space.ends).params


def added_params(space: Space, name: str, in_channels: int, first: bool) -> int:
    """Parameters that a block adds: its own and its share of the fusion's 1x1."""
    if space.reference_counting:
        own = reference_block_params(name, in_channels, first)
    else:
        own = block_cost(name, in_channels).params
    return own + parse_block(name).out * space.base_channels


@lru_cache(maxsize=4)
def _reachable(space: Space) -> Layers:
    layers: Layers = [{space.base_channels: 1}]
    for count in range(space.node_num):
        layer: dict[int, int] = {}
        for channels, sums in layers[-1].items():
            for name in space.vocabulary.names:
                out = parse_block(name).out
                layer[out] = layer.get(out, 0) | sums << added_params(space, name, channels, count == 0)
        layers.append(layer)
    return layers


def _window(space: Space, sums: int) -> int:
    """Of a set of sums, those within the parameter budget, shifted so that bit 0 is the least allowed."""
    low = max(0, space.min_params - frame_params(space))
    sums >>= low
    if space.max_params is not None:
        width = space.max_params - frame_params(space) - low + 1
        sums &= (1 << max(0, width)) - 1
    return sums


def reach(space: Space) -> Reach:
    """What the space can reach with min_active to node_num blocks, each count exactly."""
    sums = 0
    for layer in _reachable(space)[max(1, space.min_active) :]:
        for bits in layer.values():
            sums |= bits
    base = frame_params(space)
    least = base + (sums & -sums).bit_length() - 1
    greatest = base + sums.bit_length() - 1
    window = _window(space, sums)
    if window:
        nearest = max(base, space.min_params) + (window & -window).bit_length() - 1
    else:
        below = sums & ((1 << max(0, space.min_params - base)) - 1)
        above = sums >> max(0, (space.max_params or greatest) - base + 1)
        candidates = []
        if below:
            candidates.append(base + below.bit_length() - 1)
        if above:
            candidates.append(max(base, (space.max_params or greatest) + 1) + (above & -above).bit_length() - 1)
        nearest = min(
            candidates, key=lambda count: min(abs(count - space.min_params), abs(count - (space.max_params or count)))
        )
    return Reach(least, greatest, window.bit_count(), nearest)


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
    layers = _reachable(space)
    ends = [
        (count, channels, window)
        for count in range(max(1, space.min_active), space.node_num + 1)
        for channels, bits in layers[count].items()
        if (window := _window(space, bits))
    ]
    count, channels, window = ends[rng.integers(len(ends))]
    total = max(0, space.min_params - frame_params(space)) + _random_bit(window, rng)
    names: list[str] = []
    for left in range(count, 0, -1):
        options: list[tuple[str, int, int]] = []
        weights: list[float] = []
        for before, bits in layers[left - 1].items():
            for name, probability in zip(space.vocabulary.names, space.vocabulary.probabilities, strict=True):
                if parse_block(name).out != channels:
                    continue
                rest = total - added_params(space, name, before, left == 1)
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
    return Genome(tuple(place in places for place in range(space.node_num)), tuple(blocks))


def _random_bit(bits: int, rng: np.random.Generator) -> int:
    """Index of one of the set bits: from a random place upwards, wrapping around."""
    start = int(rng.integers(bits.bit_length()))
    above = bits >> start
    if above:
        return start + (above & -above).bit_length() - 1
    return (bits & -bits).bit_length() - 1
