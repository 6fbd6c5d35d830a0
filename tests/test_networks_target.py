"""What is different on Ascend, with a MindSpore that only notes what it is told: there is no such device here."""

import os
import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from esr_ray.errors import UserError
from esr_ray.networks.target import (
    VISIBLE,
    Member,
    device_name,
    join_group,
    logical_id,
    member_environment,
    memory_use,
    physical_ids,
    use_target,
)


@pytest.fixture
def told(monkeypatch):
    """What a fake MindSpore was told, in order."""
    calls = []

    def note(name):
        return lambda *given, **named: calls.append((name, *given, *named.items()))

    communication = SimpleNamespace(init=note("init"))
    fake = SimpleNamespace(
        GRAPH_MODE=0,
        PYNATIVE_MODE=1,
        ParallelMode=SimpleNamespace(DATA_PARALLEL="data_parallel"),
        set_context=note("context"),
        get_context=lambda key: "Ascend",
        set_device=note("device"),
        runtime=SimpleNamespace(launch_blocking=note("blocking")),
        set_auto_parallel_context=note("parallel"),
        communication=communication,
    )
    monkeypatch.setitem(sys.modules, "mindspore", fake)
    return calls


def test_ascend_is_its_first_device_in_either_mode(told):
    use_target("Ascend", "graph")
    use_target("Ascend", "pynative")
    device = ("device", "Ascend", 0)
    assert told == [("context", ("mode", 0)), device, ("context", ("mode", 1)), device]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Unsupported device target Ascend. Check it.\n\n---\n- Device load error message:\n---\n"
            "Load dynamic library: libmindspore_ascend.so.2 failed. libge_runner.so: cannot open\nmore\n\nms.cc:291",
            r"Load dynamic library: libmindspore_ascend\.so\.2 failed\. libge_runner\.so: cannot open; install",
        ),
        ("Device 0 is in use.\n\nms.cc:291", r"Device 0 is in use; install"),
        ("", r"RuntimeError; install"),
    ],
)
def test_where_mindspore_has_no_ascend_the_user_is_told_why(told, monkeypatch, said, reason):
    def refuse(*given):
        raise RuntimeError(said)

    monkeypatch.setattr(sys.modules["mindspore"], "set_device", refuse)
    with pytest.raises(UserError, match=r"^MindSpore cannot compute on Ascend on \S+: " + reason) as raised:
        use_target("Ascend", "graph")
    assert "\n" not in str(raised.value)


def test_cpu_is_chosen_where_mindspore_has_another_target(told):
    use_target("CPU", "graph")
    assert told == [("context", ("mode", 0)), ("blocking",), ("device", "CPU")]


def test_a_scheduler_that_does_not_answer_is_told(told, monkeypatch):
    monkeypatch.setattr("esr_ray.networks.target.SCHEDULER_S", 0.3)
    for name in member_environment("CPU", "worker", Member(0, 2, "127.0.0.1:1")):
        monkeypatch.setenv(name, "")
    with pytest.raises(RuntimeError, match=r"the scheduler at 127\.0\.0\.1:1 does not answer"):
        join_group("CPU", "worker", Member(0, 2, "127.0.0.1:1"))
    assert told == []


def test_memory_is_the_networks_on_ascend(told, monkeypatch):
    device = SimpleNamespace(memory_allocated=lambda: 7, max_memory_allocated=lambda: 9)
    monkeypatch.setattr(sys.modules["mindspore"], "runtime", device, raising=False)
    assert memory_use("Ascend") == (7, 9)


def test_memory_is_the_process_on_cpu():
    before, peak = memory_use("CPU")
    assert 10e6 < before <= 1.01 * peak
    held = np.ones(50_000_000)
    now, peak = memory_use("CPU")
    assert now - before == pytest.approx(held.nbytes, rel=0.05)
    assert peak >= 0.99 * now
    del held
    later, unchanged = memory_use("CPU")
    assert later < now - 300e6
    # The kernel counts by and by.
    assert unchanged == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize(
    ("target", "backend", "patience"),
    [
        ("Ascend", "hccl", {"HCCL_EXEC_TIMEOUT": "17340", "HCCL_CONNECT_TIMEOUT": "600"}),
        ("CPU", "mccl", {"MS_CPU_COMM_OP_TIMEOUT": "86400"}),
    ],
)
def test_a_group_is_joined_by_the_targets_own_means(told, monkeypatch, target, backend, patience):
    for name in ("MS_ROLE", "MS_WORKER_NUM", "MS_SCHED_HOST", "MS_SCHED_PORT", "MS_NODE_ID", "DEVICE_ID", *patience):
        # Put back after the test.
        monkeypatch.setenv(name, "")
    for name in patience:
        del os.environ[name]
    # What the user has set stays.
    monkeypatch.setenv("HCCL_CONNECT_TIMEOUT", "600")
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        join_group(target, "worker", Member(1, 4, f"127.0.0.1:{scheduler.getsockname()[1]}"))
    assert told == [
        ("init", backend),
        ("parallel", ("parallel_mode", "data_parallel"), ("gradients_mean", True), ("device_num", 4)),
    ]
    assert {name: os.environ[name] for name in patience} == patience


def test_environment_of_a_group_that_finds_itself():
    worker = member_environment("CPU", "worker", Member(1, 2, "10.0.0.1:8118"))
    common = {"MS_WORKER_NUM": "2", "MS_SCHED_HOST": "10.0.0.1", "MS_SCHED_PORT": "8118"}
    assert worker == {**common, "MS_ROLE": "MS_WORKER", "MS_NODE_ID": "1"}
    assert member_environment("CPU", "scheduler", Member(0, 2, "10.0.0.1:8118")) == {**common, "MS_ROLE": "MS_SCHED"}
    assert member_environment("Ascend", "worker", Member(1, 2, "10.0.0.1:8118")) == {**worker, "DEVICE_ID": "0"}


def test_environment_of_a_group_by_rank_table():
    found = member_environment("Ascend", "worker", Member(3, 8, "", "/data/hccl.json"))
    assert found == {"RANK_TABLE_FILE": "/data/hccl.json", "RANK_ID": "3", "RANK_SIZE": "8", "DEVICE_ID": "0"}


def test_physical_and_logical_ids_are_each_others_inverse():
    environment = {VISIBLE: "6,2,7"}
    assert physical_ids(environment) == (6, 2, 7)
    for logical, physical in enumerate(physical_ids(environment)):
        assert logical_id(physical, environment) == logical
    with pytest.raises(ValueError, match=rf"NPU 3 is none of those of this process \({VISIBLE}=6,2,7\)"):
        logical_id(3, environment)
    assert physical_ids({}) == physical_ids({VISIBLE: ""}) == ()


def test_devices_are_named_as_their_owner_knows_them(monkeypatch):
    monkeypatch.setenv(VISIBLE, "6")
    assert device_name("Ascend", None) == "NPU 6"
    assert device_name("CPU", 3) == "CPU core 3"
    assert device_name("CPU", None) == "CPU, unpinned"
