"""The genome: `node_num` nodes of an on/off flag and a block each; the active ones decode to the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from esr_ray.space.spec import Arch


@dataclass(frozen=True)
class Genome:
    """`active[i]` says whether node i is part of the network, `blocks[i]` is the name of its block."""

    active: tuple[bool, ...]
    blocks: tuple[str, ...]

    @property
    def num_active(self) -> int:
        return sum(self.active)


def decode(genome: Genome) -> Arch:
    """Names of the active blocks in order: two genomes that decode alike are the same network."""
    return tuple(name for active, name in zip(genome.active, genome.blocks, strict=True) if active)


def genome_to_json(genome: Genome) -> list[list[int | str]]:
    """`[[1, "S_4_8_16"], [0, "G_8_16_24"], ...]`, as the journal keeps it."""
    return [[int(active), name] for active, name in zip(genome.active, genome.blocks, strict=True)]


def genome_from_json(nodes: Sequence[Sequence[int | str]]) -> Genome:
    """The inverse of `genome_to_json`."""
    return Genome(tuple(bool(node[0]) for node in nodes), tuple(str(node[1]) for node in nodes))
