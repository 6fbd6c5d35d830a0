"""New genomes from old: segment crossover and mutation of flags and blocks, before repair (paper, section 3.3).

Where there are several frames, which the paper has not, a child of two has that of the one whose nodes are replaced.
"""

from __future__ import annotations

import numpy as np

from esr_ray.space.genome import Genome
from esr_ray.space.sample import draw_frame
from esr_ray.space.space import Space


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
        return Genome(tuple(active), tuple(blocks), receiver.frame)

    return spliced(one, other), spliced(other, one)


def mutate(genome: Genome, space: Space, rate: float, rng: np.random.Generator) -> Genome:
    """Each flag flips with probability `rate`; then each active node's block is drawn anew with that probability, and
    so is the frame, if there are several."""
    flips = (rng.random(len(genome.active)) < rate).tolist()
    redraw = (rng.random(len(genome.blocks)) < rate).tolist()
    active = tuple(a != flip for a, flip in zip(genome.active, flips, strict=True))
    blocks = tuple(
        space.vocabulary.draw(rng) if a and r else name
        for a, r, name in zip(active, redraw, genome.blocks, strict=True)
    )
    frame = genome.frame
    if frame is not None and rng.random() < rate:
        frame = draw_frame(space, rng)
    return Genome(active, blocks, frame)
