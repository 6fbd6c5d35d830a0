"""What evolution works on: candidates that are to be trained, individuals whose fitness is known, and the state."""

from __future__ import annotations

from dataclasses import dataclass

from esr_ray.space.counts import Arch
from esr_ray.space.genome import Genome


@dataclass(frozen=True)
class Candidate:
    """A genome that `ask` wants the fitness of.

    `same_as` is the id of an earlier candidate that decodes to the same network: its fitness is taken over, nothing is
    trained. `parents` are ids; `operator` is random, crossover or mutation.
    """

    id: int
    generation: int
    genome: Genome
    arch: Arch
    operator: str
    parents: tuple[int, ...]
    params: int
    mult_adds: int
    same_as: int | None = None


@dataclass(frozen=True)
class Individual:
    """A candidate with its fitness in dB; None where it failed (it is never a parent)."""

    candidate: Candidate
    fitness: float | None

    @property
    def id(self) -> int:
        return self.candidate.id


@dataclass(frozen=True)
class State:
    """Evolution between two calls. `elite` is the archive of the best so far, best first; `trained` maps each network
    that was asked for to the id that it was first asked under."""

    generation: int = 0
    next_id: int = 0
    population: tuple[Individual, ...] = ()
    elite: tuple[Individual, ...] = ()
    trained: frozenset[tuple[Arch, int]] = frozenset()

    @property
    def best(self) -> Individual | None:
        return self.elite[0] if self.elite else None
