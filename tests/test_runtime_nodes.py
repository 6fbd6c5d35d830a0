"""Several imitated nodes: who owns which device, nodes that join and leave, pictures that lie on another disk."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from clusters import SmallCluster
from commands import SOON_KNOWN
from PIL import Image

from esr_ray.config.load import check_config
from esr_ray.config.schema import RuntimeConfig
from esr_ray.data.store import has_store
from esr_ray.data.transfer import PART_BYTES, read_part
from esr_ray.networks.target import VISIBLE, logical_id, physical_ids
from esr_ray.runtime.evaluator import Evaluator, Ready, Reply
from esr_ray.runtime.node import this_node
from esr_ray.runtime.node_pictures import open_here
from esr_ray.runtime.placement import decide_placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.backend import BackendEvent, Began
from esr_ray.search.events import Failed, Lost
from esr_ray.tasks.pictures import cache_dir, open_pictures, plan_pictures, with_checksums

pytestmark = pytest.mark.timeout(400)

# Ray's workers cannot import this file: what they need of it is sent to them.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

CONFIG = {"pipeline": ["search"], "data": {"hr": "sample:scikit-image"}, "fast_training": {"steps": 3}}
FIRST = "first"
DEVICES = 2
"""NPUs of each node."""


class Nodes:
    """A cluster of named nodes."""

    def __init__(self) -> None:
        self.cluster = SmallCluster()
        self.by_name: dict[str, Any] = {}

    def add(self, name: str, **more: Any) -> None:
        options: dict[str, Any] = {"num_cpus": 4, "resources": {"NPU": DEVICES}, "node_name": name, **more}
        self.by_name[name] = self.cluster.add_node(**options)

    def remove(self, name: str) -> None:
        self.cluster.remove_node(self.by_name.pop(name), allow_graceful=False)

    def cut_off(self, name: str) -> list[psutil.Process]:
        """Nothing of a node answers any more: its processes, which wait."""
        raylet = psutil.Process(self.by_name.pop(name).all_processes["raylet"][0].process.pid)
        processes = [raylet, *raylet.children(recursive=True)]
        for process in processes:
            process.suspend()
        return processes


@pytest.fixture(scope="module")
def head() -> Iterator[Nodes]:
    """A cluster whose first node is all that the tests share."""
    made = Nodes()
    made.add(FIRST, resources={}, _system_config=SOON_KNOWN)
    try:
        yield made
    finally:
        made.cluster.shutdown()


@pytest.fixture
def nodes(head: Nodes) -> Iterator[Nodes]:
    """The cluster, to add nodes to."""
    try:
        yield head
        for name in [*head.by_name]:
            if name != FIRST:
                head.remove(name)
        deadline = time.monotonic() + 60
        while sum(node["Alive"] for node in ray.nodes()) > 1:
            assert time.monotonic() < deadline, "nodes that were removed are still known"
            time.sleep(0.1)
    finally:
        ray.shutdown()


def connect(nodes: Nodes) -> None:
    ray.init(address=nodes.cluster.address, log_to_driver=False)


class Told:
    """A job as far as the backend looks at it. It ends once its file is there, if it waits for one."""

    steps = 3

    def __init__(self, id: int, until: Path | None = None) -> None:
        self.id, self.until = id, until
        self.candidate = SimpleNamespace(id=id, mult_adds=10**9)


class Waits(Evaluator):
    """Does nothing until its job may end; the reply says where it was."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup

    def ready(self) -> Ready:
        return Ready(f"NPU {os.environ[VISIBLE]}", this_node(), os.getpid(), "no kernels")

    def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
        job = ray.get(references[0])[job_id]
        while job.until is not None and not job.until.exists():
            time.sleep(0.05)
        (physical,) = physical_ids()
        return Reply(None, f"{this_node()} {physical} {logical_id(physical)}", 0.0)


