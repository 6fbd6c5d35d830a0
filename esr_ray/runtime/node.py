"""The node that a process of ours runs on, by the name that a person knows it by."""

from __future__ import annotations

import socket

import ray


def this_node() -> str:
    """The name given to Ray (`ray start --node-name`), else the host's."""
    own = ray.get_runtime_context().get_node_id()
    node = next((node for node in ray.nodes() if node["NodeID"] == own), None)
    # Without a name Ray takes the address.
    named = node is not None and node.get("NodeName") not in (None, "", node["NodeManagerAddress"])
    return str(node["NodeName"]) if node is not None and named else socket.gethostname()
