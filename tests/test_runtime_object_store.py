"""Ray's object store: shared memory that is small, as in a container, and a store that others have filled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import ray
from cases import Case
from clusters import SmallCluster
from commands import events

import esr_ray

# Ray's workers cannot import this file: what they need of it is sent to them.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STORE = 80 * 2**20
"""About the least that Ray takes."""

# In a mount namespace of its own, so that it is this command's alone.
SMALL = 'mount -t tmpfs -o size=4m tmpfs /dev/shm && exec "$@"'
AS_ROOT_THERE = ("unshare", "--mount", "--map-root-user", "sh", "-c")


def may_mount() -> bool:
    if shutil.which(AS_ROOT_THERE[0]) is None:
        return False
    return subprocess.run([*AS_ROOT_THERE, SMALL, "sh", "true"], capture_output=True, check=False).returncode == 0


def test_a_small_shared_memory_is_enough(case: Case) -> None:
    """Docker gives 64 MB."""
    if not may_mount():
        pytest.skip("nothing may be mounted here")
    case.set("runtime.evaluators", 1).set("runtime.trainers", 1)
    command = [sys.executable, "-m", "esr_ray.search", case.write()]
    done = subprocess.run([*AS_ROOT_THERE, SMALL, "sh", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("Best values: ")
    assert "WARNING" not in done.stdout


class Holds:
    """Fills the store twice, and lets go of nothing."""

    def fill(self) -> int:
        self.held = [ray.put(np.full(2**21, index, np.float32)) for index in range(2 * STORE // 2**23)]
        return len(self.held)


def test_a_store_that_others_have_filled_loses_no_candidate(case: Case) -> None:
    cluster = SmallCluster()
    try:
        cluster.add_node(num_cpus=2, object_store_memory=STORE)
        ray.init(address=cluster.address, log_to_driver=False)
        holder = ray.remote(Holds).options(num_cpus=0, name="holds", lifetime="detached").remote()
        assert ray.get(holder.fill.remote()) == 20
        ray.shutdown()
        case.set("runtime.evaluators", 1).set("runtime.trainers", 1)
        result = esr_ray.search_networks(case.content, address=cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert result.finished
    kinds = [event["event"] for event in events(result.folder)]
    assert kinds.count("finished") == 4
    assert not {"lost", "failed"} & set(kinds)
    assert json.loads((result.folder / "result.json").read_text())["best"]["arch"] == list(result.winner.arch)
