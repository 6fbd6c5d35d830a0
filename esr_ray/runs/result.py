"""The closing line and `result.json`: what the run found, in the reference's words and with units."""

from __future__ import annotations

import json
from typing import Any

from esr_ray.evolution.population import Individual
from esr_ray.runs.history import History


def closing_line(best: Individual, history: History) -> str:
    """`Best values: [...]` as users of the reference know it, with true figures, and the units after it."""
    candidate = best.candidate
    performance = {
        "flops": round(candidate.mult_adds / 1e9, 3),
        "params": round(candidate.params / 1e3, 3),
        "PSNR": best.fitness,
    }
    values = [{"worker_id": candidate.id, "performance": performance}]
    return (
        f"Best values: {values}  "
        "(flops: G mult-adds for a 1280x720 output; params: thousands; "
        "PSNR: dB on Y, validation pictures, after fast training)"
    )


def report_rows(history: History) -> list[tuple[str, str, dict[str, float], dict[str, float]]]:
    """(set, picture or "mean", network's figures, bicubic's figures) of the trained network; empty without one."""
    rows = []
    for part in (history.reported or {}).get("sets", []):
        rows += [(part["name"], one["name"], one["network"], one["bicubic"]) for one in part["pictures"]]
        rows.append((part["name"], "mean", part["network"], part["bicubic"]))
    return rows


def result_json(best: Individual, history: History) -> str:
    """The best network with its figures, and the full training's report, as JSON."""
    candidate = best.candidate
    content: dict[str, Any] = {
        "best": {
            "id": candidate.id,
            "arch": list(candidate.arch),
            "params": candidate.params,
            "mult_adds_1280x720": candidate.mult_adds,
            "fitness_psnr_y": best.fitness,
            "generation": candidate.generation,
            "parents": list(candidate.parents),
            "operator": candidate.operator,
        }
    }
    # A run that went further without training its new winner has the report of an older one.
    if history.trained is not None and history.trained["arch"] == list(candidate.arch):
        content["full_training"] = {key: history.trained[key] for key in ("checkpoint", "seconds")}
        content["full_training"]["sets"] = (history.reported or {}).get("sets", [])
    return json.dumps(content, indent=2) + "\n"
