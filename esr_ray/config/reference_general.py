"""The section `general` of the reference's files: what its documentation has there, and what that is to us."""

from __future__ import annotations

from typing import Any

from esr_ray.config.reference_file import ReferenceFile
from esr_ray.config.reference_refs import dotted

_TIMEOUT = "a training that takes too long is given up after runtime.candidate_timeout_s seconds; set that"
_DEVICES = "a candidate is trained on one device, the winner on runtime.trainers; see runtime.evaluators"
_CLUSTER = "the cluster is Ray's: start it, and name it with --address"
_DEVICE = "runtime.resource and runtime.target choose the device"

# Keys that change nothing in the result: (the values that mean what ours does anyway, what ours does).
_SAID: dict[str, tuple[tuple[Any, ...], str]] = {
    "backend": ((), "networks run on MindSpore, on CPUs on the package's own kernels; see runtime.kernels"),
    "device_category": ((), _DEVICE),
    "parallel_search": ((True,), "candidates are always trained in parallel, on all devices; see runtime.evaluators"),
    "parallel_fully_train": ((True,), "the full training uses all devices; see runtime.trainers"),
    "devices_per_trainer": ((1,), _DEVICES),
    "worker.devices_per_job": ((1,), _DEVICES),
    "worker.gpus_per_job": ((1,), _DEVICES),
    "timeout": ((), _TIMEOUT),
    "worker.timeout": ((), _TIMEOUT),
    "logger.level": (("info",), "the log has one level"),
    "cluster.master_ip": (("",), _CLUSTER),
    "cluster.slaves": (([],), _CLUSTER),
    "cluster.listen_port": ((), _CLUSTER),
    "task.backup_base_path": ((), "copy the run folder where you want it twice"),
}


def check_quota(file: ReferenceFile) -> None:
    """A quota decides which networks are trained, so that a search without it would be another one."""
    quota = [path for path, leaf in file.leaves.items() if path[:2] == ("general", "quota") and leaf.value]
    if quota:
        said = [f"{dotted(path[2:])}: {file.leaves[path].value!r}".removeprefix(": ") for path in quota]
        file.fault(
            ("general", "quota"),
            f"{', '.join(said)} rejects networks, and ours has no quota; remove it, and write its limits where ours "
            "has them: params (thousands) as min_params and max_params of search_algorithm.range, flops as "
            "--set space.max_mult_adds=..., latency as --set evolution.max_latency_ms=...",
        )
    for path in [path for path in file.leaves if path[:2] == ("general", "quota")]:
        file.take(path, None)


def translate_general(file: ReferenceFile) -> dict[str, Any]:
    """Return our section output, where the file says something of that; the rest of `general` is said."""
    for key, (meant, does) in _SAID.items():
        path = ("general", *key.split("."))
        value = file.take(path, None)
        if value is not None and value not in meant:
            file.warn(path, f"{value!r} is ignored: {does}")
    output: dict[str, Any] = {}
    for key, ours, does in (
        ("local_base_path", "dir", "run folders are made in it"),
        ("task_id", "name", "it is the run folder's name"),
    ):
        path = ("general", "task", key)
        if value := file.take(path, "str"):
            output[ours] = value
            file.warn(path, f"{value} is taken as output.{ours}: {does}")
    return {"output": output} if output else {}
