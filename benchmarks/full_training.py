"""What a second device brings the full training: the same network by one process, and by two on half the batch each.

    python benchmarks/full_training.py

Both are `esr_ray.train`, in turns, each with Ray, processes and compilation of its own; compared are the steps alone.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import cores, machine, number, parser, say, table

from esr_ray.runs.journal import read_journal
from esr_ray.space.counts import network_cost

NETWORKS = {"25 K": "S_4_8_16,G_4_8_16,C_4_8_16,S_2_8_8", "122 K": "S_4_16_32,G_4_16_32,C_4_16_32,S_4_16_32,G_4_16_32"}
BASE_CHANNELS = {"25 K": 16, "122 K": 32}
BATCH = 8


@dataclass(frozen=True)
class Training:
    """One training: parameters of the network, milliseconds of a step, (step, loss), dB on the test pictures."""

    params: int
    step_ms: float
    curve: list[tuple[int, float]]
    test: float


def train(name: str, trainers: int, steps: int, folder: Path) -> Training:
    config = {
        "seed": 1,
        "space": {"node_num": 8, "min_active": 1, "base_channels": BASE_CHANNELS[name]},
        "data": {"hr": "sample:scikit-image", "validation_size": 32},
        "full_training": {"steps": steps, "batch_size": BATCH, "crop_size": 32, "learning_rate": 1e-3},
        "runtime": {"trainers": trainers, "cache_dir": str(folder / "cache")},
        "benchmarks": [],
        "output": {"dir": str(folder)},
    }
    run = f"run-{len(list(folder.iterdir()))}"
    path = folder / "config.yml"
    path.write_text(json.dumps(config))
    command = [
        sys.executable,
        "-m",
        "esr_ray.train",
        "--arch",
        NETWORKS[name],
        str(path),
        "--set",
        f"output.name={run}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    events = read_journal(folder / run / "journal.jsonl").events
    trained = next(event for event in events if event["event"] == "trained")
    reported = next(event for event in events if event["event"] == "reported")
    curve = [(int(step), float(loss)) for step, loss in trained["curve"]]
    cost = network_cost(NETWORKS[name].split(","), BASE_CHANNELS[name], 2)
    return Training(
        cost.params, 1e3 * trained["seconds"]["steps"] / steps, curve, reported["sets"][0]["network"]["psnr_y"]
    )


def difference(one: Training, two: Training) -> float:
    """The largest difference of the loss curves, as a part of the loss."""
    return max(abs(a - b) / a for (_, a), (_, b) in zip(one.curve, two.curve, strict=True))


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument(
        "--steps",
        type=int,
        default=1200,
        help="of each training; the first waits a second or two for the slower process",
    )
    options_of.add_argument("--rounds", type=int, default=1)
    options = options_of.parse_args()
    steps, rounds = (10, 1) if options.quick else (options.steps, options.rounds)
    if len(cores()) < 2:
        raise SystemExit("two trainings at a time need two cores")
    rows, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            pairs = []
            for index in range(rounds):
                say(f"{name}: round {index + 1}")
                pairs.append((train(name, 1, steps, Path(folder)), train(name, 2, steps, Path(folder))))
            one = statistics.median(pair[0].step_ms for pair in pairs)
            two = statistics.median(pair[1].step_ms for pair in pairs)
            ratios.append(one / two)
            first = pairs[0]
            rows.append(
                [
                    f"{name}, {BATCH} x 32x32",
                    f"{first[0].params:,}",
                    number(one),
                    number(two),
                    f"{one / two:.2f}",
                    f"{max(difference(*pair) for pair in pairs):.1e}",
                    f"{first[0].test:.3f} / {first[1].test:.3f}",
                ]
            )
    print(f"{machine()}; {steps} steps, {rounds} rounds")
    head = ["network, batch", "parameters", "one, ms a step", "two, ms a step", "throughput two / one"]
    print(table([*head, "largest relative difference of the losses", "test dB, one / two"], rows))
    print(f"two devices: {' and '.join(f'{ratio:.2f}' for ratio in ratios)} times the throughput of one")


if __name__ == "__main__":
    main()
