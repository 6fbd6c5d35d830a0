"""Which path trains a network: the native library, or MindSpore's own operators (`runtime.kernels`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from esr_ray.config.schema import Config, TrainingConfig
from esr_ray.native.choice import choose_library
from esr_ray.native.describe import unsupported
from esr_ray.native.library import Library
from esr_ray.space.counts import reference_frame_params, spec_cost
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import network_spec
from esr_ray.training.native import Capacity, NativeNetworks
from esr_ray.training.network import NetworkMaker, TrainableNetwork
from esr_ray.training.plain import PlainNetwork

log = logging.getLogger(__name__)

REFERENCE_MARGIN = 1.1
"""Parameters that a network's blocks have beyond what the reference counts (of 400 networks, 8 % at most)."""


@dataclass(frozen=True)
class Kernels:
    """The path that a process takes, why in one line, and what makes its networks."""

    name: str
    reason: str
    make: NetworkMaker


class _NativeOrPlain:
    """The native path, for networks that it knows; the plain one for the rest."""

    def __init__(self, native: NativeNetworks, plain: NetworkMaker) -> None:
        self.native, self.plain = native, plain
        self._told: set[str] = set()

    def __call__(self, spec: NetworkSpec, config: TrainingConfig, seed: int) -> TrainableNetwork:
        reason = unsupported(spec)
        if reason is None:
            return self.native(spec, config, seed)
        if reason not in self._told:
            self._told.add(reason)
            log.warning("plain kernels for networks with it: %s", reason)
        return self.plain(spec, config, seed)


def choose_kernels(config: Config, target: str, for_search: bool = False, members: int = 1) -> Kernels:
    """The kernels of this process. `target` is CPU or Ascend; `for_search`: for many networks, of the whole space;
    `members`: processes that train together, in a group that was joined.

    Raises UserError where `runtime.kernels` asks for the native ones and they cannot be had.
    """
    plain: NetworkMaker = partial(PlainNetwork, members=members)
    library, reason = choose_library(config.runtime.kernels, target)
    if library is None:
        return Kernels("plain", reason, plain)
    networks = _for_search(config, library) if for_search else NativeNetworks(library, members=members)
    return Kernels(f"native {library.instruction_set}", reason, _NativeOrPlain(networks, plain))


def _for_search(config: Config, library: Library) -> NativeNetworks:
    """One graph for all candidates of a search, with room for the largest that the budget allows.

    Without a limit of parameters only the vocabulary bounds them, far above what occurs: the graph grows with what
    comes.
    """
    space = config.space
    most = space.max_params or 0
    if space.budget_counting == "reference":
        # The reference counts no upsampler, a large part of a small network.
        frame = spec_cost(network_spec((), config)).params
        most = int(most * REFERENCE_MARGIN) + max(0, frame - reference_frame_params(space.base_channels))
    return NativeNetworks(library, Capacity(most, space.node_num))
