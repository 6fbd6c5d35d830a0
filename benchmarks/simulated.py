"""A driver that is made to believe in many devices: a whole search in virtual time, and how busy its devices were."""

from __future__ import annotations

import heapq
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import ROOT
from overhead import made_up, search

from esr_ray.config.load import load_config
from esr_ray.config.schema import Config
from esr_ray.randomness import generator
from esr_ray.runs.folder import RunFolder
from esr_ray.search.backend import BackendEvent, Began, Done
from esr_ray.search.job import Job

SHORT_S = 30.0
"""What a short training takes in the simulation, in the middle: the demo's order of magnitude, far below the paper's
25,000 steps."""
SPREAD = 4.0
"""By so much the longest takes longer than the shortest."""
LENGTHS = "[1, 3, 10]"


def demo_config(*overrides: str) -> Config:
    return load_config(str(ROOT / "configs" / "demo.yml"), list(overrides)).config


@dataclass(frozen=True)
class Busy:
    """Which part of their time devices were busy: between the first job and the last, and until the last birth began,
    after which there is only what results make due."""

    whole: float
    births: float


def busy(devices: int, spans: Sequence[tuple[float, float]], last_birth: float) -> Busy:
    """By the beginning and the end of each job."""
    first, last = min(began for began, _ in spans), max(ended for _, ended in spans)

    def part(until: float) -> float:
        used = sum(min(ended, until) - began for began, ended in spans if began < until)
        return used / (devices * (until - first)) if until > first else 1.0

    return Busy(part(last), part(last_birth))


def search_keys(schedule: str, individuals: int, generations: int, promotion: bool = True) -> list[str]:
    """A search, with promotion or of short trainings alone, whose budget is so many generations of short trainings."""
    return [
        "evolution.objectives=[psnr]",
        f"evolution.schedule={schedule}",
        f"evolution.num_individual={individuals}",
        f"evolution.num_generation={generations}",
        f"evolution.num_elitism={max(1, individuals // 20)}",
        f"evolution.promotion={{lengths: {LENGTHS}}}" if promotion else "evolution.promotion=null",
        "evolution.race=null",
    ]


class Simulated:
    """A backend of devices that only exist in virtual time; the driver's time, by `clock`, goes by in it too."""

    def __init__(self, devices: int, short_steps: int, clock: Callable[[], float]) -> None:
        self.devices, self.short_steps, self.clock = devices, short_steps, clock
        self.now = 0.0
        self.driver_s = 0.0
        self.spans: list[tuple[float, float]] = []
        self.last_birth = 0.0
        self._free = list(range(devices))
        self._queue: deque[Job] = deque()
        self._running: list[tuple[float, int, Job, int]] = []
        self._left = clock()

    @property
    def busy(self) -> Busy:
        return busy(self.devices, self.spans, self.last_birth)

    def free(self) -> int:
        return len(self._free) - len(self._queue)

    def submit(self, jobs: Sequence[Job]) -> None:
        self._queue.extend(jobs)

    def submit_on(self, job: Job, device: str, node: str) -> None:
        raise NotImplementedError("nothing is lost here")

    def next_event(self, timeout_s: float) -> BackendEvent | None:
        spent = self.clock() - self._left
        self.driver_s += spent
        self.now += spent
        event = self._next()
        self._left = self.clock()
        return event

    def stop(self, job: int) -> None:
        raise NotImplementedError("nothing is raced here")

    def give_up(self, device: str, node: str, reason: str) -> None:
        raise NotImplementedError("nothing is lost here")

    def cancel(self) -> None:
        self._queue.clear()

    def _next(self) -> BackendEvent:
        if self._queue and self._free:
            device, job = self._free.pop(), self._queue.popleft()
            drawn = float(generator(0, "seconds of a job", job.id).random())
            seconds = SHORT_S * SPREAD ** (drawn - 0.5) * job.steps / self.short_steps
            self.spans.append((self.now, self.now + seconds))
            if job.purpose == "birth":
                self.last_birth = self.now
            heapq.heappush(self._running, (self.now + seconds, job.id, job, device))
            return Began(job.id, f"device {device}", "simulated")
        ends, _, job, device = heapq.heappop(self._running)
        # In the past where the driver was late to look.
        self.now = max(self.now, ends)
        self._free.append(device)
        return Done(job.id, f"device {device}", "simulated", made_up(job))


def simulate(schedule: str, promotion: bool, devices: int, work: int, clock: Callable[[], float]) -> Simulated:
    """A search in generations of two candidates a device, whose budget is `work` short trainings a device."""
    individuals = max(4, 2 * devices)
    config = demo_config(*search_keys(schedule, individuals, max(1, work * devices // individuals), promotion))
    backend = Simulated(devices, config.fast_training.steps, clock)
    with tempfile.TemporaryDirectory() as name:
        search(config, backend, RunFolder(Path(name, "run")), devices)
    return backend
