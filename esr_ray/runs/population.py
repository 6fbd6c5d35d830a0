"""`population.jsonl` and `front.json`, made from the record for people: what became of each candidate, and the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from esr_ray.durable import write_atomically
from esr_ray.plain_json import to_plain_json
from esr_ray.runs.events import Event, Failed, Finished, Notice
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.history import History
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.front import front_rows, shown_view
from esr_ray.search.job import Candidate
from esr_ray.search.state import State
from esr_ray.space.genome import genome_to_json

EVERY_S = 15.0
"""How often the files are written while the search runs; once more at its end."""
SHARE = 0.02
"""Of the driver's time at most: with tens of thousands of candidates to write takes seconds."""


class PopulationFiles:
    """A view that writes both files now and then."""

    def __init__(self, folder: RunFolder, algorithm: Algorithm, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.algorithm, self.clock = folder, algorithm, clock
        self._due = clock() + EVERY_S

    def see(self, event: Event | Notice, history: History) -> None:
        if isinstance(event, Finished | Failed) and self.clock() > self._due:
            self.write(history)

    def write(self, history: History) -> None:
        """Write both files as the history has it."""
        began = self.clock()
        write_atomically(self.folder.population, population_lines(history))
        write_atomically(self.folder.front, front_json(self.algorithm, history.state).encode())
        ended = self.clock()
        self._due = ended + max(EVERY_S, (ended - began) / SHARE)


def population_lines(history: History) -> bytes:
    """A line of JSON for each candidate, by id, with its trainings."""
    lines = (to_plain_json(_individual(history, one)) for one in history.state.candidates.values())
    return "".join(f"{line}\n" for line in lines).encode()


def front_json(algorithm: Algorithm, state: State) -> str:
    """The networks of the front, the best in PSNR first; PSNR in dB on Y, mult-adds of a 1280x720 output."""
    found = map(asdict, front_rows(algorithm, state))
    rows = [{key: value for key, value in row.items() if value not in (None, ())} for row in found]
    return (
        to_plain_json(
            {"objectives": [one.name for one in shown_view(algorithm, state).objectives], "front": rows}, indent=2
        )
        + "\n"
    )


def _individual(history: History, candidate: Candidate) -> dict[str, Any]:
    state = history.state
    trainings = [_training(history, job) for job in state.jobs_of[candidate.id]]
    ended = [one["state"] for one in trainings]
    return {
        "id": candidate.id,
        "arch": list(candidate.arch),
        "genome": genome_to_json(candidate.genome),
        "operator": candidate.operator,
        "parents": list(candidate.parents),
        "params": candidate.params,
        "mult_adds": candidate.mult_adds,
        "state": "finished" if "finished" in ended else ended[-1],
        "trainings": trainings,
    }


def _training(history: History, job_id: int) -> dict[str, Any]:
    job = history.state.jobs[job_id]
    about = {"job": job_id, "steps": job.steps, "seed": job.seed, "purpose": job.purpose}
    outcome = history.state.outcomes.get(job_id)
    if outcome is None:
        return {**about, "state": "asked"}
    if outcome.quality is None:
        return {**about, "state": "failed" if outcome.failed else "stopped", "reason": outcome.reason}
    return {**about, "state": "finished", **asdict(outcome.quality), "seconds": asdict(history.seconds[job_id])}
