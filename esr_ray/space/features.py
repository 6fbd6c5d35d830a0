"""A network as numbers, for predictors: what it is made of, where, and what it costs. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import fsum

import numpy as np
from numpy.typing import NDArray

from esr_ray.space.block import Block, parse_block
from esr_ray.space.space import Space
from esr_ray.space.spec import Arch


def feature_matrix(archs: Sequence[Arch], space: Space) -> NDArray[np.float64]:
    """Features of networks, a row each (n, F); F depends on the space alone.

    Logarithms of parameters and mult-adds, depth, width, and of several frames which it has; for each type of block how
    many there are, their convolutions, growth rates and outputs, and where they stand; how often each number of
    convolutions, growth rate and output occurs; and those of the first and of the last block, which matter more than
    others.
    """
    return np.array([_features(tuple(arch), space) for arch in archs], dtype=np.float64)


@lru_cache(maxsize=65536)
def _features(arch: Arch, space: Space) -> tuple[float, ...]:
    frame, names = space.parts(arch)
    blocks = [parse_block(name) for name in names]
    cost = space.cost(arch)
    outs = [block.out for block in blocks]
    row = [
        float(np.log(cost.params)),
        float(np.log(cost.mult_adds)),
        float(len(blocks)),
        float(np.mean(outs)),
        float(min(outs)),
        float(outs[-1]),
        float(sum(abs(after - before) for before, after in pairwise(outs))),
    ]
    if len(space.base_channels) > 1:
        row += [float(np.log(frame)), *(float(frame == one) for one in space.base_channels)]
    for letter in letters_of(space):
        mine = [(place, block) for place, block in enumerate(blocks) if block.letter == letter]
        row += [
            float(len(mine)),
            float(sum(block.convs for _, block in mine)),
            float(sum(block.growth for _, block in mine)),
            float(sum(block.convs * block.growth**2 for _, block in mine)) / 1000,
            float(sum(block.out for _, block in mine)),
            fsum((place + 0.5) / len(blocks) - 0.5 for place, _ in mine),
            float(blocks[0].letter == letter),
            float(blocks[-1].letter == letter),
        ]
    for choices, present in zip(numbers_of(space), zip(*map(_numbers, blocks), strict=True), strict=True):
        row += [float(present.count(choice)) for choice in choices]
    row += [float(number) for block in (blocks[0], blocks[-1]) for number in _numbers(block)]
    return tuple(row)


def _numbers(block: Block) -> tuple[int, int, int]:
    return block.convs, block.growth, block.out


@lru_cache(maxsize=64)
def numbers_of(space: Space) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Numbers of convolutions, growth rates and outputs that a search may draw, ascending."""
    drawn = [_numbers(parse_block(name)) for name in space.vocabulary.names]
    convs, growths, outs = (tuple(sorted(set(numbers))) for numbers in zip(*drawn, strict=True))
    return convs, growths, outs


def letters_of(space: Space) -> tuple[str, ...]:
    """Types of block that a search may draw."""
    return tuple(sorted({name[0] for name in space.vocabulary.names}))
