"""Rays that tests have beside a run's own."""

from __future__ import annotations

from typing import Any

from ray.cluster_utils import Cluster

from esr_ray.runtime.local import SETTINGS, small


class SmallCluster(Cluster):
    """An imitated cluster on this machine, without what nobody asks for here: that would take seconds of each start."""

    def add_node(self, **options: Any) -> Any:
        if self.head_node is None:
            settings = {**SETTINGS, **options.pop("_system_config", {})}
            options = {"include_dashboard": False, "_system_config": settings, **options}
        with small():
            return super().add_node(**options)
