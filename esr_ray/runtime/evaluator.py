"""The evaluator actor: one process that owns one device and trains candidates on it, one job after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import psutil
import ray

from esr_ray.config.evolution import wants_device_cost, wants_memory
from esr_ray.errors import DiskFull, NodeTrouble, UserError
from esr_ray.networks.target import FORGETS_PEAK, begin_peak, device_name, memory_use
from esr_ray.runtime.node import this_node
from esr_ray.runtime.node_pictures import open_here
from esr_ray.runtime.pinning import pin_to_free_core
from esr_ray.runtime.remote_errors import in_a_line
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.blame import CONTROL
from esr_ray.search.job import Job
from esr_ray.tasks.make import network_spec
from esr_ray.tasks.user_files import load_files
from esr_ray.training.result import Trained

if TYPE_CHECKING:
    from esr_ray.training.device_cost import CostPlan


@dataclass(frozen=True)
class Ready:
    """An evaluator that can train: its device and node in words, its process, and what computes its networks."""

    device: str
    node: str
    pid: int
    kernels: str


@dataclass(frozen=True)
class Reply:
    """What a job came to: a result, or the reason it failed. `rss_mb` is memory now in use."""

    trained: Trained | None
    reason: str | None
    rss_mb: float


class Evaluator:
    """Becomes a Ray actor in `esr_ray.runtime.ray_backend`."""

    def __init__(self, setup: WorkerSetup) -> None:
        began = time.perf_counter()
        self.setup = setup
        # Before MindSpore is imported, if it has to be: it starts its threads then.
        core = pin_to_free_core() if setup.target == "CPU" else None
        self.device = device_name(setup.target, core)
        load_files(setup.files)
        if setup.target == "CPU" and wants_memory(setup.config.evolution) and begin_peak("CPU") is None:
            raise UserError(
                f"memory cannot be measured on {this_node()}: a process may not forget its peak there ({FORGETS_PEAK} "
                "cannot be written); search without it (evolution.objectives, evolution.max_memory_mb)"
            )
        self.pictures = open_here(setup)
        from esr_ray.training.kernels import choose_kernels

        self.kernels = choose_kernels(setup.config, setup.target)
        # Reported with the first candidate: nobody else pays for it.
        self._start_s = time.perf_counter() - began

    def ready(self) -> Ready:
        """Called once: the actor has started when this returns."""
        return Ready(self.device, this_node(), os.getpid(), self.kernels.reason)

    def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
        """Do one job. `references` holds one reference to those that were submitted with it, {id: job}.

        It is a list because Ray would resolve a reference given directly before the call.
        """
        from esr_ray.training.candidate import release_memory, train_candidate
        from esr_ray.training.loop import Diverged
        from esr_ray.training.schedule import of_length

        job: Job = ray.get(references[0])[job_id]
        config = self.setup.config
        trained, reason = None, None
        try:
            trained = train_candidate(
                network_spec(job.candidate.arch, config),
                of_length(config.fast_training, job.steps),
                self.pictures.train,
                self.pictures.validation,
                job.seed,
                make=self.kernels.make,
                cost=self._cost_plan(),
            )
            trained = replace(trained, seconds=replace(trained.seconds, start=self._start_s))
            self._start_s = 0.0
        except DiskFull as error:
            raise NodeTrouble(str(error)) from None
        except (Diverged, UserError) as error:
            reason = str(error)
        except MemoryError:
            raise
        except Exception as error:
            # What a network raises is its own failure, and the search goes on without it; unless this process, or its
            # node, can train no other one either: memory, the temporary folder or the device may be to blame.
            reason = in_a_line(error)
            if isinstance(error, OSError) or not self._trains():
                raise NodeTrouble(reason) from None
        if trained is None or trained.kernels == "plain":
            release_memory()
        return Reply(trained, reason, private_mb())

    def _trains(self) -> bool:
        """Whether a small network of known blocks can be trained here."""
        from esr_ray.training.candidate import train_candidate
        from esr_ray.training.schedule import of_length

        config = self.setup.config
        try:
            train_candidate(
                network_spec(CONTROL, config),
                of_length(config.fast_training, 1),
                self.pictures.train,
                self.pictures.validation[:1],
                0,
                make=self.kernels.make,
            )
        except MemoryError:
            raise
        except Exception:
            return False
        return True

    def _cost_plan(self) -> CostPlan | None:
        """What is measured of each network, if the search wants to know it."""
        from esr_ray.training.device_cost import CostPlan

        if not wants_device_cost(self.setup.config.evolution):
            return None
        target = self.setup.target
        return CostPlan(
            self.setup.config.evolution.latency_size, partial(begin_peak, target), lambda: memory_use(target)[1]
        )


def private_mb() -> float:
    """Resident memory of this process in MB, without what it shares: pages of the pictures are no growth of its own."""
    memory = psutil.Process().memory_info()
    return (memory.rss - memory.shared) / 2**20
