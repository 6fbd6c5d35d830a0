"""Whose fault it is that trainings are lost: the candidate's, or that of the device they were on.

A process that dies, or an error that its node may have caused, does not say. What else became of the device does: one
that trains others can train, and then it was the candidate; one that loses one candidate after the other cannot.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Device = tuple[str, str]
"""A device and its node, as `Began` names them."""
Verdict = Literal["again", "candidate", "device"]
IN_A_ROW = 3
"""So many candidates lost one after the other, with none trained in between, are laid to the device."""


@dataclass
class Blame:
    """What was lost where. `max_attempts` is how often a candidate is tried before it is to blame."""

    max_attempts: int
    _losses: Counter[int] = field(default_factory=Counter)
    _suspects: dict[Device, list[int]] = field(default_factory=dict)

    def losses(self, job: int) -> int:
        """How often a job was lost, without the times that were laid to a device."""
        return self._losses[job]

    def trained(self, device: Device) -> None:
        """A device has trained a candidate: it was not to blame for what it lost before."""
        self._suspects.pop(device, None)

    def lost(self, job: int, device: Device) -> Verdict:
        """A job was lost on a device: it is to be tried again, or the candidate or the device is to be given up.

        A candidate to which only its own losses speak has failed after `max_attempts`. If others were lost on the same
        device since it last trained one, the device is given up instead, and the losses there count for nobody.
        """
        suspects = self._suspects.setdefault(device, [])
        suspects.append(job)
        self._losses[job] += 1
        others = set(suspects) - {job}
        tired = self._losses[job] >= self.max_attempts
        if len(others) >= IN_A_ROW - 1 or (others and tired):
            self._losses.subtract(suspects)
            del self._suspects[device]
            return "device"
        if not tired:
            return "again"
        for known in self._suspects.values():
            known[:] = [one for one in known if one != job]
        return "candidate"
