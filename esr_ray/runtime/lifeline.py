"""Whether Ray is still there: its own way to say so takes a minute, and ends the process without a word of ours."""

from __future__ import annotations

import time

import ray

from esr_ray.errors import UserError
from esr_ray.runtime.address import answers
from esr_ray.runtime.local import has_died

LOOK_S = 2.0
"""How often it is looked whether Ray answers."""
PATIENCE_S = 20.0
"""How long a head may be away: one that keeps its state elsewhere may be restarted. Ray's own patience is a minute."""
DIED = "the part of Ray that runs on this machine has died"


class RayLost(UserError):
    """The cluster does not answer any more, or this machine's part of it has died."""


class Lifeline:
    """Looks whether the head of the cluster answers, and whether what this process has started of Ray is there."""

    def __init__(self) -> None:
        # A client (ray://) is told of its connection's end by Ray.
        self._address = "" if ray.util.client.ray.is_connected() else ray.get_runtime_context().gcs_address
        self._looked = self._heard = time.monotonic()

    def check(self) -> None:
        """Raises RayLost once the head has not answered for PATIENCE_S, and where a part of our own Ray has died.

        To be called often: it looks every LOOK_S.
        """
        now = time.monotonic()
        if not self._address or now - self._looked < LOOK_S:
            return
        if has_died():
            raise RayLost(DIED)
        if answers(self._address, LOOK_S):
            self._heard = now
        self._looked = time.monotonic()
        if self._looked - self._heard > PATIENCE_S:
            raise RayLost(f"the head of the Ray cluster ({self._address}) does not answer any more")
