"""A search space: its vocabulary, its frame and its constraints, as one plain value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from esr_ray.config.space import SpaceConfig
from esr_ray.errors import UserError
from esr_ray.space.counts import RGB, mult_adds_720p, network_cost, reference_params
from esr_ray.space.layers import Cost
from esr_ray.space.spec import MOST_CHANNELS, Arch, named_among, split_frame
from esr_ray.space.vocabulary import Vocabulary, make_vocabulary

LEAST_CHANNELS = 4
"""Of those outside the blocks."""


@dataclass(frozen=True)
class Space:
    """Where genomes are drawn from, and what a network must keep. Limits that are None do not bind."""

    vocabulary: Vocabulary
    node_num: int
    min_active: int
    base_channels: tuple[int, ...]
    """Frames: channels outside the blocks (G0). Of several, each genome has one, and its network names it."""
    scale: int
    ends: tuple[int, int]
    """Channels of the pictures that go in and come out."""
    min_params: int
    max_params: int | None
    max_mult_adds: int | None
    reference_counting: bool

    def cost(self, arch: Sequence[str]) -> Cost:
        """True parameters and mult-adds for each LR pixel."""
        frame, blocks = self.parts(arch)
        return network_cost(blocks, frame, self.scale, self.ends)

    def parts(self, arch: Sequence[str]) -> tuple[int, Sequence[str]]:
        """The channels outside the blocks of a network of this space, and its blocks."""
        if len(self.base_channels) == 1:
            return self.base_channels[0], arch
        frame, blocks = split_frame(arch)
        return self.base_channels[0] if frame is None else frame, blocks

    def violation(self, arch: Sequence[str]) -> float:
        """How far a network is outside the budget, relative to the limits; 0 within it. Activity is not looked at."""
        cost = self.cost(arch)
        params = cost.params
        if self.reference_counting:
            frame, blocks = self.parts(arch)
            params = reference_params(blocks, frame)
        outside = 0.0
        if params < self.min_params:
            outside += (self.min_params - params) / self.min_params
        elif self.max_params is not None and params > self.max_params:
            outside += (params - self.max_params) / self.max_params
        if self.max_mult_adds is not None:
            mult_adds = mult_adds_720p(cost, self.scale)
            outside += max(0, mult_adds - self.max_mult_adds) / self.max_mult_adds
        return outside

    def allows(self, arch: Sequence[str]) -> bool:
        """Whether a network keeps every constraint."""
        return self.min_active <= len(self.parts(arch)[1]) <= self.node_num and self.violation(arch) == 0

    def holds(self, arch: Sequence[str]) -> bool:
        """Whether a network is one of this space, by the name that it has here: its frame, its blocks, and every
        constraint."""
        frame, blocks = split_frame(arch)
        named = frame in self.base_channels if len(self.base_channels) > 1 else frame is None
        return named and set(self.vocabulary.names).issuperset(blocks) and self.allows(arch)

    def own(self, arch: Sequence[str]) -> Arch | None:
        """A network of another space as this one names it; None if this one does not hold it."""
        named = named_among(arch, self.base_channels)
        return named if self.holds(named) else None


def make_space(config: SpaceConfig, scale: int, ends: tuple[int, int] = RGB) -> Space:
    """The space that a configuration describes, for pictures of so many channels going in and coming out.

    Raises UserError for keys that contradict each other and for illegal blocks. Whether the budget can be reached is
    asked of `esr_ray.space.reach`.
    """
    if config.min_active > config.node_num:
        raise UserError(f"space.min_active: {config.min_active} is more than node_num ({config.node_num})")
    if config.max_params is not None and (config.min_params or 0) > config.max_params:
        raise UserError(f"space.min_params: {config.min_params:,} is more than max_params ({config.max_params:,})")
    for base_channels in config.frames:
        check_frame(base_channels, scale, "space.base_channels")
    return Space(
        vocabulary=make_vocabulary(config),
        node_num=config.node_num,
        min_active=config.min_active,
        base_channels=config.frames,
        scale=scale,
        ends=ends,
        min_params=config.min_params or 0,
        max_params=config.max_params,
        max_mult_adds=config.max_mult_adds,
        reference_counting=config.budget_counting == "reference",
    )


def check_frame(base_channels: int, scale: int, where: str) -> None:
    """Raise UserError if networks that enlarge so many times cannot have so many channels outside their blocks."""
    if not LEAST_CHANNELS <= base_channels <= MOST_CHANNELS:
        raise UserError(f"{where}: {base_channels} must be from {LEAST_CHANNELS} to {MOST_CHANNELS:,}")
    if scale in (2, 3) and base_channels % 4:
        raise UserError(
            f"{where}: {base_channels} must be divisible by 4 for scale {scale}: the upsampler has 3/4 of it"
        )
