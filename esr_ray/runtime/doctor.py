"""What Ray has, for `python -m esr_ray.doctor`."""

from __future__ import annotations

import ray

from esr_ray.config.schema import RuntimeConfig
from esr_ray.runtime.client import connection
from esr_ray.runtime.placement import Placement, decide_placement


def ray_devices(address: str | None) -> tuple[Placement, list[str]]:
    """The placement that a search would choose by itself, and a line for each node.

    Ray is started on this machine (None), or asked at the address. Raises UserError where that fails.
    """
    with connection(address):
        placement = decide_placement(RuntimeConfig(), ray.cluster_resources())
        nodes = [node for node in ray.nodes() if node["Alive"]]
    return placement, [f"{node['NodeManagerHostname']}: {_devices(node['Resources'])}" for node in nodes]


def _devices(resources: dict[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "NPU"))
