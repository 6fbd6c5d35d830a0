"""A network as numbers, for predictors: what it is made of, where, and what it costs. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from esr_ray.space.block import parse_block
from esr_ray.space.counts import Arch
from esr_ray.space.space import Space


def feature_matrix(archs: Sequence[Arch], space: Space) -> NDArray[np.float64]:
    """Features of networks, a row each (n, F); F depends on the space alone.

    Logarithms of parameters and mult-adds, depth, width, and for each type of block: how many, their convolutions,
    growth rates and outputs, the share of mult-adds, and where they stand.
    """
    return np.array([_features(tuple(arch), space) for arch in archs], dtype=np.float64)


@lru_cache(maxsize=65536)
def _features(arch: Arch, space: Space) -> tuple[float, ...]:
    blocks = [parse_block(name) for name in arch]
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
    for letter in letters_of(space):
        mine = [(place, block) for place, block in enumerate(blocks) if block.letter == letter]
        row += [
            float(len(mine)),
            float(sum(block.convs for _, block in mine)),
            float(sum(block.growth for _, block in mine)),
            float(sum(block.convs * block.growth**2 for _, block in mine)) / 1000,
            float(sum(block.out for _, block in mine)),
            float(sum((place + 0.5) / len(blocks) - 0.5 for place, _ in mine)),
            float(blocks[0].letter == letter),
            float(blocks[-1].letter == letter),
        ]
    return tuple(row)


def letters_of(space: Space) -> tuple[str, ...]:
    """Types of block that a search may draw."""
    return tuple(sorted({name[0] for name in space.vocabulary.names}))
