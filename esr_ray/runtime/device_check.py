"""A minute's check of devices by training on them: see scripts/check_ascend.sh.

`--target cpu` rehearses it on CPUs, where it was run; on Ascend it was written for owners of the hardware.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import ray

from esr_ray.command import run_command
from esr_ray.config.load import check_config
from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.metrics import Quality
from esr_ray.runtime.client import connection
from esr_ray.runtime.placement import Placement, decide_placement
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.runtime.training_group import GroupLost, TrainingGroup
from esr_ray.tasks.pictures import plan_pictures
from esr_ray.training.result import FullyTrained

ARCH = ("S_4_16_16", "G_4_16_24", "C_4_16_16")
STEPS = 20
SAME_LOSS = 1e-3
"""Relative, of the last loss: two devices take their sums in another order than one, Ascend perhaps in 16 bits."""


class _Onlooker:
    """Takes what a driver would be told."""

    def training_progress(self, step: int, loss: float) -> None:
        pass

    def keep_state(self, content: bytes) -> None:
        pass

    def validated(self, step: int, quality: list[Quality], sr: np.ndarray) -> None:
        pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; 0 where all of it passed."""
    parser = argparse.ArgumentParser(prog="scripts/check_ascend.sh", description=__doc__)
    parser.add_argument("--target", choices=("ascend", "cpu"), default="ascend")
    parser.add_argument("--address", help="Ray cluster: auto or HOST:PORT; without it Ray is started on this machine")
    options = parser.parse_args(arguments)
    return run_command(lambda: _check(options.target, options.address))


def _check(target: str, address: str | None) -> int:
    with connection(address):
        for node in ray.nodes():
            devices = {kind: int(node["Resources"].get(kind, 0)) for kind in ("CPU", "NPU")}
            print(f"node {node['NodeManagerAddress']}: {devices['CPU']} CPU, {devices['NPU']} NPU", flush=True)
        config = _config(target, "graph")
        placement = decide_placement(config.runtime, ray.cluster_resources())
        print(placement.reason, flush=True)
        graph = _train(config, placement, 1, "graph mode")
        _train(_config(target, "pynative"), placement, 1, "PyNative mode")
        _check_checkpoint(graph)
        if placement.evaluators < 2:
            print("two devices: not tried, there is only one")
            return 0
        together = _train(config, placement, 2, "two devices together")
    difference = abs(together.curve[-1][1] - graph.curve[-1][1]) / graph.curve[-1][1]
    print(f"two devices: the last loss differs from one device's by {difference:.1e} of it")
    if difference > SAME_LOSS:
        raise UserError(f"two devices: the losses differ by more than {SAME_LOSS:.0e}: gradients are not reduced")
    print("all passed")
    return 0


def _config(target: str, mode: str) -> Config:
    content = {
        "data": {"hr": "sample:scikit-image"},
        "full_training": {"steps": STEPS, "batch_size": 16, "crop_size": 32, "learning_rate": 1e-3},
        "space": {"base_channels": 16},
        "runtime": {"target": target, "mode": mode, "kernels": "plain"},
    }
    return check_config(content, "the check's configuration")


def _train(config: Config, placement: Placement, count: int, what: str) -> FullyTrained:
    setup = WorkerSetup(config, placement.target, plan_pictures(config), ())
    onlooker = ray.remote(_Onlooker).options(num_cpus=0).remote()
    group = TrainingGroup(setup, placement, count)
    try:
        done = group.train(ARCH, None, onlooker, lambda line: print(line, flush=True), lambda: None)
    except GroupLost as error:
        raise UserError(f"{what}: {error}") from None
    finally:
        group.close()
    step_ms = 1e3 * done.seconds.steps / STEPS
    print(
        f"{what}: compile {done.seconds.compile:.1f} s, {step_ms:.1f} ms a step, loss {done.curve[0][1]:.5f} -> "
        f"{done.curve[-1][1]:.5f} in {STEPS} steps",
        flush=True,
    )
    if not done.curve[-1][1] < done.curve[0][1]:
        raise UserError(f"{what}: the loss did not fall")
    return done


def _check_checkpoint(done: FullyTrained) -> None:
    from esr_ray.networks.checkpoint import checkpoint_from_bytes

    parameters, spec = checkpoint_from_bytes(done.weights)
    count = sum(value.size for value in parameters.values())
    print(f"checkpoint: read back, {count:,} parameters of {' '.join(spec.arch)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
