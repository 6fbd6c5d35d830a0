"""The closing line and `result.json`: what the run found, in the reference's words and with units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from esr_ray.metrics import FIGURES
from esr_ray.plain_json import to_plain_json
from esr_ray.runs.folder import FINAL
from esr_ray.runs.history import History
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.front import FrontRow, front_rows, row_of, shown_view
from esr_ray.search.objectives import Objective
from esr_ray.search.race import Standing, Verdict
from esr_ray.search.state import State

RUNNERS_UP = 3
"""So many are named beside the winner."""


def closing_line(verdict: Verdict, judged_by: str = "psnr_y") -> str:
    """`Best values: [...]` as users of the reference know it, with true figures, and the units after it."""
    name, meaning = _reference_name(judged_by)
    candidate = verdict.winner.candidate
    performance = {
        "flops": round(candidate.mult_adds / 1e9, 3),
        "params": round(candidate.params / 1e3, 3),
        name: verdict.winner.measured,
    }
    values = [{"worker_id": candidate.id, "performance": performance}]
    return (
        f"Best values: {values}  "
        "(flops: G mult-adds for a 1280x720 output; params: thousands; "
        f"{meaning}, validation pictures, after fast training)"
    )


def _reference_name(judged_by: str) -> tuple[str, str]:
    """The reference's name of the figure that fitness is, and what it means here."""
    if judged_by == "score":
        return "score", "score: of the task's file"
    return "PSNR", f"PSNR: dB {'on Y' if judged_by == 'psnr_y' else 'over R, G and B'}"


def front_lines(algorithm: Algorithm, state: State) -> list[str]:
    """The front in words, a line for each network; empty where nobody has a result."""
    rows, names = front_rows(algorithm, state), [one.name for one in shown_view(algorithm, state).objectives]
    unit = FIGURES[state.judged_by].unit
    found = [f"  {_front_line(row, unit, 'ssim' in names)}" for row in rows]
    return [f"front of {' against '.join(names)}:", *found] if found else []


def winner_lines(algorithm: Algorithm, state: State) -> list[str]:
    """How sure the winner is, the limits that it does not keep, and who else might have won, in words; empty where
    nobody has a result."""
    verdict = algorithm.verdict(state)
    if verdict is None:
        return []
    lines, unit = [], FIGURES[state.judged_by].unit
    winner, others = verdict.winner, verdict.finalists[1 : 1 + RUNNERS_UP]
    noise = ", ".join(f"{error:.3f}{unit} at {steps:,} steps" for steps, error in verdict.noise)
    if not verdict.repeated:
        noise += " (assumed: no network was trained with two seeds)"
    tolerance = algorithm.race.tolerance if algorithm.race is not None else 0.0
    within = f"or within {tolerance:g}{unit} of it" if tolerance else "of all"
    lines.append(
        f"winner: candidate {winner.candidate.id}, {winner.value:.3f} ± {winner.error:.3f}{unit}, the best "
        f"{within} with probability {winner.probability:.2f}; noise of a training: {noise}"
    )
    for objective, limit, value in _limits_not_kept(algorithm, state, winner.candidate.id):
        has = f"the winner has {_in_unit(objective, value)}" if isfinite(value) else "it was measured of no network"
        lines.append(f"limits: no network keeps {objective.name} within {_in_unit(objective, limit)}: {has}")
    if others:
        named = ", ".join(f"{one.candidate.id} ({one.value:.3f} ± {one.error:.3f}{unit})" for one in others)
        lines.append(f"runners-up: candidates {named}")
    return lines


def _limits_not_kept(algorithm: Algorithm, state: State, winner: int) -> list[tuple[Objective, float, float]]:
    """Those that the winner is beyond, as nobody keeps them all: what is limited, the limit, and the winner's value."""
    view = algorithm.view(state)
    values = [(one, limit, float(one.values(view.state, (winner,))[0])) for one, limit in view.limits]
    return [(one, limit, value) for one, limit, value in values if value > limit]


def _in_unit(objective: Objective, value: float) -> str:
    return f"{1e3 * value:.1f} ms" if objective.unit == "s" else f"{value:.0f} {objective.unit}"


def _front_line(row: FrontRow, unit: str, with_ssim: bool) -> str:
    ssim = f", SSIM {row.ssim:.4f}" if with_ssim else ""
    latency = ""
    if row.latency_s is not None:
        spread = "" if row.latency_spread_s is None else f" ± {1e3 * row.latency_spread_s:.1f}"
        latency = f", {'about ' if 'latency' in row.predicted else ''}{1e3 * row.latency_s:.1f}{spread} ms"
    memory = ""
    if row.memory_mb is not None:
        memory = f", {'about ' if 'memory' in row.predicted else ''}{row.memory_mb:.0f} MB"
    return (
        f"candidate {row.id}: {row.psnr:.3f} ± {row.error:.3f}{unit}{ssim} after {row.steps:,} steps, "
        f"{row.params / 1e3:.1f} K parameters, {row.mult_adds / 1e9:.2f} G mult-adds{latency}{memory}: "
        f"{' '.join(row.arch)}"
    )


