"""What a journal says of a run: the state of its search, how its networks were trained, and how the run stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from esr_ray.runs.events import (
    Asked,
    Closed,
    Dropped,
    Event,
    Failed,
    Finished,
    Lost,
    Reported,
    Resumed,
    Retried,
    RunBegan,
    Started,
    TrainingBegan,
    TrainingEnded,
    Validated,
)
from esr_ray.search.events import fold
from esr_ray.search.state import State
from esr_ray.training.result import Seconds


@dataclass
class History:
    """The fold of a journal's events: `add` takes one more in.

    `starts` counts the attempts at each job, `under_way` are jobs of which an attempt has not ended, `seconds` says
    where the time of each finished job went. Full trainings are by the network's label; `validated` is PSNR by step, of
    the last training of a label.
    `restarts` counts how often the driver was restarted since the last result. `is_live` says that events happen now,
    and are not told again.
    """

    run: RunBegan | None = None
    closed: Closed | None = None
    state: State = field(default_factory=State)
    starts: dict[int, int] = field(default_factory=dict)
    under_way: set[int] = field(default_factory=set)
    seconds: dict[int, Seconds] = field(default_factory=dict)
    trained: dict[str, TrainingEnded] = field(default_factory=dict)
    reported: dict[str, Reported] = field(default_factory=dict)
    validated: dict[str, dict[int, float]] = field(default_factory=dict)
    restarts: int = 0
    is_live: bool = True

    def add(self, event: Event) -> None:
        """Take one event in. Raises ValueError where it cannot follow on those before."""
        self.state = fold(self.state, event)
        if isinstance(event, Finished | Failed | Validated | TrainingEnded | Reported):
            self.restarts = 0
        match event:
            case RunBegan():
                self.run = event
            case Resumed():
                self.closed = None
                self.restarts = self.restarts + 1 if event.restarted else 0
            case Closed():
                self.closed = event
            case Started(job=job):
                self.starts[job] = self.starts.get(job, 0) + 1
                self.under_way.add(job)
            case Finished(job=job):
                self.under_way.discard(job)
                self.seconds[job] = event.seconds
            case Failed(job=job) | Lost(job=job) | Dropped(job=job):
                self.under_way.discard(job)
            case TrainingEnded(network=label):
                self.trained[label] = event
                self.reported.pop(label, None)
            case TrainingBegan(network=label):
                kept = self.validated.get(label, {})
                self.validated[label] = {step: psnr for step, psnr in kept.items() if step <= event.step}
            case Validated(network=label):
                self.validated.setdefault(label, {})[event.step] = event.quality.fitness
            case Reported(network=label):
                self.reported[label] = event
            case Asked() | Retried():
                pass


def replay(events: Iterable[Event]) -> History:
    """The history that these events make. Raises ValueError where one cannot follow on those before."""
    history = History()
    for event in events:
        history.add(event)
    return history
