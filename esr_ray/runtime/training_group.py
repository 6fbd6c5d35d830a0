"""The full training across devices: trainers in a placement group, begun again from the last state where one dies."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from esr_ray.errors import TooFewDevices, UserError
from esr_ray.networks.target import Member
from esr_ray.runtime.placement import Placement, devices_of_cluster
from esr_ray.runtime.rank_table import RankTable
from esr_ray.runtime.remote_errors import reason_of
from esr_ray.runtime.setup import WorkerSetup, worker_environment
from esr_ray.runtime.trainer import Place, Scheduler, Trainer
from esr_ray.training.result import FullyTrained
from esr_ray.training.ring import Address

TRIES = 4
"""Times that a training is begun, or gone on with, from one place before it is given up."""
POLL_S = 0.5
PATIENCE_S = 30.0
"""After so many seconds without the devices the user is told what is waited for."""
SETTLE_S = 5.0
"""Where a trainer fails because another one died, that one's death is known within so many seconds."""


class GroupLost(Exception):
    """A process or node of the group died; the message says which."""


def number_of_trainers(wanted: int | str, available: int, batch_size: int) -> int:
    """Devices that train together: the wanted ones that Ray has, and that the batch can be divided among evenly.

    Raises TooFewDevices where more are wanted than there are.
    """
    if wanted != "auto" and int(wanted) > available:
        raise TooFewDevices(
            f"runtime.trainers: {wanted} are asked for, but Ray has {available} devices; set it to auto"
        )
    if not available:
        raise TooFewDevices("runtime.trainers: Ray has no devices")
    most = available if wanted == "auto" else int(wanted)
    return next(count for count in range(min(most, batch_size), 0, -1) if batch_size % count == 0)


def without_native(kernels: Sequence[str], nodes: Sequence[str]) -> tuple[str, ...]:
    """Nodes that have plain kernels alone, where others have native ones; both sequences are by trainer."""
    if all(name == "plain" for name in kernels):
        return ()
    return tuple(sorted({node for name, node in zip(kernels, nodes, strict=True) if name == "plain"}))


