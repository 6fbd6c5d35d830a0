"""Which devices a search runs on: what Ray has, and what MindSpore computes on. Decided once, said in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from esr_ray.config.schema import RuntimeConfig
from esr_ray.errors import UserError


@dataclass(frozen=True)
class Placement:
    """`resource` is what Ray counts (CPU, NPU), `target` what MindSpore computes on (CPU, Ascend).

    `follows`: there are as many evaluators as devices, also where nodes join or leave later.
    """

    resource: str
    target: str
    evaluators: int
    reason: str
    follows: bool = False


def decide_placement(runtime: RuntimeConfig, resources: Mapping[str, float], under_way: bool = False) -> Placement:
    """Choose resource, target and number of evaluators from what Ray's cluster has (`ray.cluster_resources()`).

    Raises UserError where the configuration asks for devices that Ray does not have: never silently another one. A run
    that is `under_way` goes on with fewer evaluators where nodes have gone meanwhile.
    """
    npus, cpus = int(resources.get("NPU", 0)), int(resources.get("CPU", 0))
    sees = f"Ray sees {cpus} CPU and {npus} NPU"
    resource = runtime.resource
    if resource == "auto":
        wants_cpu = runtime.target == "cpu"
        resource = "NPU" if npus and not wants_cpu else "CPU"
    available = npus if resource == "NPU" else cpus
    if available == 0:
        raise UserError(
            f"runtime.resource: {resource} is asked for, but {sees}; start Ray with --resources or change it"
        )
    target = runtime.target
    if target == "auto":
        target = "ascend" if resource == "NPU" else "cpu"
    if target == "ascend" and not npus:
        raise UserError(f"runtime.target: ascend is asked for, but {sees}; run on nodes with NPUs, or set target: cpu")
    if target == "ascend" and resource == "CPU":
        raise UserError("runtime.resource: must be NPU (or auto) for runtime.target: ascend")
    if target == "ascend" and runtime.kernels == "native":
        raise UserError("runtime.kernels: native ones are for CPUs, and the target is ascend; set it to auto or plain")
    wanted = available if runtime.evaluators == "auto" else runtime.evaluators
    if under_way:
        wanted = min(wanted, available)
    if wanted > available:
        raise UserError(f"runtime.evaluators: {wanted} are asked for, but {sees}; lower it, or set it to auto")
    imitated = (
        "; NPU resources, computing on CPU as runtime.target says" if resource == "NPU" and target == "cpu" else ""
    )
    return Placement(
        resource,
        "Ascend" if target == "ascend" else "CPU",
        wanted,
        f"{wanted} evaluators, one {resource} each, computing on {target} ({sees}{imitated})",
        runtime.evaluators == "auto",
    )


def check_same_devices(runtime: RuntimeConfig, placement: Placement, began: Mapping[str, Any] | None) -> None:
    """Raise UserError where a run that began on NPUs (its `hardware`, as journalled) would go on on CPUs by itself."""
    if began is None or runtime.resource != "auto" or runtime.target == "cpu":
        return
    if began.get("resource") == "NPU" and placement.resource == "CPU":
        raise UserError(
            f"runtime.resource: the run began on NPUs, and Ray has none now ({placement.reason}); go on when their "
            "nodes have joined, or set it to CPU"
        )


def devices_of_cluster(resource: str) -> int:
    """Devices that Ray's cluster has now, free or not."""
    return int(ray.cluster_resources().get(resource, 0))


def ray_options(placement: Placement) -> dict[str, Any]:
    """Options of an actor or task that owns one device."""
    if placement.resource == "NPU":
        return {"num_cpus": 0, "resources": {"NPU": 1}}
    return {"num_cpus": 1}
