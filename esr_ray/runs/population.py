"""`population.jsonl`: a line for each individual, with what became of it; made from the journal, for people."""

from __future__ import annotations

import json
from typing import Any

from esr_ray.evolution.population import Candidate
from esr_ray.runs.history import History, candidate_event


def population_lines(history: History, first: int = 0) -> bytes:
    """The content of the file, by id, from id `first` on.

    A duplicate has the figures of the candidate that it is the same as.
    """
    # Ids are given in order, so those asked last are at the end.
    new = []
    for one in reversed(history.candidates.values()):
        if one.id < first:
            break
        new.append(one)
    lines = [json.dumps(_individual(history, one)) for one in sorted(new, key=lambda one: one.id)]
    return "".join(f"{line}\n" for line in lines).encode()


def _individual(history: History, candidate: Candidate) -> dict[str, Any]:
    content = candidate_event(candidate)
    trained_as = candidate.id if candidate.same_as is None else candidate.same_as
    outcomes = history.attempts(trained_as)
    if not outcomes:
        return {**content, "state": "asked"}
    last = outcomes[-1]
    if last.quality is None:
        return {**content, "state": "failed", "reason": last.reason}
    event = history.finished[trained_as]
    return {
        **content,
        "state": "finished",
        "psnr_y": last.quality.psnr_y,
        "psnr_rgb": last.quality.psnr_rgb,
        "ssim_y": last.quality.ssim_y,
        "seconds": event["seconds"],
    }