def backend_on(says: list[str], counts: list[int]) -> RayBackend:
    config = check_config({**CONFIG, "runtime": {"target": "cpu", "resource": "NPU"}}, "test")
    setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
    placement = decide_placement(config.runtime, ray.cluster_resources())
    return RayBackend(setup, placement, says.append, evaluator=Waits, devices=counts.append)


def events_until(backend: RayBackend, done: Callable[[list[BackendEvent]], bool]) -> list[BackendEvent]:
    seen: list[BackendEvent] = []
    deadline = time.monotonic() + 120
    while not done(seen):
        assert time.monotonic() < deadline, seen
        event = backend.next_event(0.5)
        if event is not None:
            seen.append(event)
    return seen


def ended(events: list[BackendEvent]) -> list[Failed]:
    return [event for event in events if isinstance(event, Failed)]


def test_each_device_of_each_node_has_one_evaluator(nodes: Nodes, tmp_path: Path) -> None:
    nodes.add("second")
    nodes.add("third")
    connect(nodes)
    backend = backend_on([], [])
    assert backend.placement.evaluators == 2 * DEVICES
    # None ends before each evaluator has one.
    backend.submit([Told(index, tmp_path / "go") for index in range(2 * DEVICES)])
    seen = events_until(backend, lambda events: sum(isinstance(event, Began) for event in events) == 2 * DEVICES)
    (tmp_path / "go").touch()
    seen += events_until(backend, lambda events: len(ended(events)) == 2 * DEVICES)
    backend.cancel()
    places = sorted(event.reason for event in ended(seen))
    # Physical ids are those of the node; within its process each is device 0.
    assert places == ["second 0 0", "second 1 0", "third 0 0", "third 1 0"]
    started = sorted((event.node, event.device) for event in seen if isinstance(event, Began))
    assert started == [("second", "NPU 0"), ("second", "NPU 1"), ("third", "NPU 0"), ("third", "NPU 1")]


