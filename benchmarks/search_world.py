"""What a contender of benchmarks/search.py is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from search_rows import LENGTHS, Arch

from esr_ray.space.layers import Cost
from esr_ray.space.space import Space

LONGEST = LENGTHS[-1]
"""Length of training at which networks are compared in the end."""
IDLE = 20_000
"""Trainings asked for again, one after the other, after which a contender has no idea left."""


class Truth(Protocol):
    """Where the values of trainings come from: a `Surrogate`."""

    @property
    def space(self) -> Space: ...
    def observe(self, arch: Arch, length: int, seed: int) -> float: ...
    def seconds(self, arch: Arch, length: int) -> float: ...


class BudgetSpent(Exception):
    """There are not enough device seconds left for the training that was asked for."""


@dataclass
class World:
    """All that a contender may know: the space, exact costs, and trainings, which cost device seconds."""

    truth: Truth
    budget_s: float
    spent_s: float = 0.0

    @property
    def space(self) -> Space:
        return self.truth.space

    def cost(self, arch: Arch) -> Cost:
        """Parameters, and mult-adds for each LR pixel."""
        return self.space.cost(arch)

    def seconds(self, arch: Arch, length: int) -> float:
        """Device seconds that a training will cost."""
        return self.truth.seconds(arch, length)

    def observe(self, arch: Arch, length: int, seed: int) -> float:
        """PSNR-Y in dB of one training. Raises BudgetSpent where it would not end in time."""
        cost = self.seconds(arch, length)
        if self.spent_s + cost > self.budget_s:
            raise BudgetSpent
        self.spent_s += cost
        return self.truth.observe(arch, length, seed)


@dataclass(frozen=True)
class Named:
    """What a contender ends with: the network that its user would take, its front, and what it named on its way.

    `trail` has (device seconds spent, network named from then on), in order.
    """

    arch: Arch
    front: tuple[Arch, ...]
    trail: list[tuple[float, Arch]]


Contender = Callable[[World, float, int], Named]
"""(world, its budget in device seconds, seed) -> what it names."""


@dataclass
class Log:
    """Trainings of one contender, each network trained once for each length and seed; names the best observed.

    Longer trainings go before shorter ones: with a long one known, the best of the longest is named.
    """

    world: World
    seed: int
    values: dict[int, dict[Arch, float]] = field(default_factory=dict)
    trail: list[tuple[float, Arch]] = field(default_factory=list)
    idle: int = 0

    def observe(self, arch: Arch, length: int = 1) -> float:
        """PSNR-Y in dB; costs nothing where the same training has been done."""
        known = self.values.setdefault(length, {})
        if arch in known:
            self.idle += 1
            if self.idle > IDLE:
                raise BudgetSpent
            return known[arch]
        self.record(arch, self.world.observe(arch, length, self.seed), length)
        return known[arch]

    def record(self, arch: Arch, value: float, length: int = 1) -> None:
        """Keep what a training gave; where the network has a value already, the better one."""
        known = self.values.setdefault(length, {})
        known[arch] = max(value, known.get(arch, value))
        self.idle = 0
        best = self.best()
        if not self.trail or self.trail[-1][1] != best:
            self.trail.append((self.world.spent_s, best))

    def longest(self) -> dict[Arch, float]:
        """Values of the longest trainings that there are."""
        return self.values[max(length for length, known in self.values.items() if known)]

    def best(self) -> Arch:
        """The best observed, by the longest trainings."""
        known = self.longest()
        return max(known, key=known.__getitem__)

    def named(self) -> Named:
        """What the contender ends with; its front is that of observed PSNR against mult-adds."""
        known = self.longest()
        costs = {arch: self.world.cost(arch).mult_adds for arch in known}
        return Named(self.best(), tuple(front(known, known.__getitem__, costs.__getitem__)), self.trail)


@contextmanager
def until_spent() -> Iterator[None]:
    """Ends quietly when the budget is spent."""
    try:
        yield
    except BudgetSpent:
        return


def front(archs: Iterable[Arch], value: Callable[[Arch], float], cost: Callable[[Arch], float]) -> list[Arch]:
    """Networks that no other beats in value (more is better) without costing more; cheapest first."""
    kept: list[Arch] = []
    for arch in sorted(archs, key=lambda one: (cost(one), -value(one))):
        if not kept or value(arch) > value(kept[-1]):
            kept.append(arch)
    return kept


def hypervolume(points: Sequence[tuple[float, float]], least: float, most: float) -> float:
    """Area that (value, cost) points dominate within value >= `least` and cost <= `most`."""
    area, reached = 0.0, least
    for value, cost in sorted(points, key=lambda point: (point[1], -point[0])):
        if value > reached and cost < most:
            area += (value - reached) * (most - cost)
            reached = value
    return area
