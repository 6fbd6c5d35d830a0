"""Whose fault it is that trainings are lost: the candidate's, or that of the device they were on.

A process that dies, or an error that its node may have caused, does not say. A control does: a small known network,
trained on the same device. A device that cannot train it is given up; one that can was not to blame.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from esr_ray.search.job import Candidate, Job
from esr_ray.space.genome import Genome

Device = tuple[str, str]
"""A device and its node, as `Began` names them."""
Verdict = Literal["again", "control"]
SUSPECTS = 3
"""So many candidates lost on a device, with none trained in between, make one ask whether it can train at all."""
CONTROLS = 2
"""A control may die by chance, too: so many of them, one after the other, do not."""
CONTROL = ("S_2_8_8",)
"""The network that any device trains which trains any."""


def control(number: int) -> Job:
    """A training that shows whether a device can train; its id, -1 and less, is no job's of the search."""
    genome = Genome((True,), CONTROL)
    return Job(-1 - number, Candidate(-1, genome, CONTROL, "random", (), 0, 0), 1, 0, "birth")


def is_control(job: int) -> bool:
    """Whether an id is that of a control."""
    return job < 0


@dataclass
class Blame:
    """What was lost where. `max_attempts` is how often a candidate is tried before it is to blame.

    What all devices suffer for a moment, a full temporary folder say, may cost a candidate its last attempts, and be
    gone when the control is trained. So there is one attempt more after that; where nothing is tried again (1), none.
    """

    max_attempts: int
    _losses: Counter[int] = field(default_factory=Counter)
    _suspects: dict[Device, list[int]] = field(default_factory=dict)

    def losses(self, job: int) -> int:
        """How often a job was lost, without the times that were laid to a device."""
        return self._losses[job]

    def is_tired(self, job: int) -> bool:
        """Whether a job has had all its attempts."""
        return self._losses[job] >= self.max_attempts

    def is_to_blame(self, job: int) -> bool:
        """Whether a job that is tired, and whose control was trained, has failed."""
        return self._losses[job] >= self.max_attempts + (self.max_attempts > 1)

    def trained(self, device: Device) -> None:
        """A device has trained something: it was not to blame for what it lost before."""
        self._suspects.pop(device, None)

    def lost(self, job: int, device: Device) -> Verdict:
        """A job was lost on a device: it is to be tried again, or first a control is to be trained there."""
        suspects = self._suspects.setdefault(device, [])
        suspects.append(job)
        self._losses[job] += 1
        return "control" if self.is_tired(job) or len(set(suspects)) >= SUSPECTS else "again"

    def gave_up(self, device: Device) -> None:
        """A device cannot train: what it lost counts for no candidate."""
        self._losses.subtract(self._suspects.pop(device, []))
