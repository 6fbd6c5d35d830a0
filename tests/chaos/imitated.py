"""The search command with evaluators that make their results up in a second, for all else to be as it is.

`python imitated.py DEVICES TROUBLE [arguments of the search command]`: so many NPUs are imitated, and as long as there
is a file TROUBLE, every evaluator fails as if its temporary folder were full.
"""

import errno
import hashlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import ray

from esr_ray.metrics import Quality
from esr_ray.networks.target import VISIBLE
from esr_ray.runs.artifacts import Artifacts
from esr_ray.runtime import client, driver, ray_backend
from esr_ray.runtime.evaluator import Evaluator, Ready, Reply
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.job import Job
from esr_ray.training.result import Seconds, Trained

SECONDS = 1.0
"""How long a training of one step is made to take; each candidate takes half of that to one and a half."""
DEADLINE_S = 6.0
TROUBLE = "ESR_RAY_TEST_TROUBLE"


def made_up(job: Job) -> Trained:
    """The result of a job, whoever trains it: a longer training is better, and each seed has its own luck."""

    def number(*parts: object) -> float:
        return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") / 2**64

    psnr = 25 + 10 * number(job.candidate.arch) + 0.3 * number(job.candidate.arch, job.steps, job.seed)
    return Trained(
        Quality(psnr, psnr - 2, 0.9),
        job.candidate.params,
        Seconds(0.0, SECONDS * (0.5 + number(job.id)), 0.0),
        ((1, 0.5),),
        f"weights of {job.candidate.id} after {job.steps}, seed {job.seed}".encode(),
        np.zeros((16, 16, 3), np.uint8),
    )


class ImitatedEvaluator(Evaluator):
    """Takes its time, and no more."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup

    def ready(self) -> Ready:
        return Ready(f"NPU {os.environ[VISIBLE]}", "here", os.getpid(), "nothing")

    def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
        job: Job = ray.get(references[0])[job_id]
        trained = made_up(job)
        time.sleep(trained.seconds.steps)
        if Path(os.environ[TROUBLE]).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Reply(trained, None, 0.0)


class ImitatedDriver(driver.Driver):
    """The driver, with these evaluators."""

    @ray.method(max_task_retries=-1)
    def run(self) -> driver.Outcome:
        # In the driver's own process, which has imported this file.
        driver.RayBackend = partial(ray_backend.RayBackend, evaluator=ImitatedEvaluator)  # type: ignore[misc,assignment]
        ray_backend.LEAST_DEADLINE_S = DEADLINE_S
        # All take about as long: a frozen one need not hold up its batch for ten times the slowest.
        ray_backend.DEADLINE_FACTOR = 3
        ray_backend.LOOK_S = 1.0
        # Their pictures are none.
        Artifacts.compared = lambda *given: None  # type: ignore[method-assign,assignment]
        return super().run()


def main(devices: int, trouble: str, arguments: list[str]) -> int:
    from esr_ray.search.__main__ import main as search

    os.environ[TROUBLE] = trouble
    client.Driver = ImitatedDriver  # type: ignore[misc]
    # It misses the library of the NPUs that are not there.
    logging.getLogger("ray._private.accelerators.npu").disabled = True
    ray.init = partial(ray.init, resources={"NPU": devices})
    return search(arguments)


if __name__ == "__main__":
    # Under the name by which Ray's workers import it.
    import imitated

    sys.exit(imitated.main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
