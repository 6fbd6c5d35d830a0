"""What Ray has, for `python -m esr_ray.doctor`."""

from __future__ import annotations

import socket

import ray

from esr_ray.config.schema import RuntimeConfig
from esr_ray.errors import UserError
from esr_ray.runtime.client import connection
from esr_ray.runtime.placement import Placement, decide_placement

PATIENCE_S = 10.0
"""How long to wait for a machine to answer."""


def ray_devices(address: str | None) -> tuple[Placement, list[str]]:
    """The placement that a search would choose by itself, and a line for each node.

    Ray is started on this machine (None), or asked at the address. Raises UserError where that fails.
    """
    if address is not None:
        _check_answers(address)
    with connection(address):
        placement = decide_placement(RuntimeConfig(), ray.cluster_resources())
        nodes = [node for node in ray.nodes() if node["Alive"]]
    return placement, [f"{node['NodeManagerHostname']}: {_devices(node['Resources'])}" for node in nodes]


def _check_answers(address: str) -> None:
    """Raises UserError where nothing listens: Ray itself tries for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--address {address}: no Ray cluster could be reached: {error}") from None


def _devices(resources: dict[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "NPU"))
