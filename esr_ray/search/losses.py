"""What becomes of a training that was lost: it is tried again, or a control decides whether it has failed."""

from __future__ import annotations

from collections import Counter

from esr_ray.search.backend import Backend, BackendEvent, Began, Done
from esr_ray.search.blame import CONTROLS, Blame, Device, control
from esr_ray.search.events import Failed, Lost, Record


class Losses:
    """Of one process of a search: nothing of it is kept, since devices may have been mended meanwhile."""

    def __init__(self, record: Record, backend: Backend, max_attempts: int) -> None:
        self.record, self.backend, self.blame = record, backend, Blame(max_attempts)
        self._where: dict[int, Device] = {}
        # Controls that are under way, by id, and the losses that the one of a device is to explain.
        self._controls: dict[int, Device] = {}
        self._unexplained: dict[Device, list[Lost]] = {}
        self._asked = 0
        self._lost_controls: Counter[Device] = Counter()

    def began(self, event: Began) -> None:
        """A job has begun on a device."""
        self._where[event.job] = event.device, event.node

    def trained(self, event: Done) -> None:
        """A device has trained a candidate."""
        self.blame.trained((event.device, event.node))

    def lost(self, event: Lost) -> None:
        """A job was lost, and that is recorded. Try it again, or have a control trained where it was."""
        device = self._where[event.job]
        if self.blame.lost(event.job, device) == "again":
            self.backend.submit([self.record.state.jobs[event.job]])
            return
        waiting = self._unexplained.setdefault(device, [])
        waiting.append(event)
        if len(waiting) == 1:
            self._ask(device)

    def control(self, event: BackendEvent) -> None:
        """Something became of a control. Raises UserError where no device is left."""
        if isinstance(event, Began) or event.job not in self._controls:
            return
        device = self._controls.pop(event.job)
        if isinstance(event, Lost):
            self._lost_controls[device] += 1
            if self._lost_controls[device] < CONTROLS:
                self._ask(device)
                return
            self.blame.gave_up(device)
        else:
            self.blame.trained(device)
        explained = self._unexplained.pop(device)
        for loss in explained:
            self._decide(loss)
        if self._lost_controls.pop(device, 0) >= CONTROLS:
            self.backend.give_up(*device, explained[-1].reason)

    def _decide(self, loss: Lost) -> None:
        if loss.job not in self.record.state.pending:
            # Nobody needs it any more.
            return
        if self.blame.is_to_blame(loss.job):
            times = f"lost {self.blame.losses(loss.job)} times (runtime.max_attempts is {self.blame.max_attempts})"
            self.record.append(Failed(loss.job, f"{times}, the last: {loss.reason}"))
        else:
            self.backend.submit([self.record.state.jobs[loss.job]])

    def _ask(self, device: Device) -> None:
        asked = control(self._asked)
        self._asked += 1
        self._controls[asked.id] = device
        self.backend.submit_on(asked, *device)
