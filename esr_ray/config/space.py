"""The section `space`: which networks a search may find, and the budget that they must keep."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from esr_ray.config.section import Count, Section

Weights = tuple[Annotated[float, Field(ge=0)], ...]
MOST_FRAMES = 16
"""Choices of base_channels: what parameter counts can be reached is worked out for each."""


class SpaceConfig(Section):
    """The search space (method: ESRN, grammar and vocabulary) and the budget that its networks must keep."""

    node_num: Annotated[int, Field(ge=1, le=500)] = Field(20, description="nodes of a genome, active or not")
    min_active: Count = Field(16, description="least number of active nodes")
    base_channels: int | tuple[int, ...] = Field(
        32, description="G0, channels outside the blocks, 4 or more; of a list, the search chooses for each network"
    )
    global_skip: Literal["none", "nearest", "bicubic"] = Field(
        "nearest", description="enlarged input added to the output; none is the paper's network"
    )
    block_types: tuple[str, ...] = Field(("S", "G", "C"), description="letters of the block types")
    conv_num: tuple[Count, ...] = Field((4, 6, 8), description="numbers of 3x3 convolutions in a block")
    growth_rate: tuple[Count, ...] = Field((8, 16, 24, 32), description="growth rates of a block")
    out_channels: tuple[Count, ...] | None = Field(
        None, description="output channels of a block, OUT >= G; without it: growth_rate at or after G's index"
    )
    type_prob: Weights | None = Field(None, description="weight of each of block_types; without it all alike")
    conv_prob: Weights | None = Field(None, description="weight of each of conv_num")
    growth_prob: Weights | None = Field(None, description="weight of each of growth_rate, for G (and OUT)")
    out_prob: Weights | None = Field(None, description="weight of each of out_channels")
    min_params: Annotated[int, Field(ge=0)] | None = Field(None, description="least number of parameters")
    max_params: Count | None = Field(None, description="greatest number of parameters")
    max_mult_adds: Count | None = Field(None, description="greatest number of mult-adds for a 1280x720 output")
    budget_counting: Literal["exact", "reference"] = Field(
        "exact", description="what min_params and max_params count: all weights and biases, or as the reference does"
    )
    user_blocks: tuple[str, ...] = Field((), description="paths of files that each define a block type")

    @property
    def frames(self) -> tuple[int, ...]:
        """Choices of base_channels."""
        return (self.base_channels,) if isinstance(self.base_channels, int) else self.base_channels

    @model_validator(mode="after")
    def _frames_differ(self) -> SpaceConfig:
        count = len(self.frames)
        if not 1 <= count <= MOST_FRAMES or len(set(self.frames)) < count:
            raise ValueError(f"base_channels: must be 1 to {MOST_FRAMES} different numbers")
        return self
