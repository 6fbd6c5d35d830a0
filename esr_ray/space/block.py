"""The grammar of blocks: `TYPE_CONVS_GROWTH_OUT`, what is legal, and the layers of each type (paper, section 3.2).

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
from esr_ray.space.layers import Cost, Layers, cost_of

MOST_CONVS = 256
"""Of a block: each sees all before it, so that their description grows with the square."""
_DIGITS = 4
"""Of a number in a block's name: more would only ever take all memory."""
_SHOWN = 40
"""So many characters of what is no block are shown in an error."""
_NAME = re.compile(r"([A-Z])_([1-9]\d*)_([1-9]\d*)_([1-9]\d*)", re.ASCII)


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
class BlockType:
    """What the search space knows of a letter.

    `illegal(block)` gives the broken rule or None; `layers(layers, block, value)` writes the block's layers down after
    the value that goes in, and returns that which comes out. A type from a user's file has its `module`, from which the
    networks take the cell, and a `cost(block, in_channels)` of its own in place of layers.
    """

    letter: str
    illegal: Callable[[Block], str | None]
    layers: Callable[[Layers, Block, int], int] | None = None
    cost: Callable[[Block, int], Cost] | None = None
    module: ModuleType | None = None


def group_count(index: int) -> int:
    """Groups of the 3x3 convolution number `index` (from 0) of a G block: min(4, 2^floor(log2(index+1)))."""
    return min(4, 1 << ((index + 1).bit_length() - 1))


def has_entry(block: Block, in_channels: int) -> bool:
    """Whether a 1x1 convolution brings the input to the growth rate."""
    return in_channels != block.growth


def has_residual_conv(block: Block, in_channels: int) -> bool:
    """Whether the residual needs a 1x1 convolution of its own: neither the input nor the entry has OUT channels."""
    return block.out not in (in_channels, block.growth)


def _ends(layers: Layers, block: Block, value: int) -> tuple[int, int]:
    """What all types share: the 1x1 entry to the growth rate, and the residual of the block's input."""
    channels = layers.channels(value)
    entry = layers.conv(value, "ends.entry", block.growth, 1) if has_entry(block, channels) else value
    if block.out == channels:
        return entry, value
    if has_residual_conv(block, channels):
        return entry, layers.conv(value, "ends.residual", block.out, 1)
    return entry, entry


def _group(layers: Layers, block: Block, value: int) -> int:
    """Grouped convolutions over the shuffled concatenation of all before; one 1x1 at the end."""
    dense, residual = _ends(layers, block, value)
    for index in range(block.convs):
        shuffled = layers.channel_shuffle(dense, index + 1)
        new = layers.relu(layers.conv(shuffled, f"convs.{index}", block.growth, 3, group_count(index)))
        dense = layers.concat((dense, new))
    return layers.add(layers.conv(dense, "last", block.out, 1), residual)


def _shrink(layers: Layers, block: Block, value: int) -> int:
    """Each 3x3 is followed by a 1x1 that shrinks the concatenation of all before to the growth rate."""
    current, residual = _ends(layers, block, value)
    dense = current
    for index in range(block.convs):
        dense = layers.concat((dense, layers.relu(layers.conv(current, f"convs.{index}", block.growth, 3))))
        out = block.growth if index < block.convs - 1 else block.out
        current = layers.conv(dense, f"shrinks.{index}", out, 1)
    return layers.add(current, residual)


def _contextual(layers: Layers, block: Block, value: int) -> int:
    """As S at half resolution, each 3x3 applied three times with the same weights; a pixel shuffle leads back."""
    entry, residual = _ends(layers, block, value)
    current = dense = layers.pool(entry, 2)
    for index in range(block.convs):
        new = current
        for _ in range(3):
            new = layers.relu(layers.conv(new, f"convs.{index}", block.growth, 3))
        dense = layers.concat((dense, new))
        if index < block.convs - 1:
            current = layers.conv(dense, f"shrinks.{index}", block.growth, 1)
    return layers.add(layers.conv(layers.pixel_shuffle(dense, 2), "last", block.out, 1), residual)


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
    "S": BlockType("S", lambda block: None, _shrink),
    "G": BlockType("G", _group_illegal, _group),
    "C": BlockType("C", _contextual_illegal, _contextual),
}


@cache
def parse_block(name: str) -> Block:
    """Read a block's name, such as `G_8_16_24`.

    Raises UserError where the name is not of the grammar, its letter is unknown, or it breaks a rule of its type.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name[:_SHOWN]!r} is not a block: write TYPE_CONVS_GROWTH_OUT, such as G_8_16_24")
    if max(len(text) for text in match.groups()[1:]) > _DIGITS:
        raise UserError(f"{name[:_SHOWN]!r}: no number of a block has more than {_DIGITS} digits")
    letter, convs, growth, out = match.group(1), *(int(text) for text in match.groups()[1:])
    if convs > MOST_CONVS:
        raise UserError(f"{name!r}: a block has at most {MOST_CONVS} convolutions")
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
    own = BLOCK_TYPES[block.letter].cost
    if own is not None:
        return own(block, in_channels)
    layers = Layers()
    add_block(layers, name, layers.input(in_channels))
    return cost_of(layers.steps)


def add_block(layers: Layers, name: str, value: int) -> int:
    """Write a block's layers down after the value that goes in; the value that comes out."""
    block = parse_block(name)
    written = BLOCK_TYPES[block.letter].layers
    return layers.user(value, name, block.out) if written is None else written(layers, block, value)


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
