"""The actors of a full training: one trainer a device, and the scheduler that brings plain ones together."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from esr_ray.data.crops import Share
from esr_ray.native.choice import choose_library
from esr_ray.native.describe import unsupported
from esr_ray.networks.target import Member, device_name, join_group, physical_ids, use_target
from esr_ray.runtime.node import this_node
from esr_ray.runtime.node_pictures import open_here
from esr_ray.runtime.pinning import pin_to_free_core
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.tasks.make import network_spec
from esr_ray.tasks.user_files import load_files
from esr_ray.training.result import FullyTrained
from esr_ray.training.ring import Address, Ring


@dataclass(frozen=True)
class Place:
    """Where a trainer is: node, device in words, physical ids of its NPUs, process."""

    node: str
    node_ip: str
    device: str
    npus: tuple[int, ...]
    pid: int


class Trainer:
    """Becomes a Ray actor in `esr_ray.runtime.training_group`."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        # Before MindSpore is imported, if it has to be: it starts its threads then.
        core = pin_to_free_core() if setup.target == "CPU" else None
        npus = physical_ids() if setup.target == "Ascend" else ()
        address = ray.util.get_node_ip_address()
        self.place = Place(this_node(), address, device_name(setup.target, core), npus, os.getpid())

    def where(self) -> Place:
        """Called once: the actor has started when this returns."""
        return self.place

    def kernels(self, arch: tuple[str, ...]) -> str:
        """What this process would train a network with, such as `plain` or `native avx2`."""
        setup = self.setup
        load_files(setup.files)
        library, _ = choose_library(setup.config.runtime.kernels, setup.target)
        if library is None or unsupported(network_spec(arch, setup.config)) is not None:
            return "plain"
        return library.kernels

    def listen(self, key: bytes) -> Address:
        """Where the process before this one in a ring of native trainers finds it."""
        self._ring = Ring(self.place.node_ip, key)
        return self._ring.address

    def train(
        self,
        arch: tuple[str, ...],
        member: Member,
        begun: Sequence[ray.ObjectRef],
        onlooker: Any,
        ring: Sequence[Address] = (),
    ) -> FullyTrained | None:
        """Train as one of several. `begun` is empty or holds one reference to the content of a state's file.

        `ring`: where all listen, if all have native kernels. Otherwise several join MindSpore's group, and all have
        plain kernels.

        `onlooker` is an actor with `training_progress`, `keep_state`, `validated`: the first of the group tells it.
        The result is that of the first, and None of the others: all have the same weights.
        """
        setup, config = self.setup, self.setup.config
        load_files(setup.files)
        mean = None
        if ring:
            self._ring.join(member.rank, ring)
            mean = self._ring.mean
        elif member.count > 1:
            config = config.model_copy(update={"runtime": config.runtime.model_copy(update={"kernels": "plain"})})
            use_target(setup.target, config.runtime.mode)
            join_group(setup.target, "worker", member)
        from esr_ray.runtime.remote_onlooker import RemoteOnlooker
        from esr_ray.training.final import train_fully
        from esr_ray.training.kernels import choose_kernels
        from esr_ray.training.state import state_from_bytes

        pictures = open_here(setup)
        first = member.rank == 0
        trained = train_fully(
            network_spec(arch, config),
            config.full_training,
            pictures.train,
            config.seed,
            choose_kernels(config, setup.target, member.count, mean).make,
            RemoteOnlooker(onlooker) if first else None,
            pictures.validation if first else (),
            Share(member.rank, member.count),
            state_from_bytes(ray.get(begun[0]), "the state") if begun else None,
        )
        return trained if first else None


class Scheduler:
    """MindSpore's scheduler: plain trainers find each other by its address. Becomes a Ray actor without a device."""

    def address(self) -> str:
        """HOST:PORT at which it is going to listen."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        return f"{ray.util.get_node_ip_address()}:{port}"

    def serve(self, target: str, address: str, count: int) -> None:
        """Bring `count` trainers together; returns once they have ended."""
        join_group(target, "scheduler", Member(0, count, address))
