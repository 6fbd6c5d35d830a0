"""The command's side: connect to Ray, start the driver beside the run folder, show its status, pass Ctrl-C on."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import psutil
import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from esr_ray import signals
from esr_ray.cores import usable_cores
from esr_ray.errors import UserError
from esr_ray.runs.status import Status
from esr_ray.runtime.address import find_cluster
from esr_ray.runtime.driver import Driver, DriverSetup, Outcome
from esr_ray.runtime.lifeline import Lifeline, RayLost
from esr_ray.runtime.setup import worker_environment

POLL_S = 0.5
"""How often the status is asked for."""
ENDS_S = 5.0
"""How long a process of a local Ray that has ended may still be there, before it is killed."""


@contextmanager
def connection(address: str | None) -> Iterator[None]:
    """Ray on this machine (None), or the cluster at `auto`, `HOST:PORT` or `ray://HOST:PORT`, until the block ends.

    Raises UserError where no cluster answers.
    """
    local = address is None
    with _own_token(local), _own_machine_only(local), _silent(), _connected(address):
        yield


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    # Ray's own lines would break into the terminal view; what matters of them is in the run's log.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    started: list[psutil.Process] = []
    cluster = None if address is None else find_cluster(address)
    try:
        # Left in the middle, Ray ends this process by SIGABRT or leaves its own behind.
        with signals.held():
            if address is None:
                # Cores that this process may use: Ray counts those of the machine.
                ray.init(address="local", num_cpus=usable_cores(), include_dashboard=False, **options)
                started = psutil.Process().children(recursive=True)
            else:
                ray.init(address=cluster, **options)
    except SystemExit:
        # What Ray's own handler of SIGTERM does while it starts.
        raise signals.Interrupted("SIGTERM") from None
    except KeyboardInterrupt:
        ray.shutdown()
        raise
    except Exception as error:
        # Of any class: Ray raises a plain Exception if its node takes too long to start.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if address is None:
            raise UserError(f"Ray could not be started on this machine: {reason}") from None
        raise UserError(f"--address {address}: no Ray cluster could be reached: {reason}") from None
    try:
        yield
    finally:
        with signals.held():
            ray.shutdown()
            _end(started)


def _end(processes: list[psutil.Process]) -> None:
    """Kill what is left of a local Ray that has ended: where a part of it had died, the others may wait for it."""
    _, left = psutil.wait_procs(processes, ENDS_S)
    for process in left:
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def _own_machine_only(wanted: bool) -> Iterator[None]:
    """A Ray that is started while the block runs listens on 127.0.0.1 alone, with all its processes.

    Its node takes that address if Ray believes that it makes no clusters here, as on macOS and Windows.
    """
    if not wanted:
        yield
        return
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before = os.environ.get(name)
    # For the processes that it starts, and for this one, which may have read it already.
    os.environ[name] = "0"
    try:
        with _changed("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", False):
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _silent() -> Iterator[None]:
    """Ray prints errors of its own processes into this one's output: its last lines of log where a part of it dies."""
    with _changed("ray._private.worker", "print_to_stdstream", lambda *given, **named: None):
        yield


@contextmanager
def _changed(module: str, name: str, value: Any) -> Iterator[None]:
    """What Ray has under a name of its own, which other versions may not have, is `value` while the block runs."""
    try:
        owner = import_module(module)
        before = getattr(owner, name)
    except (ImportError, AttributeError):
        yield
        return
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _own_token(wanted: bool) -> Iterator[None]:
    """A token for Ray on this machine alone, which its processes inherit while the block runs.

    Ray would write one into the user's home, readable by all, and could not start without a home. A token that the user
    brings is left as it is; so is that of a cluster.
    """
    if not wanted or any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    _read_token_again()
    try:
        yield
    finally:
        os.environ.pop("RAY_AUTH_TOKEN", None)
        _read_token_again()


def _read_token_again() -> None:
    """Ray reads its token once in a process, and this process may use another Ray later, or did before."""
    # Not there in versions of Ray that have no tokens.
    with suppress(ImportError, AttributeError):
        from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

        AuthenticationTokenLoader.instance().reset_cache()


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
        raise RayLost("the part of Ray that runs on this machine has died") from None
    except RayTaskError as error:
        # A defect of ours: the run can be resumed all the same.
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"the driver failed: {reason}; where it did: {str(error).strip()}") from None
