"""New genomes from old: segment crossover and mutation of flags and blocks, before repair (paper, section 3.3)."""

from __future__ import annotations

import numpy as np

from esr_ray.space.genome import Genome
from esr_ray.space.vocabulary import Vocabulary


def segment_bounds(node_num: int) -> tuple[int, int]:
    """Least and greatest length of the segment that crossover swaps: 4 to node_num/2 - 1, less in short genomes."""
    longest = max(1, node_num // 2 - 1)
    return min(4, longest), longest


def crossover(one: Genome, other: Genome, rng: np.random.Generator) -> tuple[Genome, Genome]:
    """Swap one segment of nodes, flags and blocks, between two genomes."""
    node_num = len(one.active)
    shortest, longest = segment_bounds(node_num)
    length = int(rng.integers(shortest, longest + 1))
    start = int(rng.integers(node_num - length + 1))
    segment = slice(start, start + length)

    def spliced(receiver: Genome, giver: Genome) -> Genome:
        active, blocks = list(receiver.active), list(receiver.blocks)
        active[segment], blocks[segment] = giver.active[segment], giver.blocks[segment]
        return Genome(tuple(active), tuple(blocks))

    return spliced(one, other), spliced(other, one)


def mutate(genome: Genome, vocabulary: Vocabulary, rate: float, rng: np.random.Generator) -> Genome:
    """Each flag flips with probability `rate`; then each active node's block is drawn anew with that probability."""
    active = tuple(bool(a ^ f) for a, f in zip(genome.active, rng.random(len(genome.active)) < rate, strict=True))
    redraw = rng.random(len(genome.blocks)) < rate
    blocks = tuple(
        vocabulary.draw(rng) if a and r else name for a, r, name in zip(active, redraw, genome.blocks, strict=True)
    )
    return Genome(active, blocks)
