"""A Ray of this machine alone: not to be reached from elsewhere, and without what only a cluster needs."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

ENDS_S = 5.0
"""How long a process of a local Ray that has ended may still be there, before it is killed."""
MARK = "esr_ray"
"""The file by which a session's folder is known to be of ours."""
NEEDLESS = ("start_monitor", "start_log_monitor", "start_api_server")
"""What a node starts that nothing here asks for: the autoscaler, and what serves logs and the dashboard. It would take
seconds of each start."""
SETTINGS = {"prestart_worker_first_driver": False, "task_events_report_interval_ms": 0}
"""Settings of Ray's. Each worker of ours has an environment of its own, and others that are started in advance would
only take its time. Records of tasks are for the dashboard, and Ray's own end waits 10 s for a head that has died to
take the last of them."""


@contextmanager
def this_machine_alone() -> Iterator[None]:
    """A Ray that is started while the block runs has a token of its own, listens on 127.0.0.1, and is small."""
    with _own_mode(), _own_token(), _own_address(), small():
        yield


@contextmanager
def _own_address() -> Iterator[None]:
    """The node takes 127.0.0.1 if Ray believes that it makes no clusters here, as on macOS and Windows."""
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
def small() -> Iterator[None]:
    """A node that is started while the block runs does without NEEDLESS."""
    with ExitStack() as stack:
        for name in NEEDLESS:
            stack.enter_context(_changed("ray._private.node", f"Node.{name}", lambda *given, **named: None))
        yield


@contextmanager
def _own_mode() -> Iterator[None]:
    """That Ray asks for a token is true of the Ray that is started alone.

    Ray sets it for all of this process, which would then refuse what a cluster without tokens says to it.
    """
    name = "RAY_AUTH_MODE"
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None and os.environ.pop(name, None) is not None:
            # As Ray itself does where it sets it. Not there in versions of Ray that have no tokens.
            with suppress(ImportError, AttributeError):
                from ray._raylet import Config  # type: ignore[attr-defined]

                Config.initialize("")


@contextmanager
def _own_token() -> Iterator[None]:
    """A token for Ray on this machine alone, which its processes inherit while the block runs.

    Ray would write one into the user's home, readable by all, and could not start without a home. A token that the user
    brings is left as it is; so is that of a cluster.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
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


@contextmanager
def silent() -> Iterator[None]:
    """Ray prints errors of its own processes into this one's output: its last lines of log where a part of it dies."""
    with _changed("ray._private.worker", "print_to_stdstream", lambda *given, **named: None):
        yield


@contextmanager
def _changed(module: str, name: str, value: Any) -> Iterator[None]:
    """What Ray has under a name of its own, which other versions may not have, is `value` while the block runs."""
    try:
        *owners, name = name.split(".")
        owner = reduce(getattr, owners, import_module(module))
        before = getattr(owner, name)
    except (ImportError, AttributeError):
        yield
        return
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def has_died() -> bool:
    """Whether a part of the Ray that this process has started is there no more; False where it has started none."""
    # Not there in other versions of Ray, perhaps.
    with suppress(ImportError, AttributeError):
        from ray._private.worker import global_worker

        return global_worker.node is not None and bool(global_worker.node.dead_processes())
    return False


class Started:
    """What a Ray of this machine alone leaves to be cleared away: processes, and the folder of its session.

    Made before Ray is started: processes that this one has by then are others.
    """

    def __init__(self) -> None:
        self._others = set(psutil.Process().children(recursive=True))
        self._processes: list[psutil.Process] = []
        self.folder: Path | None = None

    def note(self) -> None:
        """Ray has started."""
        self._processes = [one for one in psutil.Process().children(recursive=True) if one not in self._others]
        with suppress(ImportError, AttributeError):
            from ray._private.worker import global_worker

            self.folder = Path(global_worker.node.get_session_dir_path())
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / MARK).touch()
                _sweep(self.folder.parent)

    def clear(self, keep_logs: bool = False) -> None:
        """Ray has ended. Kill what is left of it, and remove its files.

        With `keep_logs` (it has not started, or was lost) its logs are left, and nothing is waited for: what would end
        by itself was told so by a part that has died.
        """
        _, left = psutil.wait_procs(self._processes, 0 if keep_logs else ENDS_S)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        if self.folder is not None and not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the sessions of commands of ours that were killed: the last part of a session's name is its process."""
    for mark in folder.glob(f"session_*/{MARK}"):
        number = mark.parent.name.rpartition("_")[2]
        if number.isdigit() and not psutil.pid_exists(int(number)) and mark.stat().st_uid == os.getuid():
            shutil.rmtree(mark.parent, ignore_errors=True)
