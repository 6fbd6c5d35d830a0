"""Which devices a search runs on, never silently others than asked for; and one core for each evaluator on CPU."""

import os
import subprocess
import sys

import pytest

from esr_ray.config.schema import RuntimeConfig
from esr_ray.errors import UserError
from esr_ray.runtime.pinning import idle_first
from esr_ray.runtime.placement import check_same_devices, decide_placement, ray_options

CPUS = {"CPU": 4.0, "memory": 1e9}
NPUS = {"CPU": 16.0, "NPU": 8.0}


@pytest.mark.parametrize(
    ("keys", "resources", "expected"),
    [
        ({}, CPUS, ("CPU", "CPU", 4)),
        ({"target": "cpu"}, CPUS, ("CPU", "CPU", 4)),
        ({"resource": "CPU", "evaluators": 3}, CPUS, ("CPU", "CPU", 3)),
        ({}, NPUS, ("NPU", "Ascend", 8)),
        ({"target": "ascend"}, NPUS, ("NPU", "Ascend", 8)),
        ({"resource": "NPU", "evaluators": 8}, NPUS, ("NPU", "Ascend", 8)),
        ({"target": "cpu"}, NPUS, ("CPU", "CPU", 16)),
        ({"resource": "CPU"}, NPUS, ("CPU", "CPU", 16)),
        ({"resource": "NPU", "target": "cpu"}, NPUS, ("NPU", "CPU", 8)),
        ({"resource": "NPU", "target": "ascend"}, {"NPU": 2.0}, ("NPU", "Ascend", 2)),
    ],
)
def test_devices_are_those_that_ray_has_and_the_configuration_asks_for(keys, resources, expected):
    placement = decide_placement(RuntimeConfig(**keys), resources)
    assert (placement.resource, placement.target, placement.evaluators) == expected


@pytest.mark.parametrize(
    ("keys", "resources", "message"),
    [
        ({"target": "ascend"}, CPUS, "runtime.target: ascend is asked for, but Ray sees 4 CPU and 0 NPU; run on nodes"),
        ({"resource": "NPU"}, CPUS, "runtime.resource: NPU is asked for, but Ray sees 4 CPU and 0 NPU; start Ray with"),
        (
            {"resource": "NPU", "target": "cpu"},
            CPUS,
            "runtime.resource: NPU is asked for, but Ray sees 4 CPU and 0 NPU",
        ),
        (
            {"resource": "CPU", "target": "ascend"},
            CPUS,
            "runtime.target: ascend is asked for, but Ray sees 4 CPU and 0",
        ),
        ({"resource": "CPU", "target": "ascend"}, NPUS, "runtime.resource: must be NPU (or auto) for runtime.target"),
        ({"evaluators": 5}, CPUS, "runtime.evaluators: 5 are asked for, but Ray sees 4 CPU and 0 NPU; lower it"),
        ({"evaluators": 9}, NPUS, "runtime.evaluators: 9 are asked for, but Ray sees 16 CPU and 8 NPU; lower it"),
        ({}, {"CPU": 0.0}, "runtime.resource: CPU is asked for, but Ray sees 0 CPU and 0 NPU; start Ray with"),
    ],
)
def test_devices_that_ray_has_not_are_an_error_that_says_what_it_sees(keys, resources, message):
    with pytest.raises(UserError) as caught:
        decide_placement(RuntimeConfig(**keys), resources)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_under_way_goes_on_with_the_devices_that_are_left():
    runtime = RuntimeConfig(evaluators=16)
    with pytest.raises(UserError, match=r"runtime\.evaluators: 16 are asked for"):
        decide_placement(runtime, NPUS)
    assert decide_placement(runtime, NPUS, under_way=True).evaluators == 8
    assert decide_placement(RuntimeConfig(evaluators=3), NPUS, under_way=True).evaluators == 3
    with pytest.raises(UserError, match=r"runtime\.resource: NPU is asked for"):
        decide_placement(RuntimeConfig(resource="NPU"), CPUS, under_way=True)


def test_a_run_that_began_on_npus_goes_on_on_cpus_only_where_that_is_said():
    began = {"resource": "NPU"}
    runtime = RuntimeConfig()
    with pytest.raises(UserError, match=r"the run began on NPUs, and Ray has none now \(4 evaluators, one CPU each"):
        check_same_devices(runtime, decide_placement(runtime, CPUS), began)
    for said in ({"resource": "CPU"}, {"target": "cpu"}):
        check_same_devices(RuntimeConfig(**said), decide_placement(RuntimeConfig(**said), CPUS), began)
    check_same_devices(runtime, decide_placement(runtime, NPUS), began)
    # A new run, and one of a version that did not journal it.
    for nothing in (None, {}):
        check_same_devices(runtime, decide_placement(runtime, CPUS), nothing)


def test_reason_says_what_was_found_and_what_computes():
    assert decide_placement(RuntimeConfig(), CPUS).reason == (
        "4 evaluators, one CPU each, computing on cpu (Ray sees 4 CPU and 0 NPU)"
    )
    assert decide_placement(RuntimeConfig(), NPUS).reason == (
        "8 evaluators, one NPU each, computing on ascend (Ray sees 16 CPU and 8 NPU)"
    )


def test_imitated_npus_are_said_to_compute_on_cpu():
    placement = decide_placement(RuntimeConfig(resource="NPU", target="cpu"), NPUS)
    assert "NPU resources, computing on CPU as runtime.target says" in placement.reason


def test_a_device_is_what_ray_counts():
    assert ray_options(decide_placement(RuntimeConfig(), CPUS)) == {"num_cpus": 1}
    assert ray_options(decide_placement(RuntimeConfig(), NPUS)) == {"num_cpus": 0, "resources": {"NPU": 1}}


# Cores.

PIN = """
import os, sys
os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(",")})
from esr_ray.runtime.pinning import pin_to_free_core
print(pin_to_free_core(), sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""


class Pinned:
    """A process that takes a core out of those allowed, and holds it until it is told to end."""

    def __init__(self, allowed, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PIN, ",".join(map(str, allowed))],
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        core, _, affinity = self.process.stdout.readline().strip().partition(" ")
        self.core = None if core == "None" else int(core)
        self.affinity = [int(one) for one in affinity.strip("[]").split(",")]

    def end(self, kill=False):
        if kill:
            self.process.kill()
        self.process.communicate()


def test_each_process_has_a_core_of_its_own_until_it_ends(tmp_path):
    allowed = sorted(os.sched_getaffinity(0))[:2]
    running = [Pinned(allowed, tmp_path) for _ in allowed]
    try:
        assert sorted(one.core for one in running) == allowed
        assert all(one.affinity == [one.core] for one in running)
        late = Pinned(allowed, tmp_path)
        late.end()
        assert late.core is None
        assert late.affinity == allowed
        for kill in (False, True):
            ended = running.pop(0)
            ended.end(kill)
            running.append(Pinned(allowed, tmp_path))
            assert running[-1].core == ended.core
    finally:
        for one in running:
            one.end()


def test_cores_that_others_use_come_last(monkeypatch):
    monkeypatch.setattr("psutil.cpu_percent", lambda interval, percpu: [9.0, 98.0, 0.0, 60.0, 11.0])
    assert idle_first({0, 1, 2, 3, 4}) == [0, 2, 4, 3, 1]
    # One that was switched off is not shown, and so moves the others.
    assert idle_first({5, 1, 4}) == [4, 5, 1]


def test_core_that_is_not_allowed_is_not_taken(tmp_path):
    last = max(os.sched_getaffinity(0))
    one = Pinned([last], tmp_path)
    one.end()
    assert one.core == last
