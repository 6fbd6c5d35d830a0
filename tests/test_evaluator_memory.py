"""An evaluator's memory stays under its bound over 200 candidates, each a network that MindSpore compiles anew."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest
import ray
from worlds import PAPER

from esr_ray.config.load import check_config
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.backend import Done
from esr_ray.search.events import Failed, Lost
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.space.space import make_space
from esr_ray.tasks.pictures import plan_pictures

LIMIT_MB = 1500
ONE_CANDIDATE_MB = 400
"""What a tiny candidate may take beyond the limit before the evaluator is looked at again."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_memory_stays_bounded_over_200_candidates(tmp_path: Path) -> None:
    config = check_config(
        {
            "space": {"node_num": 4, "min_active": 1, "base_channels": 4, "conv_num": [1, 2], "growth_rate": [4, 8]},
            "evolution": {"num_individual": 200, "num_elitism": 1, **PAPER},
            "data": {"hr": "sample:scikit-image", "validation_size": 16},
            "fast_training": {"steps": 1, "batch_size": 1, "crop_size": 8},
            "full_training": {"crop_size": 8},
            "runtime": {"memory_limit_mb": LIMIT_MB, "cache_dir": str(tmp_path)},
        },
        "test",
    )
    lines: list[str] = []
    greatest = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal greatest
        while not done.is_set():
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                if " ".join(process.info["cmdline"] or []).startswith("ray::Evaluator"):
                    memory = process.info["memory_info"]
                    greatest = max(greatest, (memory.rss - memory.shared) / 2**20)
            time.sleep(0.2)

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
        backend = RayBackend(setup, Placement("CPU", "CPU", 1, ""), lines.append)
        backend.submit(make_algorithm(config, make_space(config.space, 2)).ask(State(), 200))
        ended = 0
        while ended < 200:
            event = backend.next_event(1.0)
            assert not isinstance(event, Failed | Lost), event
            ended += isinstance(event, Done)
        backend.cancel()
    finally:
        done.set()
        watcher.join()
        ray.shutdown()
    print(f"greatest resident memory of its own {greatest:.0f} MB; {len(lines)} replacements: {lines}")
    assert greatest < LIMIT_MB + ONE_CANDIDATE_MB