class TrainingGroup:
    """One try: the actors of a training, from placing them to its result."""

    def __init__(self, setup: WorkerSetup, placement: Placement, count: int, table: RankTable | None = None) -> None:
        self.setup, self.placement, self.count, self.table = setup, placement, count, table
        self.places: list[Place] = []
        self._group: PlacementGroup | None = None
        self._trainers: list[Any] = []
        self._scheduler: Any = None
        self._serving: ray.ObjectRef | None = None

    def train(
        self,
        arch: Sequence[str],
        begun: bytes | None,
        onlooker: Any,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> FullyTrained:
        """Place the actors, train, return the result. `check` is called often, and may raise to end it.

        Raises GroupLost where a process or node died, UserError where the training itself failed.
        """
        self._place(say, check)
        where = ", ".join(f"{place.device} of {place.node}" for place in self.places)
        say(f"full training on {self.count} device{'s' if self.count > 1 else ''}: {where}")
        address, ring = "", []
        if self.count > 1 and self._all_native(tuple(arch), say, check):
            ring = self._listening(check)
        elif self.count > 1 and self.table is None:
            address = self._schedule(check)
        state = [ray.put(begun)] if begun is not None else []
        futures = {
            trainer.train.remote(tuple(arch), self._member(index, address), state, onlooker, ring): index
            for index, trainer in enumerate(self._trainers)
        }
        return self._results(futures, check)

    def close(self) -> None:
        """End all processes of the group and give its devices back."""
        for actor in (*self._trainers, self._scheduler):
            if actor is not None:
                ray.kill(actor)
        if self._group is not None:
            remove_placement_group(self._group)
        self._trainers, self._scheduler, self._group = [], None, None

    def _member(self, index: int, address: str) -> Member:
        if self.table is None:
            return Member(index, self.count, address)
        place = self.places[index]
        return Member(self.table.rank(place.node_ip, place.npus), self.count, "", str(self.table.path))

    def _place(self, say: Callable[[str], None], check: Callable[[], None]) -> None:
        _remove_what_was_left()
        bundle = {self.placement.resource: 1}
        name = f"{_owner()} {time.time_ns()}"
        self._group = group = placement_group([bundle] * self.count, strategy="PACK", name=name)
        began, told = time.monotonic(), False
        while not group.wait(POLL_S):
            check()
            if devices_of_cluster(self.placement.resource) < self.count:
                raise GroupLost("a node has gone before all were placed")
            if not told and time.monotonic() - began > PATIENCE_S:
                told = True
                free = int(ray.available_resources().get(self.placement.resource, 0))
                say(f"waiting for {self.count} {self.placement.resource}s, {free} of them are free now")
        options: dict[str, Any] = {"num_cpus": 0}
        if self.placement.resource == "NPU":
            options["resources"] = {"NPU": 1}
        else:
            options["num_cpus"] = 1
        environment = {"env_vars": worker_environment(threads=1)}
        actor = ray.remote(Trainer)
        for index in range(self.count):
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
            self._trainers.append(
                actor.options(**options, scheduling_strategy=strategy, runtime_env=environment).remote(self.setup)
            )
        try:
            self.places = _all([trainer.where.remote() for trainer in self._trainers], check)
        except RayError as error:
            raise GroupLost(f"a trainer did not start: {reason_of(error)}") from None

    def _all_native(self, arch: tuple[str, ...], say: Callable[[str], None], check: Callable[[], None]) -> bool:
        """Whether all have native kernels for a network. Where only some have, all take the plain ones: those reduce
        one gradient after another, the native ones all in one, and each would wait for the other."""
        try:
            names = _all([trainer.kernels.remote(arch) for trainer in self._trainers], check)
        except RayTaskError as error:
            raise UserError(reason_of(error)) from None
        except RayError as error:
            raise GroupLost(f"a trainer died before it began: {reason_of(error)}") from None
        without = without_native(names, [place.node for place in self.places])
        if without:
            say(f"full training with plain kernels, many times slower: {', '.join(without)} cannot have native ones")
        return "plain" not in names

    def _listening(self, check: Callable[[], None]) -> list[Address]:
        """Where the trainers listen for each other: they alone know the key of this try."""
        key = secrets.token_bytes(32)
        try:
            return _all([trainer.listen.remote(key) for trainer in self._trainers], check)
        except RayError as error:
            raise GroupLost(f"a trainer cannot be reached by the others: {reason_of(error)}") from None

    def _schedule(self, check: Callable[[], None]) -> str:
        """Start MindSpore's scheduler beside the first trainer; its address."""
        strategy = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=0)
        self._scheduler = (
            ray.remote(Scheduler)
            .options(num_cpus=0, scheduling_strategy=strategy, runtime_env={"env_vars": worker_environment(threads=1)})
            .remote()
        )
        try:
            (address,) = _all([self._scheduler.address.remote()], check)
        except RayError as error:
            raise GroupLost(f"the scheduler did not start: {reason_of(error)}") from None
        self._serving = self._scheduler.serve.remote(self.setup.target, address, self.count)
        return str(address)

    def _results(self, futures: dict[ray.ObjectRef, int], check: Callable[[], None]) -> FullyTrained:
        waiting = list(futures)
        result: FullyTrained | None = None
        while waiting:
            done, waiting = ray.wait(waiting, timeout=POLL_S)
            check()
            for future in done:
                try:
                    part = ray.get(future)
                except RayError as error:
                    self._failed(futures[future], error, waiting, futures)
                result = part or result
        assert result is not None
        return result

    def _failed(
        self, index: int, error: RayError, waiting: list[ray.ObjectRef], futures: dict[ray.ObjectRef, int]
    ) -> None:
        """Raise what a trainer's failure means for the whole."""
        if isinstance(error, RayTaskError) and not isinstance(error.cause, RuntimeError | OSError | MemoryError):
            raise UserError(reason_of(error))
        if isinstance(error, RayTaskError) and self.count > 1:
            # Perhaps only because another one died: then that is what the user should read.
            done, _ = ray.wait(waiting, timeout=SETTLE_S) if waiting else ([], [])
            for future in done:
                try:
                    ray.get(future)
                except RayActorError:
                    index, error = futures[future], RayActorError()
                except RayError:
                    continue
        place = self.places[index]
        reason = reason_of(error) if isinstance(error, RayTaskError) else "its process or node died"
        raise GroupLost(f"trainer {index} ({place.device} of {place.node}): {reason}")


def _owner() -> str:
    """What groups are named after: the driver, also after Ray has restarted it."""
    context = ray.get_runtime_context()
    return str(context.get_actor_id() or context.get_job_id())


def _remove_what_was_left() -> None:
    """Give the devices back that a driver held when it was killed: Ray keeps its groups, since it restarts it."""
    for row in placement_group_table().values():
        if row["name"].startswith(_owner()) and row["state"] != "REMOVED":
            with suppress(ValueError):
                remove_placement_group(get_placement_group(row["name"]))


def _all(references: list[ray.ObjectRef], check: Callable[[], None]) -> list[Any]:
    """The values, once all are there; `check` is called while they are not."""
    while len(ray.wait(references, num_returns=len(references), timeout=POLL_S)[0]) < len(references):
        check()
    values: list[Any] = ray.get(references)
    return values