def test_a_node_that_joins_is_used_and_what_a_removed_one_trained_is_lost_and_trained_elsewhere(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes.add("second")
    connect(nodes)
    says: list[str] = []
    counts: list[int] = []
    backend = backend_on(says, counts)
    # The first two never end where they are.
    never = tmp_path / "never"
    backend.submit([Told(0, never), Told(1, never), Told(2), Told(3)])
    events_until(backend, lambda events: sum(isinstance(event, Began) for event in events) == DEVICES)
    nodes.add("third")
    seen = events_until(backend, lambda events: len(ended(events)) == 2)
    assert [event.reason.split()[0] for event in ended(seen)] == ["third", "third"]
    assert "2 NPUs have joined: 4 evaluators" in says
    nodes.remove("second")
    seen = events_until(backend, lambda events: sum(isinstance(event, Lost) for event in events) == 2)
    lost = [event for event in seen if isinstance(event, Lost)]
    assert sorted(event.job for event in lost) == [0, 1]
    assert all("second" in event.reason for event in lost)
    # What the search loop does with those that were lost.
    backend.submit([Told(0), Told(1)])
    seen = events_until(backend, lambda events: len(ended(events)) == 2)
    assert [event.reason.split()[0] for event in ended(seen)] == ["third", "third"]
    events_until(backend, lambda events: "2 NPUs have gone: 2 evaluators" in says)
    assert counts[0] == 4
    assert counts[-1] == 2
    backend.cancel()


@pytest.mark.slow
def test_what_a_node_trained_that_was_cut_off_is_trained_elsewhere_and_one_that_comes_back_joins_anew(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes.add("second")
    connect(nodes)
    says: list[str] = []
    backend = backend_on(says, [])
    never = tmp_path / "never"
    backend.submit([Told(0, never), Told(1, never)])
    events_until(backend, lambda events: sum(isinstance(event, Began) for event in events) == DEVICES)
    cut = nodes.cut_off("second")
    seen = events_until(backend, lambda events: sum(isinstance(event, Lost) for event in events) == DEVICES)
    assert sorted(event.job for event in seen if isinstance(event, Lost)) == [0, 1]
    nodes.add("third")
    backend.submit([Told(0), Told(1)])
    seen = events_until(backend, lambda events: len(ended(events)) == DEVICES)
    assert {event.reason.split()[0] for event in ended(seen)} == {"third"}
    # It is told that it was given up, and ends; what it trains is asked of it no more.
    for process in cut:
        process.resume()
    _, left = psutil.wait_procs(cut, timeout=60)
    assert left == []
    # As `ray start` does there.
    nodes.add("second")
    backend.submit([Told(index) for index in range(2, 6)])
    seen = events_until(backend, lambda events: len(ended(events)) == 4)
    assert sorted(event.job for event in ended(seen)) == [2, 3, 4, 5]
    assert not any(isinstance(event, Lost) for event in seen)
    backend.cancel()


def test_a_number_that_was_configured_stays() -> None:
    runtime = RuntimeConfig(target="cpu", resource="NPU", evaluators=1)
    assert not decide_placement(runtime, {"NPU": 4.0, "CPU": 2.0}).follows
    assert decide_placement(RuntimeConfig(target="cpu"), {"CPU": 2.0}).follows


class Sends:
    """As the driver sends parts of a store; counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, 0

    def picture_part(self, checksum: str, suffix: str, offset: int) -> bytes:
        self.asked += 1
        return read_part(self.folder, checksum, suffix, offset)

    def count(self) -> int:
        return self.asked


@ray.remote
def pixels_here(setup: WorkerSetup) -> tuple[str, list[np.ndarray]]:
    pictures = open_here(setup)
    return this_node(), [pair.lr.copy() for pair in (*pictures.train, *pictures.validation, *pictures.test)]


@pytest.mark.parametrize("has", ["no files", "another copy of them"])
def test_pictures_reach_nodes_that_cannot_make_the_store_once(nodes: Nodes, tmp_path: Path, has: str) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(rng.integers(0, 256, (80, 96, 3), np.uint8)).save(photos / f"{index}.png")
    caches = {name: tmp_path / f"cache_of_{name}" for name in ("here", "second")}
    nodes.add("second", resources={"second": 4}, env_vars={"XDG_CACHE_HOME": str(caches["second"])})
    connect(nodes)
    content = {
        "pipeline": ["search"],
        "data": {"hr": str(photos), "split": {"validation": 0.25, "test": 0.25}},
        "fast_training": {"steps": 3, "crop_size": 16},
        "runtime": {"cache_dir": str(caches["here"])},
    }
    config = check_config(content, "test")
    plan = plan_pictures(config)
    pictures = open_pictures(plan, config)
    expected = [pair.lr for pair in (*pictures.train, *pictures.validation, *pictures.test)]
    plan = with_checksums(plan, pictures)
    if has == "no files":
        shutil.rmtree(photos)
    else:
        Image.fromarray(rng.integers(0, 256, (80, 96, 3), np.uint8)).save(photos / "0.png")
    sends = ray.remote(Sends).options(num_cpus=0).remote(cache_dir(plan))
    # As on a node with a disk of its own: the same configuration, another cache.
    elsewhere = check_config({**content, "runtime": {}}, "test")
    setup = WorkerSetup(elsewhere, "CPU", type(plan)(**{**vars(plan), "cache_dir": None}), (), sends)
    for name, pixels in ray.get([pixels_here.options(resources={"second": 1}).remote(setup) for _ in range(3)]):
        assert name == "second"
        for ours, theirs in zip(pixels, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert has_store(caches["second"] / "esr_ray", pictures.checksum)
    size = sum(path.stat().st_size for path in caches["here"].iterdir() if path.suffix in (".u8", ".json"))
    assert size < PART_BYTES
    # Two files, each a part and its end: brought once for the three.
    assert ray.get(sends.count.remote()) == 4
