"""What a run keeps beside its journal: weights of its best candidates, comparison pictures, unfinished trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from esr_ray.data.crops import PicturePair
from esr_ray.durable import remove_file, write_atomically
from esr_ray.runs.events import Compared
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.pictures import comparison_picture, to_png
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.backend import Done
from esr_ray.search.state import State
from esr_ray.tasks.task import Task

PRUNE_AFTER = 32
"""So many results may add their weights before those that are not among the best are deleted."""


class Artifacts:
    """The files of one run. Raises UserError on a full disk."""

    def __init__(self, folder: RunFolder, task: Task) -> None:
        self.folder, self.task = folder, task
        self.sample: PicturePair | None = None
        self._added = 0

    def keep(self, done: Done, algorithm: Algorithm, state: State, best: int) -> Compared | None:
        """Keep the weights of a job that ended, and a picture of it if it is the best so far, of its length or longer.

        Now and then weights of candidates that are not among the `best` are deleted.
        """
        job = state.jobs[done.job]
        self._added += 1
        if self._added % PRUNE_AFTER == 0:
            self.prune(algorithm, state, best)
        write_atomically(self.folder.candidate_checkpoint(job.candidate.id), done.trained.weights)
        if done.trained.picture is None or not _is_best(done, state):
            return None
        compared = self.compared(done.trained.picture, done.job)
        if compared is not None:
            write_atomically(self.strip(job.candidate.id), to_png(compared.picture))
        return compared

    def compared(self, sr: np.ndarray, step: int, network: str | None = None) -> Compared | None:
        """Input, baseline, the network's output `sr` and the original of the first validation picture, side by side."""
        if self.sample is None:
            return None
        return Compared(comparison_picture(self.sample, sr, self.task), step, network)

    def prune(self, algorithm: Algorithm, state: State, best: int) -> None:
        """Delete the weights of all but the `best` candidates, the front and the winner: the disk must not fill."""
        view, verdict = algorithm.view(state), algorithm.verdict(state)
        ids = {one.id for one in view.best(best)} | set(view.front)
        if verdict is not None:
            ids.add(verdict.winner.candidate.id)
        kept = {self.folder.candidate_checkpoint(one) for one in ids}
        for path in self.folder.checkpoints.glob("candidate_*.ckpt"):
            if path not in kept:
                remove_file(path)

    def strip(self, candidate_id: int) -> Path:
        """The comparison picture of a candidate."""
        return self.folder.pictures / f"best_{candidate_id:06d}.png"

    def keep_state(self, label: str, content: bytes) -> None:
        """What an unfinished full training goes on from. On a full disk the one before is still there."""
        write_atomically(self.folder.state(label), content)


def _is_best(done: Done, state: State) -> bool:
    steps, psnr = state.jobs[done.job].steps, done.trained.quality.fitness
    before = (
        outcome.quality.fitness
        for job, outcome in state.outcomes.items()
        if outcome.quality is not None and state.jobs[job].steps >= steps
    )
    return all(one < psnr for one in before)
