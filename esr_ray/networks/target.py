"""All that is different on Ascend: MindSpore's target and mode, device ids, and how processes join to train together.

Written from MindSpore's and Ray's documentation and tested at this boundary; there was no Ascend to run it on. See the
table in cluster/README.md.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from esr_ray.errors import UserError

SCHEDULER_S = 120.0
"""How long a scheduler may take to start: its process imports MindSpore first."""
PATIENCE = {
    "CPU": {"MS_CPU_COMM_OP_TIMEOUT": "86400"},
    "Ascend": {"HCCL_EXEC_TIMEOUT": "17340", "HCCL_CONNECT_TIMEOUT": "7200"},
}
"""Seconds (on Ascend the most that there may be) that members wait for one that validates or compiles.

By itself MindSpore ends a training on CPU whose first member validates for more than 30 s. A member that died is no
matter of time: Ray tells of it.
"""
FORGETS_PEAK = Path("/proc/self/clear_refs")
"""Linux: where a process may forget its peak of memory."""
VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
"""Ray sets it to the physical ids of the NPUs that an actor owns."""


@dataclass(frozen=True)
class Member:
    """One process of a group that trains together: its rank of `count`, and who brings them together.

    `scheduler` is the HOST:PORT at which MindSpore's scheduler listens. With a `rank_table` (a path, Ascend only) that
    file says who is in the group instead.
    """

    rank: int
    count: int
    scheduler: str
    rank_table: str | None = None


def use_target(target: str, mode: str) -> None:
    """Set MindSpore up in this process, before a network is built. `target` is CPU or Ascend, `mode` graph or pynative.

    On Ascend Ray sets ASCEND_RT_VISIBLE_DEVICES to the actor's one device, whose logical id is therefore 0.
    Raises UserError where MindSpore has no Ascend.
    """
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    if target == "Ascend":
        try:
            ms.set_device("Ascend", 0)
        except RuntimeError as error:
            raise UserError(
                f"MindSpore cannot compute on Ascend on {socket.gethostname()}: {_why_not(error)}; install MindSpore's "
                "build for Ascend and CANN there, and source CANN's set_env.sh before Ray, or the command, is started"
            ) from None
        return
    # One after the other: MindSpore's threads for what is not compiled wait for each other without a rest, which takes
    # ten times as long on one core.
    ms.runtime.launch_blocking()
    if ms.get_context("device_target") != "CPU":
        # Only where it is another: MindSpore takes no device once one is in use.
        ms.set_device("CPU")


def _why_not(error: RuntimeError) -> str:
    """Of the many lines that MindSpore says: which library did not load, or else the first one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if line.startswith("Load dynamic library")), lines[0]).rstrip(".")


def device_name(target: str, core: int | None) -> str:
    """The device of this process in words; `core` is the one that it has pinned itself to."""
    if target == "Ascend":
        return f"NPU {os.environ.get(VISIBLE, '?')}"
    return "CPU, unpinned" if core is None else f"CPU core {core}"


def memory_use(target: str) -> tuple[int, int]:
    """Bytes in use now, and at most so far: resident ones of this process on CPU, the networks' own on Ascend."""
    if target == "Ascend":
        import mindspore as ms

        return int(ms.runtime.memory_allocated()), int(ms.runtime.max_memory_allocated())
    # Not getrusage: of a process that was started by a larger one its peak is that one's.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = {name: value for name, _, value in (line.partition(":") for line in lines)}
    now, peak = (1024 * int(found[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return now, peak


def begin_peak(target: str) -> int | None:
    """Forget the peak of memory so far; bytes in use now. None where the system does not allow that, and the old peak
    stays."""
    if target == "Ascend":
        import mindspore as ms

        ms.runtime.reset_max_memory_allocated()
    else:
        # Linux: 5 sets VmHWM back to what is resident (proc(5), clear_refs).
        try:
            FORGETS_PEAK.write_text("5", encoding="ascii")
        except OSError:
            return None
    return memory_use(target)[0]


def physical_ids(environment: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Physical ids of the NPUs that this process may use, by logical id. Empty where the variable is not set.

    Raises ValueError where it holds something else than numbers.
    """
    text = environment.get(VISIBLE, "").strip()
    return tuple(int(part) for part in text.split(",")) if text else ()


def logical_id(physical: int, environment: Mapping[str, str] = os.environ) -> int:
    """The id by which this process knows a physical NPU. Raises ValueError where it may not use it."""
    visible = physical_ids(environment)
    if physical not in visible:
        raise ValueError(f"NPU {physical} is none of those of this process ({VISIBLE}={environment.get(VISIBLE)})")
    return visible.index(physical)


def member_environment(target: str, role: str, member: Member) -> dict[str, str]:
    """Environment variables by which MindSpore finds its group. `role` is worker or scheduler."""
    if member.rank_table is not None:
        return {
            "RANK_TABLE_FILE": member.rank_table,
            "RANK_ID": str(member.rank),
            "RANK_SIZE": str(member.count),
            "DEVICE_ID": "0",
        }
    host, _, port = member.scheduler.rpartition(":")
    names = {
        "MS_ROLE": "MS_SCHED" if role == "scheduler" else "MS_WORKER",
        "MS_WORKER_NUM": str(member.count),
        "MS_SCHED_HOST": host,
        "MS_SCHED_PORT": port,
    }
    if role == "worker":
        names["MS_NODE_ID"] = str(member.rank)
    if target == "Ascend":
        # A process sees one device, and that is its first.
        names["DEVICE_ID"] = "0"
    return names


def _wait_for(scheduler: str) -> None:
    """Until the scheduler listens: where MindSpore has asked too early, it may take a minute to ask again."""
    host, _, port = scheduler.rpartition(":")
    deadline = time.monotonic() + SCHEDULER_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the scheduler at {scheduler} does not answer: {error}") from None
            time.sleep(0.1)


def join_group(target: str, role: str, member: Member) -> None:
    """Join the processes that train together, before a network is built; a scheduler stays in here until they end.

    Raises RuntimeError (MindSpore's) where the group does not come together.
    """
    os.environ.update(member_environment(target, role, member))
    for name, value in PATIENCE[target].items():
        # The user may have set it.
        os.environ.setdefault(name, value)
    if role == "worker" and member.rank_table is None:
        _wait_for(member.scheduler)
    import mindspore as ms
    from mindspore import communication

    communication.init("hccl" if target == "Ascend" else "mccl")
    ms.set_auto_parallel_context(
        parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=member.count
    )
