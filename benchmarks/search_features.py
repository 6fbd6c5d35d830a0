"""What benchmarks/search_surrogate.py sees of a network: some seventy numbers, in groups that matter differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from search_rows import Arch

from esr_ray.space.block import Block, block_cost, has_entry, has_residual_conv, parse_block
from esr_ray.space.space import Space

GROUPS = ("size", "types", "choices", "joints", "ends")


@dataclass(frozen=True)
class Choices:
    """What the blocks of a space are made of."""

    letters: tuple[str, ...]
    convs: tuple[int, ...]
    growths: tuple[int, ...]
    outs: tuple[int, ...]


@cache
def choices_of(space: Space) -> Choices:
    """The choices of a space's vocabulary, in order."""
    blocks = [parse_block(name) for name in space.vocabulary.names]
    return Choices(
        letters=tuple(sorted({block.letter for block in blocks})),
        convs=tuple(sorted({block.convs for block in blocks})),
        growths=tuple(sorted({block.growth for block in blocks})),
        outs=tuple(sorted({block.out for block in blocks})),
    )


def features(arch: Arch, space: Space) -> tuple[list[float], ...]:
    """The features of a network, a list for each of GROUPS; every list has always the same length."""
    (frame, names), choices = space.parts(arch), choices_of(space)
    blocks = [parse_block(name) for name in names]
    inputs = [frame, *(block.out for block in blocks[:-1])]
    return (
        _size(arch, blocks, space),
        _types(blocks, inputs, choices),
        _counts(blocks, choices),
        _joints(blocks, inputs, choices),
        [*_end(blocks[0], choices), *_end(blocks[-1], choices)],
    )


def feature_matrix(archs: Sequence[Arch], space: Space) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features of many networks (a row each), and the number of the group that each column belongs to."""
    rows = [features(arch, space) for arch in archs]
    groups = np.repeat(np.arange(len(GROUPS)), [len(group) for group in rows[0]])
    return np.array([np.concatenate(row) for row in rows], dtype=np.float64), groups


def _size(arch: Arch, blocks: Sequence[Block], space: Space) -> list[float]:
    cost = space.cost(arch)
    applied = sum(block.convs * (3 if block.letter == "C" else 1) for block in blocks)
    return [
        float(np.log(cost.params)),
        float(np.log(cost.mult_adds)),
        len(blocks),
        applied,
        sum(block.convs for block in blocks if block.letter != "C"),
        sum(block.convs * block.growth**2 for block in blocks) / 1000,
    ]


def _types(blocks: Sequence[Block], inputs: Sequence[int], choices: Choices) -> list[float]:
    found: list[float] = []
    costs = [block_cost(block.name, channels).params for block, channels in zip(blocks, inputs, strict=True)]
    for letter in choices.letters:
        places = [place for place, block in enumerate(blocks) if block.letter == letter]
        convs = [blocks[place].convs for place in places]
        growths = [blocks[place].growth for place in places]
        found += [
            len(places),
            sum(convs),
            sum(growths),
            sum(conv * growth for conv, growth in zip(convs, growths, strict=True)) / 16,
            sum(costs[place] for place in places) / sum(costs),
            max(convs, default=0),
            max(growths, default=0),
            # Where in the network they are, from -0.5 (its start) to 0.5.
            sum(places) / len(places) / max(1, len(blocks) - 1) - 0.5 if places else 0.0,
        ]
    return found


def _counts(blocks: Sequence[Block], choices: Choices) -> list[float]:
    convs, growths, outs = ([getattr(block, key) for block in blocks] for key in ("convs", "growth", "out"))
    return [
        *(convs.count(choice) for choice in choices.convs),
        *(growths.count(choice) for choice in choices.growths),
        *(outs.count(choice) for choice in choices.outs),
        *(sum(values) / len(values) for values in (convs, growths, outs)),
        *(min(values) for values in (growths, outs)),
        *(max(values) for values in (convs, growths, outs)),
        sum(outs),
    ]


def _joints(blocks: Sequence[Block], inputs: Sequence[int], choices: Choices) -> list[float]:
    """How the blocks fit to each other: 1x1s that joints need, narrowings, neighbours of one type."""
    pairs = list(pairwise(blocks))
    joined = list(zip(blocks, inputs, strict=True))
    return [
        sum(has_entry(block, channels) for block, channels in joined),
        sum(has_residual_conv(block, channels) for block, channels in joined),
        sum(channels > block.growth for block, channels in joined),
        sum(channels < block.growth for block, channels in joined),
        *(sum(one.letter == letter == other.letter for one, other in pairs) for letter in choices.letters),
        sum(one.letter != other.letter for one, other in pairs),
    ]


def _end(block: Block, choices: Choices) -> list[float]:
    return [*(float(block.letter == letter) for letter in choices.letters), block.convs, block.growth, block.out]
