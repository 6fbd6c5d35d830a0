"""The closing line and `result.json`: what the run found, in the reference's words and with units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from esr_ray.evolution.population import Individual
from esr_ray.runs.folder import FINAL
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


def report_rows(history: History, label: str = FINAL) -> list[tuple[str, str, dict[str, float], dict[str, float]]]:
    """(set, picture or "mean", network's figures, bicubic's figures) of a trained network; empty without one."""
    rows = []
    for part in history.reported.get(label, {}).get("sets", []):
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
    trained = history.trained.get(FINAL)
    if trained is not None and trained["arch"] == list(candidate.arch):
        content["full_training"] = _full_training(history, FINAL)
    return json.dumps(content, indent=2) + "\n"


def networks_json(costs: Mapping[str, tuple[int, int]], history: History) -> str:
    """As `result_json`, of networks that were given: parameters and mult-adds (1280x720) by label."""
    content = {
        label: {
            "arch": history.trained[label]["arch"],
            "params": params,
            "mult_adds_1280x720": mult_adds,
            "full_training": _full_training(history, label),
        }
        for label, (params, mult_adds) in costs.items()
    }
    return json.dumps({"networks": content}, indent=2) + "\n"


def networks_line(costs: Mapping[str, tuple[int, int]], history: History) -> str:
    """The closing line of a run that trained networks that were given."""
    values = [
        {
            "network": label,
            "performance": {
                "flops": round(mult_adds / 1e9, 3),
                "params": round(params / 1e3, 3),
                "PSNR": history.reported[label]["sets"][0]["network"]["psnr_y"],
            },
        }
        for label, (params, mult_adds) in costs.items()
    ]
    return (
        f"Values: {values}  (flops: G mult-adds for a 1280x720 output; params: thousands; "
        "PSNR: dB on Y, test pictures, after full training)"
    )


def _full_training(history: History, label: str) -> dict[str, Any]:
    part = {key: history.trained[label][key] for key in ("checkpoint", "seconds")}
    return part | {"sets": history.reported.get(label, {}).get("sets", [])}
