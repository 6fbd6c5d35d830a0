"""The grammar of blocks: `TYPE_CONVS_GROWTH_OUT`, what is legal and what a block costs (paper, section 3.2).

Any legal name can be built, counted and trained; which ones a search samples from is `esr_ray.space.vocabulary`.
Users add types by a file, see `esr_ray.space.user_block`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from esr_ray.errors import UserError

_NAME = re.compile(r"([A-Z])_([1-9]\d*)_([1-9]\d*)_([1-9]\d*)")


@dataclass(frozen=True)
class Block:
    """A residual dense block: `convs` 3x3 convolutions, growth rate `growth`, `out` output channels."""

    letter: str
    convs: int
    growth: int
    out: int

    @property
    def name(self) -> str:
        return f"{self.letter}_{self.convs}_{self.growth}_{self.out}"


@dataclass(frozen=True)
class Cost:
    """Parameters (weights and biases), and mult-adds for each pixel of the LR input."""

    params: int
    mult_adds: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.mult_adds + other.mult_adds)


@dataclass(frozen=True)
class BlockType:
    """What the search space knows of a letter.

    `illegal(block)` gives the broken rule or None; `cost(block, in_channels)` is exact. `module` is the user's file
    where the type came from one: the networks take the cell from it.
    """

    letter: str
    illegal: Callable[[Block], str | None]
    cost: Callable[[Block, int], Cost]
    module: ModuleType | None = None


def conv_cost(in_channels: int, out_channels: int, kernel: int, groups: int = 1, resolution: float = 1.0) -> Cost:
    """Cost of a convolution with bias whose output has `resolution` pixels for each LR pixel (bias adds uncounted)."""
    weights = in_channels * out_channels * kernel * kernel // groups
    return Cost(weights + out_channels, weights * resolution)


def group_count(index: int) -> int:
    """Groups of the 3x3 convolution number `index` (from 0) of a G block: min(4, 2^floor(log2(index+1)))."""
    return min(4, 1 << ((index + 1).bit_length() - 1))


def has_entry(block: Block, in_channels: int) -> bool:
    """Whether a 1x1 convolution brings the input to the growth rate."""
    return in_channels != block.growth


def has_residual_conv(block: Block, in_channels: int) -> bool:
    """Whether the residual needs a 1x1 convolution of its own: neither the input nor the entry has OUT channels."""
    return block.out not in (in_channels, block.growth)


def _ends_cost(block: Block, in_channels: int) -> Cost:
    cost = Cost(0, 0)
    if has_entry(block, in_channels):
        cost += conv_cost(in_channels, block.growth, 1)
    if has_residual_conv(block, in_channels):
        cost += conv_cost(in_channels, block.out, 1)
    return cost


def _group_cost(block: Block, in_channels: int) -> Cost:
    n, g = block.convs, block.growth
    cost = _ends_cost(block, in_channels) + conv_cost((n + 1) * g, block.out, 1)
    for index in range(n):
        cost += conv_cost((index + 1) * g, g, 3, groups=group_count(index))
    return cost


def _shrink_cost(block: Block, in_channels: int) -> Cost:
    n, g = block.convs, block.growth
    cost = _ends_cost(block, in_channels)
    for index in range(n):
        cost += conv_cost(g, g, 3) + conv_cost((2 + index) * g, g if index < n - 1 else block.out, 1)
    return cost


def _contextual_cost(block: Block, in_channels: int) -> Cost:
    n, g = block.convs, block.growth
    cost = _ends_cost(block, in_channels) + conv_cost((n + 1) * g // 4, block.out, 1)
    for index in range(n):
        # Half resolution is a quarter of the pixels; each 3x3 is applied three times with the same weights.
        cost += conv_cost(g, g, 3, resolution=3 / 4)
        if index < n - 1:
            cost += conv_cost((2 + index) * g, g, 1, resolution=1 / 4)
    return cost


def _group_illegal(block: Block) -> str | None:
    if block.convs >= 2 and block.growth % 2:
        return "G blocks of 2 or more convolutions need an even growth rate"
    if block.convs >= 4 and block.growth % 4:
        return "G blocks of 4 or more convolutions need a growth rate divisible by 4"
    return None


def _contextual_illegal(block: Block) -> str | None:
    if (block.convs + 1) * block.growth % 4:
        return "C blocks need (convolutions + 1) x growth rate divisible by 4"
    return None


BLOCK_TYPES: dict[str, BlockType] = {
    "S": BlockType("S", lambda block: None, _shrink_cost),
    "G": BlockType("G", _group_illegal, _group_cost),
    "C": BlockType("C", _contextual_illegal, _contextual_cost),
}


@cache
def parse_block(name: str) -> Block:
    """Read a block's name, such as `G_8_16_24`.

    Raises UserError where the name is not of the grammar, its letter is unknown, or it breaks a rule of its type.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name!r} is not a block: write TYPE_CONVS_GROWTH_OUT, such as G_8_16_24")
    letter, convs, growth, out = match.group(1), *(int(text) for text in match.groups()[1:])
    block = Block(letter, convs, growth, out)
    if letter not in BLOCK_TYPES:
        raise UserError(
            f"{name!r}: there is no block type {letter!r}; known are {', '.join(BLOCK_TYPES)} "
            "(add your own with space.user_blocks)"
        )
    rule = BLOCK_TYPES[letter].illegal(block)
    if rule is not None:
        raise UserError(f"{name!r} is not a legal block: {rule}")
    return block


@cache
def block_cost(name: str, in_channels: int) -> Cost:
    """Exact cost of a block whose input has `in_channels` channels."""
    block = parse_block(name)
    return BLOCK_TYPES[block.letter].cost(block, in_channels)


def register_block_type(block_type: BlockType) -> None:
    """Make a letter known; a known letter of another origin is not replaced (UserError).

    A user's file is the same by its name: the run folder's copy replaces the original.
    """
    known = BLOCK_TYPES.get(block_type.letter)
    if known is not None:
        letter, module = block_type.letter, known.module
        if module is None:
            raise UserError(f"block letter {letter!r} is one of the built-in types; choose another letter")
        if block_type.module is None or module.__name__ != block_type.module.__name__:
            raise UserError(f"block letter {letter!r} is defined by {module.__file__} too; choose another letter")
    BLOCK_TYPES[block_type.letter] = block_type
    parse_block.cache_clear()
    block_cost.cache_clear()
