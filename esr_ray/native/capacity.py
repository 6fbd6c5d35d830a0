"""How much room the networks of a search space may need, so that one graph serves them all."""

from __future__ import annotations

from esr_ray.native.describe import describe
from esr_ray.native.library import Library
from esr_ray.networks.spec import NetworkSpec
from esr_ray.space.block import block_cost, parse_block
from esr_ray.space.counts import frame_cost
from esr_ray.space.space import Space

REFERENCE_MARGIN = 1.15
"""Parameters that a network may have beyond what the reference counts (of 400 networks, 8 % at most)."""


def most_params(space: Space) -> int | None:
    """Parameters that a network of the space has at most; None where only the vocabulary bounds them."""
    if space.max_params is None:
        return None
    return int(space.max_params * (REFERENCE_MARGIN if space.reference_counting else 1))


def most_workspace(space: Space, global_skip: str, batch: int, size: int, library: Library) -> int:
    """float32 numbers of workspace that no network of the space exceeds at LR (batch, 3, size, size).

    Workspace is a sum over blocks, and so are parameters. The bound is that of the problem "choose node_num blocks
    within max_params with the most workspace" by Lagrange's multiplier: for any price l >= 0 of a parameter,
    sum(w) <= l·max_params + node_num·max(w - l·p).
    """

    def workspace(*arch: str) -> int:
        spec = NetworkSpec(arch, space.base_channels, space.scale, global_skip)
        return library.sizes(describe(spec), batch, size, size).workspace

    blocks = [parse_block(name) for name in space.vocabulary.names if parse_block(name).letter in "SGC"]
    # A block before the one that is looked at, whose output no growth rate equals: it then has its entry.
    growths = {block.growth for block in blocks}
    before = f"S_1_1_{next(out for out in range(1, len(growths) + 2) if out not in growths)}"
    frame = workspace(before)
    most: dict[tuple[str, int, int], tuple[int, int]] = {}
    for block in blocks:
        key = (block.letter, block.convs, block.growth)
        # The largest OUT has the most workspace; the fewest parameters are those of one without entry.
        fewest = block_cost(block.name, block.growth).params + space.base_channels * block.out
        out, params = most.get(key, (0, fewest))
        most[key] = (max(out, block.out), min(params, fewest))
    costs = [
        (workspace(before, f"{letter}_{convs}_{growth}_{out}") - frame, params)
        for (letter, convs, growth), (out, params) in most.items()
    ]
    if not costs:
        return frame
    budget = most_params(space)
    prices = [0.0]
    if budget is not None:
        budget -= frame_cost(space.base_channels, space.scale).params
        prices += [needed / params for needed, params in costs]
    bounds = [
        price * (budget or 0) + space.node_num * max(0.0, *(needed - price * params for needed, params in costs))
        for price in prices
    ]
    return frame + int(min(bounds))
