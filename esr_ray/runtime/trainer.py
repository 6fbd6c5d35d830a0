"""The actors of a full training: one trainer a device, and the scheduler that brings them together."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from esr_ray.data.crops import Share
from esr_ray.networks.target import Member, device_name, join_group, physical_ids, use_target
from esr_ray.runtime.node import this_node
from esr_ray.runtime.node_pictures import open_here
from esr_ray.runtime.pinning import pin_to_free_core
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.tasks.make import network_spec
from esr_ray.tasks.user_files import load_files
from esr_ray.training.result import FullyTrained


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
        # Before MindSpore is imported: it starts its threads then.
        core = pin_to_free_core() if setup.target == "CPU" else None
        npus = physical_ids() if setup.target == "Ascend" else ()
        address = ray.util.get_node_ip_address()
        self.place = Place(this_node(), address, device_name(setup.target, core), npus, os.getpid())

    def where(self) -> Place:
        """Called once: the actor has started when this returns."""
        return self.place

    def kernels(self, count: int) -> str:
        """What this process would compute with as one of `count`, such as `plain` or `native avx2`."""
        setup = self.setup
        use_target(setup.target, setup.config.runtime.mode)
        from esr_ray.training.kernels import choose_kernels

        return choose_kernels(setup.config, setup.target, members=count).name

    def train(
        self, arch: tuple[str, ...], member: Member, begun: Sequence[ray.ObjectRef], onlooker: Any, plain: bool = False
    ) -> FullyTrained | None:
        """Train in the group. `begun` is empty or holds one reference to the content of a state's file.

        `plain`: with MindSpore's operators, since a member has no others: those reduce one gradient after another, the
        native ones all in one, and each would wait for the other.

        `onlooker` is an actor with `training_progress`, `keep_state`, `validated`: the first of the group tells it.
        The result is that of the first, and None of the others: all have the same weights.
        """
        setup, config = self.setup, self.setup.config
        if plain:
            config = config.model_copy(update={"runtime": config.runtime.model_copy(update={"kernels": "plain"})})
        use_target(setup.target, config.runtime.mode)
        load_files(setup.files)
        if member.count > 1:
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
            choose_kernels(config, setup.target, members=member.count).make,
            RemoteOnlooker(onlooker) if first else None,
            pictures.validation if first else (),
            Share(member.rank, member.count),
            state_from_bytes(ray.get(begun[0]), "the state") if begun else None,
        )
        return trained if first else None


class Scheduler:
    """MindSpore's scheduler: trainers find each other by its address. Becomes a Ray actor without a device."""

    def address(self) -> str:
        """HOST:PORT at which it is going to listen."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        return f"{ray.util.get_node_ip_address()}:{port}"

    def serve(self, target: str, address: str, count: int) -> None:
        """Bring `count` trainers together; returns once they have ended."""
        join_group(target, "scheduler", Member(0, count, address))
