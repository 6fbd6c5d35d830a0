"""The genome: `node_num` nodes of an on/off flag and a block each; the active ones decode to the network.

In a space of several frames (channels outside the blocks) a genome has one of them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from esr_ray.space.spec import Arch, frame_name, split_frame


@dataclass(frozen=True)
class Genome:
    """`active[i]` says whether node i is part of the network, `blocks[i]` is the name of its block. `frame` are the
    channels outside the blocks; None in a space that has but one number of them."""

    active: tuple[bool, ...]
    blocks: tuple[str, ...]
    frame: int | None = None

    @property
    def num_active(self) -> int:
        return sum(self.active)


def decode(genome: Genome) -> Arch:
    """Names of the frame, if there are several, and of the active blocks in order: two genomes that decode alike are
    the same network."""
    blocks = tuple(compress(genome.blocks, genome.active))
    return blocks if genome.frame is None else (frame_name(genome.frame), *blocks)


def genome_to_json(genome: Genome) -> list[list[int | str]]:
    """`[[1, "S_4_8_16"], [0, "G_8_16_24"], ...]`, as the journal keeps it; a frame before them, as `[1, "G0_16"]`."""
    nodes: list[list[int | str]] = [[int(on), name] for on, name in zip(genome.active, genome.blocks, strict=True)]
    return nodes if genome.frame is None else [[1, frame_name(genome.frame)], *nodes]


def genome_from_json(nodes: Sequence[Sequence[int | str]]) -> Genome:
    """The inverse of `genome_to_json`."""
    frame, blocks = split_frame([str(node[1]) for node in nodes])
    return Genome(tuple(bool(node[0]) for node in nodes[len(nodes) - len(blocks) :]), blocks, frame)
