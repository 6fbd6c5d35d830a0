"""The blocks that a search samples from, with their probabilities (method, "Grammar and vocabulary")."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import fsum

import numpy as np

from esr_ray.config.space import SpaceConfig
from esr_ray.errors import UserError
from esr_ray.space.block import parse_block


@dataclass(frozen=True)
class Vocabulary:
    """Block names (type outermost, OUT innermost), the probability of each, and their running sum."""

    names: tuple[str, ...]
    probabilities: tuple[float, ...]
    cumulative: tuple[float, ...]

    def draw(self, rng: np.random.Generator) -> str:
        """One block by probability."""
        index = bisect_right(self.cumulative, rng.random())
        return self.names[min(index, len(self.names) - 1)]


def make_vocabulary(space: SpaceConfig) -> Vocabulary:
    """All combinations of the lists; OUT from `out_channels` (>= G), or from growth_rate at or after G's index.

    Raises UserError for an illegal block (with the rule), an unknown letter, weights that do not fit their list, and
    lists with repeated entries.
    """
    types = _weighted("block_types", space.block_types, "type_prob", space.type_prob)
    convs = _weighted("conv_num", space.conv_num, "conv_prob", space.conv_prob)
    growths = _weighted("growth_rate", space.growth_rate, "growth_prob", space.growth_prob)
    outs = growths
    if space.out_channels is not None:
        outs = _weighted("out_channels", space.out_channels, "out_prob", space.out_prob)
    elif space.out_prob is not None:
        raise UserError("space.out_prob: goes with space.out_channels, which is not given")

    weights: dict[str, float] = {}
    for letter, type_weight in types:
        for conv_num, conv_weight in convs:
            for index, (growth, growth_weight) in enumerate(growths):
                allowed = outs[index:] if space.out_channels is None else [o for o in outs if int(o[0]) >= int(growth)]
                for out, out_weight in allowed:
                    name = f"{letter}_{conv_num}_{growth}_{out}"
                    weight = type_weight * conv_weight * growth_weight * out_weight
                    if weight > 0:
                        weights[_legal(name)] = weight
    # Rounded once: from Python 3.12 on, sum() rounds otherwise than before.
    total = fsum(weights.values())
    if not weights:
        raise UserError(
            "space: the lists give no block at all; every out_channels is below every growth_rate, or all weights are 0"
        )
    probabilities = tuple(weight / total for weight in weights.values())
    return Vocabulary(tuple(weights), probabilities, tuple(accumulate(probabilities)))


def _legal(name: str) -> str:
    try:
        parse_block(name)
    except UserError as error:
        raise UserError(f"space: {error}; change block_types, conv_num, growth_rate or out_channels") from None
    return name


def _weighted(
    key: str, values: Sequence[str | int], weight_key: str, weights: Sequence[float] | None
) -> list[tuple[str | int, float]]:
    if not values:
        raise UserError(f"space.{key}: is empty; give at least one value")
    if len(set(values)) != len(values):
        raise UserError(f"space.{key}: {list(values)} repeats a value; weigh values with {weight_key} instead")
    if weights is None:
        return [(value, 1.0) for value in values]
    if len(weights) != len(values):
        raise UserError(f"space.{weight_key}: has {len(weights)} weights for {len(values)} values of {key}")
    return list(zip(values, weights, strict=True))
