"""Journals of format 1, in which a candidate had one training and a generation: read as what they would be now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_OF_JOBS = ("started", "finished", "failed", "lost", "retry")
_NONE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of a line that is none of the format."""


def upgraded(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines, those of format 1 changed into format 2; duplicates, which were not trained, are left out.

    What is no line of format 1 stays as it is: no event of today is read from it, and that is told with its place.
    """
    try:
        steps = _steps(lines)
    except _NONE:
        yield from lines
        return
    trained_as: dict[int, int] = {}
    seed = 0
    for line in lines:
        event = line.get("event")
        if event == "run":
            seed = line.get("seed", 0)
        try:
            if line["v"] != 1 or event not in ("asked", *_OF_JOBS):
                changed = line
            elif event != "asked":
                changed = {**line, "job": line["id"], "candidate": line["id"]}
            else:
                same_as = line["same_as"]
                trained_as[line["id"]] = line["id"] if same_as is None else same_as
                if same_as is not None:
                    continue
                parents = [trained_as.get(one, one) for one in line["parents"]]
                changed = _asked({**line, "parents": parents}, steps, seed)
        except _NONE:
            changed = line
        yield changed


def _steps(lines: Sequence[dict[str, Any]]) -> int:
    """Of each training: they were all as long. What a loss curve ends with also knows lengths given in epochs."""
    curves = (line["curve"] for line in lines if line.get("event") == "finished" and line.get("curve"))
    last = next(curves, None)
    if last is not None:
        return int(last[-1][0])
    configs = (line["config"] for line in lines if line.get("event") == "run" and line.get("config"))
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
