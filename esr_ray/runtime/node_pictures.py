"""The pictures of a run on a node that may not have them: from its own files where it can, else from the driver."""

from __future__ import annotations

from pathlib import Path

import ray

from esr_ray.data.store import has_store, store_checksum
from esr_ray.data.transfer import receive_store
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.tasks.pictures import Pictures, cache_dir, open_pictures


def open_here(setup: WorkerSetup) -> Pictures:
    """Open a run's pictures on this node. Raises UserError as `open_pictures` does."""
    bring_missing(setup)
    return open_pictures(setup.pictures, setup.config)


def bring_missing(setup: WorkerSetup) -> None:
    """Bring those stores here that this node has neither made nor can make: it has no files, or other ones."""
    if setup.driver is None or setup.driver_node == ray.get_runtime_context().get_node_id():
        return
    plan, folder = setup.pictures, cache_dir(setup.pictures)
    specs = (plan.sets, *plan.benchmarks)
    for spec, checksum in zip(specs, plan.checksums, strict=False):
        files = [path for _, pairs in spec.sets for pair in pairs for path in (pair.hr, pair.lr) if path is not None]
        if has_store(folder, checksum):
            continue
        if not all(path.exists() for path in files) or store_checksum(spec) != checksum:
            _bring(setup, folder, checksum)


def _bring(setup: WorkerSetup, folder: Path, checksum: str) -> None:
    def read(suffix: str, offset: int) -> bytes:
        part: bytes = ray.get(setup.driver.picture_part.remote(checksum, suffix, offset))
        return part

    receive_store(folder, checksum, read)
