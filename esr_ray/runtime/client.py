"""The command's side: connect to Ray, start the driver beside the run folder, show its status, pass Ctrl-C on."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from esr_ray import signals
from esr_ray.cores import usable_cores
from esr_ray.errors import UserError
from esr_ray.runs.status import Status
from esr_ray.runtime.address import find_cluster
from esr_ray.runtime.driver import Driver, DriverSetup, Outcome
from esr_ray.runtime.lifeline import DIED, Lifeline, RayLost
from esr_ray.runtime.local import SETTINGS, Started, silent, this_machine_alone
from esr_ray.runtime.setup import worker_environment

POLL_S = 0.5
"""How often the status is asked for."""


@contextmanager
def connection(address: str | None) -> Iterator[None]:
    """Ray on this machine (None), or the cluster at `auto`, `HOST:PORT` or `ray://HOST:PORT`, until the block ends.

    Raises UserError where no cluster answers.
    """
    with silent(), this_machine_alone() if address is None else nullcontext(), _connected(address):
        yield


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    # Ray's own lines would break into the terminal view; what matters of them is in the run's log.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    started = Started()
    cluster = None if address is None else find_cluster(address)
    try:
        # Left in the middle, Ray ends this process by SIGABRT or leaves its own behind.
        with signals.held():
            if address is None:
                # Cores that this process may use: Ray counts those of the machine.
                ray.init(
                    address="local",
                    num_cpus=usable_cores(),
                    include_dashboard=False,
                    _system_config=SETTINGS,
                    **options,
                )
                started.note()
            else:
                ray.init(address=cluster, **options)
    except SystemExit:
        # What Ray's own handler of SIGTERM does while it starts.
        raise signals.Interrupted("SIGTERM") from None
    except KeyboardInterrupt:
        ray.shutdown()
        started.clear()
        raise
    except Exception as error:
        # Of any class: Ray raises a plain Exception if its node takes too long to start.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if address is None:
            # What has started of it; its logs say why the rest has not.
            started.note()
            ray.shutdown()
            started.clear(keep_logs=True)
            raise UserError(f"Ray could not be started on this machine: {reason}") from None
        raise UserError(f"--address {address}: no Ray cluster could be reached: {reason}") from None
    keep_logs = False
    try:
        yield
    except RayLost as error:
        keep_logs = started.folder is not None
        told = f" (Ray's own logs are in {started.folder / 'logs'})" if started.folder is not None else ""
        raise RayLost(f"{error}{told}") from None
    finally:
        with signals.held():
            ray.shutdown()
            started.clear(keep_logs)


def start_driver(setup: DriverSetup) -> Any:
    """The driver actor, on the node this command is connected to: the run folder is there."""
    node = ray.get_runtime_context().get_node_id()
    return (
        ray.remote(concurrency_groups={"control": 4})(Driver)
        .options(
            num_cpus=0,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            runtime_env={"env_vars": worker_environment(threads=1)},
        )
        .remote(setup)
    )


def follow(driver: Any, show: Callable[[Status], None]) -> Outcome:
    """Run the driver to its end, showing its status; Ctrl-C asks it to stop, a second one gives up waiting for that.

    A driver that is killed comes back by itself (Ray restarts it, and its `run` is called again). Raises RayLost where
    Ray itself has died.
    """
    running = driver.run.remote()
    lifeline = Lifeline()
    shown = Status()
    stopping = False
    while True:
        try:
            if stopping:
                # Again and again: one that is being restarted would not hear it.
                driver.stop.remote()
            lifeline.check()
            done, _ = ray.wait([running], timeout=POLL_S)
            status = _status(driver, shown)
            if status is not None:
                shown = status
                show(status)
            if done:
                return _outcome(running)
        except KeyboardInterrupt:
            if stopping:
                raise
            stopping = True
        except ConnectionError as error:
            # A client's (ray://).
            raise RayLost(f"the connection to the Ray cluster is lost: {str(error).strip().splitlines()[0]}") from None


def _status(driver: Any, shown: Status) -> Status | None:
    """The driver's status, or None where it does not answer now (it is being restarted). `shown` is that before."""
    try:
        status: Status = ray.get(driver.status.remote(shown.next_line), timeout=10 * POLL_S)
        if status.process != shown.process:
            status = ray.get(driver.status.remote(0), timeout=10 * POLL_S)
        return status
    except RayError:
        time.sleep(POLL_S)
        return None


def _outcome(running: ray.ObjectRef) -> Outcome:
    try:
        outcome: Outcome = ray.get(running)
        return outcome
    except RayActorError:
        # Ray restarts a driver that has died, as long as there is its node.
        raise RayLost(DIED) from None
    except RayTaskError as error:
        # A defect of ours: the run can be resumed all the same.
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"the driver failed: {reason}; where it did: {str(error).strip()}") from None
