"""What a network is, as plain data: enough to build it, and what a checkpoint keeps of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from esr_ray.space.counts import Arch


@dataclass(frozen=True)
class NetworkSpec:
    """The blocks in order, the channels outside them (G0), the enlargement, and the global skip."""

    arch: Arch
    base_channels: int
    scale: int
    global_skip: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def spec_from_json(text: str) -> NetworkSpec:
    """The inverse of `NetworkSpec.to_json`."""
    content = json.loads(text)
    return NetworkSpec(tuple(content["arch"]), content["base_channels"], content["scale"], content["global_skip"])
