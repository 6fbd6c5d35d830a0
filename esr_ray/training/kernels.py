"""Which path trains a network: the native library, or MindSpore's own operators (`runtime.kernels`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from esr_ray.config.schema import Config, TrainingConfig
from esr_ray.native.choice import choose_library
from esr_ray.native.describe import unsupported
from esr_ray.networks.target import use_target
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.native import Mean, NativeNetwork
from esr_ray.training.network import NetworkMaker, TrainableNetwork

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernels:
    """The path that a process takes, why in one line, and what makes its networks."""

    name: str
    reason: str
    make: NetworkMaker


class _NativeOrPlain:
    """The native path, for networks that it knows; the plain one for the rest, made ready with the first of them."""

    def __init__(self, native: NetworkMaker, make_plain: Callable[[], NetworkMaker]) -> None:
        self._native, self._make_plain = native, make_plain
        self._plain: NetworkMaker | None = None
        self._told: set[str] = set()

    def __call__(self, spec: NetworkSpec, config: TrainingConfig, seed: int) -> TrainableNetwork:
        reason = unsupported(spec)
        if reason is None:
            return self._native(spec, config, seed)
        if reason not in self._told:
            self._told.add(reason)
            log.warning("plain kernels for networks with it: %s", reason)
        if self._plain is None:
            self._plain = self._make_plain()
        return self._plain(spec, config, seed)


def choose_kernels(config: Config, target: str, members: int = 1, mean: Mean | None = None) -> Kernels:
    """The kernels of this process. `target` is CPU or Ascend. Where several processes train together, plain networks
    are told their number (they have joined MindSpore's group), and native ones how to take the `mean` over them.

    Native ones alone import no MindSpore: that takes a second and hundreds of megabytes for each process.

    Raises UserError where `runtime.kernels` asks for the native ones and they cannot be had, or MindSpore has no
    Ascend.
    """

    def make_plain() -> NetworkMaker:
        from esr_ray.training.plain import PlainNetwork

        if members == 1:
            # Whoever has joined a group has done this before.
            use_target(target, config.runtime.mode)
        return partial(PlainNetwork, members=members)

    library, reason = choose_library(config.runtime.kernels, target)
    if library is None:
        return Kernels("plain", reason, make_plain())
    native = partial(NativeNetwork, library=library, mean=mean)
    return Kernels(library.kernels, reason, _NativeOrPlain(native, make_plain))
