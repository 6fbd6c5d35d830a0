"""What the parts of a search hand to each other: candidates, the jobs that train them, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from esr_ray.metrics import Quality
from esr_ray.space.genome import Genome
from esr_ray.space.spec import Arch
from esr_ray.training.result import NOT_MEASURED, DeviceCost

Purpose = Literal["birth", "promotion", "race"]
"""Why a job is asked for: the first training of a candidate, a longer one, or one more seed for a possible winner."""


@dataclass(frozen=True)
class Candidate:
    """A network that the search has proposed. `parents` are ids; mult-adds are those of a 1280x720 output."""

    id: int
    genome: Genome
    arch: Arch
    operator: str
    parents: tuple[int, ...]
    params: int
    mult_adds: int


@dataclass(frozen=True)
class Job:
    """One training that is asked for: a candidate, a length in steps, and the seed of its weights and crops.

    `batch` numbers the batches of a schedule with a barrier: what is chosen in one depends on the outcomes of those
    before it alone. Without a barrier it is 0.
    """

    id: int
    candidate: Candidate
    steps: int
    seed: int
    purpose: Purpose = "birth"
    batch: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with a quality (and what the network costs on its device), or failed with a reason.

    A job that was stopped because nobody needs its result any more has neither.
    """

    job: int
    quality: Quality | None = None
    cost: DeviceCost = NOT_MEASURED
    reason: str | None = None

    @property
    def failed(self) -> bool:
        return self.reason is not None
