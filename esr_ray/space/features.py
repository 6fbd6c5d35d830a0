"""A network as numbers, for predictors: what it is made of, where, and what it costs. Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from esr_ray.space.block import Block, parse_block
from esr_ray.space.space import Space
from esr_ray.space.spec import Arch

NUMBERS = 3
"""A block's convolutions, growth rate and outputs: the first columns of its row."""


def feature_matrix(archs: Sequence[Arch], space: Space) -> NDArray[np.float64]:
    """Features of networks, a row each (n, F); F depends on the space alone.

    Logarithms of parameters and mult-adds, depth, width, and of several frames which it has; for each type of block how
    many there are, their convolutions, growth rates and outputs, and where they stand; how often each number of
    convolutions, growth rate and output occurs; and those of the first and of the last block, which matter more than
    others.
    """
    parts = [space.parts(arch) for arch in archs]
    costs = [space.cost(arch) for arch in archs]
    depth = np.array([len(names) for _, names in parts], dtype=np.int64)
    last = np.cumsum(depth) - 1
    first = last - depth + 1
    # A row for each block of all networks, one network after the other, and its place in its own.
    letters, row_of, width = letters_of(space), *_block_rows(space)
    blocks = np.array([row_of(name) for _, names in parts for name in names], dtype=np.float64).reshape(-1, width)
    place = np.arange(len(blocks)) - np.repeat(first, depth)
    outs = blocks[:, NUMBERS - 1]
    steps = np.abs(np.diff(outs, prepend=0)) * (place > 0)
    is_letter = blocks[:, NUMBERS : NUMBERS + len(letters)]

    sums = np.add.reduceat(blocks, first)
    of_letter = sums[:, NUMBERS : NUMBERS + len(letters)]
    places = np.add.reduceat(is_letter * place[:, None], first)
    columns = [
        np.log([cost.params for cost in costs]),
        np.log([cost.mult_adds for cost in costs]),
        depth,
        sums[:, NUMBERS - 1] / depth,
        np.minimum.reduceat(outs, first),
        outs[last],
        np.add.reduceat(steps, first),
    ]
    if len(space.base_channels) > 1:
        frames = np.array([frame for frame, _ in parts])
        columns += [np.log(frames), frames[:, None] == space.base_channels]
    columns += [
        sums[:, NUMBERS:],
        # The sum of how far they stand from the middle, as parts of the depth.
        (places + of_letter / 2) / depth[:, None] - of_letter / 2,
        *(is_letter[end] for end in (first, last)),
        *(blocks[end, :NUMBERS] for end in (first, last)),
    ]
    return np.column_stack(columns)


def _numbers(block: Block) -> tuple[int, int, int]:
    return block.convs, block.growth, block.out


@lru_cache(maxsize=64)
def _block_rows(space: Space) -> tuple[Callable[[str], tuple[float, ...]], int]:
    """What gives the row of a block by its name, and how long rows are: its numbers, a flag for each type, then for
    each type what a block of it has, and a flag for each number that the space draws."""
    letters, choices = letters_of(space), numbers_of(space)

    @cache
    def row(name: str) -> tuple[float, ...]:
        block = parse_block(name)
        numbers = _numbers(block)
        flags = [float(block.letter == letter) for letter in letters]
        amounts = (*numbers, block.convs * block.growth**2)
        return (
            *numbers,
            *flags,
            *(flag * amount for flag in flags for amount in amounts),
            *(float(has == choice) for has, drawn in zip(numbers, choices, strict=True) for choice in drawn),
        )

    return row, len(row(space.vocabulary.names[0]))


@lru_cache(maxsize=64)
def numbers_of(space: Space) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Numbers of convolutions, growth rates and outputs that a search may draw, ascending."""
    drawn = [_numbers(parse_block(name)) for name in space.vocabulary.names]
    convs, growths, outs = (tuple(sorted(set(numbers))) for numbers in zip(*drawn, strict=True))
    return convs, growths, outs


@lru_cache(maxsize=64)
def letters_of(space: Space) -> tuple[str, ...]:
    """Types of block that a search may draw."""
    return tuple(sorted({name[0] for name in space.vocabulary.names}))
