"""Journals of format 1, in which a candidate had one training and a generation: read as what they would be now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_OF_JOBS = ("started", "finished", "failed", "lost", "retry")


def upgraded(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines, those of format 1 changed into format 2; duplicates, which were not trained, are left out."""
    steps = _steps(lines)
    trained_as: dict[int, int] = {}
    seed = 0
    for line in lines:
        if line["event"] == "run":
            seed = line["seed"]
        if line.get("v") != 1 or line["event"] not in ("asked", *_OF_JOBS):
            yield line
        elif line["event"] == "asked":
            if line["same_as"] is None:
                parents = [trained_as.get(one, one) for one in line["parents"]]
                yield _asked({**line, "parents": parents}, steps, seed)
            trained_as[line["id"]] = line["id"] if line["same_as"] is None else line["same_as"]
        else:
            yield {**line, "job": line["id"], "candidate": line["id"]}


def _steps(lines: Sequence[dict[str, Any]]) -> int:
    """Of each training: they were all as long. What a loss curve ends with also knows lengths given in epochs."""
    curves = (line["curve"] for line in lines if line["event"] == "finished" and line.get("curve"))
    last = next(curves, None)
    if last is not None:
        return int(last[-1][0])
    configs = (line["config"] for line in lines if line["event"] == "run" and line.get("config"))
    config: dict[str, Any] = next(configs, {})
    return int(config.get("fast_training", {}).get("steps", 1))


def _asked(line: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
    of_birth = ("genome", "arch", "operator", "parents", "params", "mult_adds")
    return {
        "event": "asked",
        "job": line["id"],
        "candidate": line["id"],
        "steps": steps,
        "seed": seed,
        "purpose": "birth",
        "batch": line["generation"],
        "birth": {key: line[key] for key in of_birth},
    }
