"""Random genomes within the budget, and the bounded repair of genomes that are outside it.

The reference redraws until a genome happens to fit, without a limit (up to 1,153 passes seen). Here a repair only
takes changes that bring the genome nearer, ends after a fixed number of them, and says when it did not succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from esr_ray.errors import UserError
from esr_ray.space.genome import Genome, decode
from esr_ray.space.reach import draw_within
from esr_ray.space.space import Space
from esr_ray.space.spec import split_frame

PROPOSALS = 200
"""Random changes that a repair tries."""
SWEEPS = 4
"""After them: times that it looks at every change of one block."""
DRAWS = 50
"""Genomes that `sample_genome` starts from before it gives up."""


def sample_genome(space: Space, rng: np.random.Generator) -> Genome:
    """A random genome that keeps every constraint: flags 50/50, blocks by probability, any frame, repaired.

    Where repair does not succeed (a narrow budget), one is built from a reachable parameter count. Raises UserError
    where no genome is found: a limit of mult-adds that the parameter budget does not leave room for.
    """
    for attempt in range(DRAWS):
        if attempt % 2 == 0:
            flags = tuple(bool(flag) for flag in rng.random(space.node_num) < 0.5)
            genome = Genome(flags, tuple(space.vocabulary.draw(rng) for _ in range(space.node_num)))
            genome = replace(genome, frame=draw_frame(space, rng))
        else:
            genome = draw_within(space, rng)
        repaired = repair(genome, space, rng)
        if repaired is not None:
            return repaired
    raise UserError(
        f"space: found no network within the budget in {DRAWS} tries: max_mult_adds ({space.max_mult_adds}) leaves "
        "no room beside min_params and min_active; raise max_mult_adds or lower the others"
    )


def genome_of(arch: Sequence[str], space: Space, rng: np.random.Generator) -> Genome:
    """A genome that decodes to the network: its blocks in order at random nodes, the other nodes off.

    Raises ValueError where the space has fewer nodes.
    """
    frame, names = split_frame(arch)
    if len(names) > space.node_num:
        raise ValueError(f"{len(names)} blocks do not fit into {space.node_num} nodes")
    places = sorted(int(place) for place in rng.choice(space.node_num, size=len(names), replace=False))
    blocks = [space.vocabulary.draw(rng) for _ in range(space.node_num)]
    for place, name in zip(places, names, strict=True):
        blocks[place] = name
    return Genome(tuple(node in places for node in range(space.node_num)), tuple(blocks), frame)


def fitted_genome(genome: Genome, space: Space, rng: np.random.Generator) -> Genome | None:
    """A genome of the space that decodes to the same network: the genome itself where it is one; None where the space
    does not hold the network."""
    arch = decode(genome)
    if not space.holds(arch):
        return None
    if len(genome.blocks) == space.node_num and set(space.vocabulary.names).issuperset(genome.blocks):
        return genome
    return genome_of(arch, space, rng)


def repair(genome: Genome, space: Space, rng: np.random.Generator) -> Genome | None:
    """The genome, changed as little as random steps towards the budget change it; None where that did not succeed.

    Inactive nodes are switched on until `min_active` are; then blocks or the frame are drawn anew or nodes switched
    where that lessens the violation. Ends after PROPOSALS random and SWEEPS systematic changes.
    """
    genome = _enough_active(genome, space, rng)
    state = _State(genome, space.violation(decode(genome)))
    for _ in range(PROPOSALS):
        if state.violation == 0:
            return state.genome
        state = _better(state, _proposal(state.genome, space, rng), space)
    for _ in range(SWEEPS):
        if state.violation == 0:
            return state.genome
        state = _best_substitution(state, space, rng)
    return state.genome if state.violation == 0 else None


def draw_frame(space: Space, rng: np.random.Generator) -> int | None:
    """One of the space's numbers of channels outside the blocks, all alike; None where there is but one."""
    several = len(space.base_channels) > 1
    return space.base_channels[int(rng.integers(len(space.base_channels)))] if several else None


@dataclass(frozen=True)
class _State:
    genome: Genome
    violation: float


def _enough_active(genome: Genome, space: Space, rng: np.random.Generator) -> Genome:
    missing = max(1, space.min_active) - genome.num_active
    if missing <= 0:
        return genome
    off = [node for node, active in enumerate(genome.active) if not active]
    chosen = {int(node) for node in rng.choice(off, size=missing, replace=False)}
    return replace(genome, active=tuple(a or node in chosen for node, a in enumerate(genome.active)))


def _proposal(genome: Genome, space: Space, rng: np.random.Generator) -> Genome:
    several = len(space.base_channels) > 1
    node = int(rng.integers(space.node_num + several))
    if node == space.node_num:
        return replace(genome, frame=draw_frame(space, rng))
    if not genome.active[node] or (rng.random() < 0.25 and genome.num_active > max(1, space.min_active)):
        active = tuple(not a if n == node else a for n, a in enumerate(genome.active))
        return replace(genome, active=active)
    return _with_block(genome, node, space.vocabulary.draw(rng))


def _with_block(genome: Genome, node: int, name: str) -> Genome:
    return replace(genome, blocks=(*genome.blocks[:node], name, *genome.blocks[node + 1 :]))


def _better(state: _State, changed: Genome, space: Space) -> _State:
    violation = space.violation(decode(changed))
    return _State(changed, violation) if violation < state.violation else state


def _best_substitution(state: _State, space: Space, rng: np.random.Generator) -> _State:
    """The best change of one active node's block; in random order, so that ties are not always the first node's."""
    nodes = [node for node in range(space.node_num) if state.genome.active[node]]
    for node in rng.permutation(nodes):
        for index in rng.permutation(len(space.vocabulary.names)):
            state = _better(state, _with_block(state.genome, int(node), space.vocabulary.names[index]), space)
            if state.violation == 0:
                return state
    return state