def report_rows(history: History, label: str = FINAL) -> list[tuple[str, str, dict[str, float], dict[str, float]]]:
    """(set, picture or "mean", network's figures, the baseline's) of a trained network; empty without one."""
    rows = []
    reported = history.reported.get(label)
    for part in reported.sets if reported is not None else []:
        rows += [(part["name"], one["name"], one["network"], baseline_of(one)) for one in part["pictures"]]
        rows.append((part["name"], "mean", part["network"], baseline_of(part)))
    return rows


def baseline_of(part: Mapping[str, Any]) -> dict[str, float]:
    """The baseline's figures of a set or picture of a report; before there were several baselines it was bicubic."""
    figures: dict[str, float] = part["baseline"] if "baseline" in part else part["bicubic"]
    return figures


def result_json(algorithm: Algorithm, verdict: Verdict, labels: Mapping[str, int], history: History) -> str:
    """The winner with its figures and how sure it is, and the reports of the networks trained in full: `labels` has
    their candidates."""
    candidate = verdict.winner.candidate
    row = row_of(algorithm.view(history.state), candidate.id)
    by = history.state.judged_by
    not_kept = [one.name for one, _, _ in _limits_not_kept(algorithm, history.state, candidate.id)]
    content: dict[str, Any] = {
        "best": {
            "id": candidate.id,
            "arch": list(candidate.arch),
            "params": candidate.params,
            "mult_adds_1280x720": candidate.mult_adds,
            f"fitness_{by}": verdict.winner.measured,
            f"estimated_{by}": verdict.winner.value,
            "standard_error": verdict.winner.error,
            "steps": row.steps,
            "trainings": row.trainings,
            "parents": list(candidate.parents),
            "operator": candidate.operator,
            **_measured(row),
            **({"limits_not_kept": not_kept} if algorithm.limits else {}),
        },
        "confidence": verdict.confidence,
        "tolerance_db": 0.0 if algorithm.race is None else algorithm.race.tolerance,
        "noise_db": [{"steps": steps, "standard_deviation": error} for steps, error in verdict.noise],
        "repeated_trainings": verdict.repeated,
        "runners_up": [_standing(one, by) for one in verdict.finalists[1 : 1 + RUNNERS_UP]],
    }
    trained = {}
    for label, candidate_id in labels.items():
        # A run that went further without training its new winner has the report of an older one.
        event = history.trained.get(label)
        if event is not None and event.arch == history.state.candidates[candidate_id].arch:
            trained[label] = {"id": candidate_id, **_full_training(history, label)}
    if FINAL in trained:
        content["full_training"] = trained[FINAL]
    elif trained:
        content["full_trainings"] = trained
    return to_plain_json(content, indent=2) + "\n"


def _measured(row: FrontRow) -> dict[str, Any]:
    """Latency and memory of a network, where they are known."""
    found = {"latency_s": row.latency_s, "latency_spread_s": row.latency_spread_s, "memory_mb": row.memory_mb}
    known: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    return {**known, "predicted": list(row.predicted)} if row.predicted else known


def reported_networks(result: Path) -> dict[str, str | None]:
    """The labels of the networks that a `result.json` has reports of, with what they are to be called: None where there
    is one alone."""
    content = json.loads(result.read_text(encoding="utf-8"))
    if "networks" in content:
        return {label: label for label in content["networks"]}
    if "full_training" in content:
        return {FINAL: None}
    return {label: f"{label} (candidate {one['id']})" for label, one in content.get("full_trainings", {}).items()}


def _standing(one: Standing, by: str) -> dict[str, Any]:
    return {
        "id": one.candidate.id,
        "arch": list(one.candidate.arch),
        f"fitness_{by}": one.measured,
        f"estimated_{by}": one.value,
        "standard_error": one.error,
        "trainings": one.trainings,
        "probability": one.probability,
    }


def networks_json(costs: Mapping[str, tuple[int, int]], history: History) -> str:
    """As `result_json`, of networks that were given: parameters and mult-adds (1280x720) by label."""
    content = {
        label: {
            "arch": list(history.trained[label].arch),
            "params": params,
            "mult_adds_1280x720": mult_adds,
            "full_training": _full_training(history, label),
        }
        for label, (params, mult_adds) in costs.items()
    }
    return to_plain_json({"networks": content}, indent=2) + "\n"


def networks_line(costs: Mapping[str, tuple[int, int]], history: History) -> str:
    """The closing line of a run that trained networks that were given."""
    # They are all of one task.
    name, meaning = _reference_name(next(iter(history.reported[label].by for label in costs), "psnr_y"))
    values = [
        {
            "network": label,
            "performance": {
                "flops": round(mult_adds / 1e9, 3),
                "params": round(params / 1e3, 3),
                name: history.reported[label].sets[0]["network"][history.reported[label].by],
            },
        }
        for label, (params, mult_adds) in costs.items()
    ]
    return (
        f"Values: {values}  (flops: G mult-adds for a 1280x720 output; params: thousands; "
        f"{meaning}, test pictures, after full training)"
    )


def _full_training(history: History, label: str) -> dict[str, Any]:
    trained, reported = history.trained[label], history.reported.get(label)
    return {
        "checkpoint": trained.checkpoint,
        "seconds": asdict(trained.seconds),
        "sets": reported.sets if reported is not None else [],
    }
