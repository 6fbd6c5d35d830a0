"""`esr_ray.train` with two real workers: networks given by name, a worker killed, an interruption, what is wrong."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import SmallCluster
from commands import SOON_KNOWN, Command, events, of_kind, run_here, wait_for, workers_here
from gate import Gate

import esr_ray
from esr_ray.api.planned import Planned
from esr_ray.config.schema import Config
from esr_ray.networks.checkpoint import load_checkpoint
from esr_ray.runs.status import Status
from esr_ray.space.counts import network_cost
from esr_ray.train import main

pytestmark = pytest.mark.timeout(400)

ARCH = ("S_1_4_8", "G_2_4_8")
OTHER = ("C_1_4_8",)
STEPS = 80
EVERY = 20

CONFIG: dict[str, Any] = {
    "seed": 3,
    "space": {"base_channels": 4, "min_active": 1, "node_num": 3, "conv_num": [1, 2], "growth_rate": [4, 8]},
    "data": {"hr": "sample:scikit-image", "validation_size": 16},
    "full_training": {
        "steps": STEPS,
        "batch_size": 4,
        "crop_size": 16,
        "learning_rate": 1e-3,
        "average_weights": 0.99,
        "checkpoint_steps": EVERY,
        "validation_steps": 40,
    },
    "benchmarks": [],
}


WAIT_AT = 60
"""Pictures that a process has seen after 30 steps, with two processes: a state is kept, and the next is not."""


@pytest.fixture(scope="module", params=["auto", pytest.param("plain", marks=pytest.mark.slow)])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    runtime = {"cache_dir": str(folder / "cache"), "kernels": request.param}
    content = {**CONFIG, "task": Gate(folder).task, "runtime": runtime, "output": {"dir": str(folder)}}
    (folder / "tiny.yml").write_text(json.dumps(content))
    return folder


@pytest.fixture
def gate(home: Path) -> Iterator[Gate]:
    made = Gate(home)
    yield made
    made.open()


@pytest.fixture
def train(home: Path) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(*arguments: str) -> Command:
        commands.append(Command(home, "esr_ray.train", *arguments))
        return commands[-1]

    yield start
    for command in commands:
        command.kill_group()


@pytest.fixture(scope="module")
def uninterrupted(home: Path, ray_address: str) -> Path:
    """Two networks, trained one after the other."""
    archs = ["--arch", ",".join(ARCH), "--arch", ",".join(OTHER)]
    status, printed = run_here(main, *archs, home / "tiny.yml", "--set", "output.name=whole", "--address", ray_address)
    assert status == 0, printed
    assert "full training on 2 devices" in printed
    assert "Values: [{'network': 'network_00'" in printed
    return home / "whole"


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_checkpoint(folder / "checkpoints" / "network_00.ckpt")[0]


def assert_same_weights(folder: Path, other: Path) -> None:
    ours, theirs = weights(folder), weights(other)
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def test_networks_are_trained_in_full_and_reported(uninterrupted: Path) -> None:
    for label, arch in (("network_00", ARCH), ("network_01", OTHER)):
        parameters, spec = load_checkpoint(uninterrupted / "checkpoints" / f"{label}.ckpt")
        assert spec.arch == arch
        assert sum(value.size for value in parameters.values()) == network_cost(arch, 4, 2).params
        assert not (uninterrupted / "checkpoints" / f"{label}.state.npz").exists()
    result = json.loads((uninterrupted / "result.json").read_text())["networks"]
    assert [tuple(one["arch"]) for one in result.values()] == [ARCH, OTHER]
    for one in result.values():
        (part,) = one["full_training"]["sets"]
        assert part["name"] == "test"
        assert 10 < part["network"]["psnr_y"] < 60
    kinds = [event["event"] for event in events(uninterrupted)]
    of_one = ["begun", "validated", "validated", "trained", "reported"]
    assert kinds == ["run", *of_one, *of_one, "closed"]
    for event in of_kind(uninterrupted, "trained"):
        assert event["curve"][-1][0] == STEPS
        assert event["curve"][-1][1] < event["curve"][0][1]
    log = (uninterrupted / "log.txt").read_text()
    for step in (40, STEPS):
        assert f"full training: step {step}: validation" in log


def test_killed_processes_cost_what_came_after_the_last_state(
    uninterrupted: Path, home: Path, gate: Gate, ray_address: str
) -> None:
    folder, lines, killed = home / "killed", [], []
    gate.close_full_training(WAIT_AT)

    def placed(times: int) -> bool:
        log, begun = (folder / "log.txt").read_text(), of_kind(folder, "begun")
        return log.count("full training on 2 devices") == times and len(begun) == times

    def kill(status: Status) -> None:
        lines.extend(status.lines)
        if not killed and (folder / "checkpoints" / "network_00.state.npz").is_file():
            killed.append("trainer")
            workers_here("ray::Trainer")[-1].kill()
        elif killed == ["trainer"] and status.process and placed(2):
            # Ray restarts it; the devices that it had placed trainers on are held then.
            killed.append("driver")
            os.kill(status.process, signal.SIGKILL)
            gate.open()

    esr_ray.train_networks(
        home / "tiny.yml", ["output.name=killed"], networks=[ARCH], address=ray_address, on_status=kill
    )
    assert killed == ["trainer", "driver"]
    assert placed(3)
    said = "\n".join(lines)
    assert "full training: lost: trainer" in said
    assert "it is begun again from its last state" in said
    assert "driver restarted" in said
    assert said.count("full training: goes on after step") == 2
    (trained,) = of_kind(folder, "trained")
    assert trained["curve"] == of_kind(uninterrupted, "trained")[0]["curve"]
    first, *others = [event["step"] for event in of_kind(folder, "begun")]
    assert first == 0
    assert len(others) == 2
    assert set(others) <= {*range(EVERY, STEPS, EVERY)}
    # What the first driver was told is shown by the one that came after it too.
    (events_file,) = (folder / "tensorboard").iterdir()
    assert events_file.read_bytes().count(b"3_full_training/psnr_rgb_network_00") == 2
    assert of_kind(folder, "validated")[-1]["psnr_y"] == of_kind(uninterrupted, "validated")[1]["psnr_y"]
    assert_same_weights(folder, uninterrupted)


@pytest.mark.parametrize(
    ("trainers", "says"),
    [
        ("2", "waits for nodes to join: runtime.trainers: 2 are asked for, but Ray has 1 devices"),
        pytest.param("auto", "full training on 1 device:", marks=pytest.mark.slow),
    ],
)
def test_where_a_node_dies_the_training_goes_on(
    uninterrupted: Path, home: Path, gate: Gate, trainers: str, says: str
) -> None:
    """With another node, where it needs one; else with those that are left, which rounds differently."""
    folder, lines, done = home / f"node-{trainers}", [], []
    overrides = [f"output.name={folder.name}", f"runtime.trainers={trainers}"]
    gate.close_full_training(WAIT_AT)
    cluster = SmallCluster()

    def change(status: Status) -> None:
        lines.extend(status.lines)
        if not done and (folder / "checkpoints" / "network_00.state.npz").is_file():
            done.append("removed")
            cluster.remove_node(node, allow_graceful=False)
        elif done == ["removed"] and says in (folder / "log.txt").read_text():
            done.append("told")
            gate.open()
            if trainers != "auto":
                cluster.add_node(num_cpus=1)

    try:
        cluster.add_node(num_cpus=1, _system_config=SOON_KNOWN)
        node = cluster.add_node(num_cpus=1)
        esr_ray.train_networks(home / "tiny.yml", overrides, networks=[ARCH], address=cluster.address, on_status=change)
    finally:
        cluster.shutdown()
    assert done == ["removed", "told"]
    assert "full training: goes on after step" in "\n".join(lines)
    if trainers != "auto":
        assert_same_weights(folder, uninterrupted)


@pytest.mark.slow
def test_ctrl_c_leaves_a_training_that_resumes_to_the_same_weights(
    uninterrupted: Path, home: Path, train: Callable[..., Command], gate: Gate
) -> None:
    gate.close_full_training(WAIT_AT)
    command = train("--arch", ",".join(ARCH), "tiny.yml", "--set", "output.name=stopped")
    state = home / "stopped" / "checkpoints" / "network_00.state.npz"
    wait_for(state.is_file, command)
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 130, command.output()
    assert "--resume" in command.output()
    assert not of_kind(home / "stopped", "trained")
    gate.open()
    whole = state.read_bytes()
    state.write_bytes(whole[:-300])
    refused = train("--resume", "stopped")
    assert refused.wait() == 2, refused.output()
    (line,) = [line for line in refused.output().splitlines() if line.startswith("error:")]
    assert "network_00.state.npz: is not a readable training state" in line
    state.write_bytes(whole)
    resumed = train("--resume", "stopped")
    assert resumed.wait() == 0, resumed.output()
    assert "full training: goes on after step" in resumed.output()
    assert_same_weights(home / "stopped", uninterrupted)
    # Once more does nothing.
    before = len(events(home / "stopped"))
    again = train("--resume", "stopped")
    assert again.wait() == 0, again.output()
    assert [event["event"] for event in events(home / "stopped")[before:]] == ["resumed", "closed"]


def test_a_configuration_may_name_the_networks_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its key `networks`, as a run's own config.yml does; others that are given come in their place."""
    content = json.loads((home / "tiny.yml").read_text()) | {"networks": [ARCH, OTHER], "pipeline": ["full_training"]}
    (home / "named.yml").write_text(json.dumps(content))
    monkeypatch.chdir(home)
    found: list[Config] = []

    def keep(planned: Planned, *more: object) -> int:
        found.append(planned.config)
        return 0

    monkeypatch.setattr("esr_ray.train.run_planned", keep)
    assert main(["named.yml", "--set", "full_training.steps=7"]) == 0
    assert (found[0].networks, found[0].full_training.steps) == ((ARCH, OTHER), 7)
    assert main(["named.yml", "--arch", ",".join(OTHER)]) == 0
    assert found[1].networks == (OTHER,)


# What is wrong is told before anything starts.


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


def test_what_is_wrong_is_one_line(
    uninterrupted: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    arch = ",".join(ARCH)
    assert "give a run folder, or --arch" in refused(capsys)
    assert "give a configuration file too" in refused(capsys, "--arch", arch)
    assert "there is no such run folder or arch.txt" in refused(capsys, "nowhere", "tiny.yml")
    assert "networks[0]: 'X_1_4_8'" in refused(capsys, "--arch", "X_1_4_8", "tiny.yml")
    assert "networks[0]: 'S_1' is not a block" in refused(capsys, "--arch", "S_1", "tiny.yml")
    assert "other.yml: a second configuration" in refused(capsys, "tiny.yml", "other.yml", "--arch", arch)
    assert "--best 0" in refused(capsys, "--arch", arch, "tiny.yml", "--best", "0")
    assert "is not a run folder" in refused(capsys, "--resume", "nowhere")
    assert "begin a new run for others" in refused(capsys, "--resume", str(uninterrupted), "--arch", arch)
    message = refused(capsys, "--arch", arch, "tiny.yml", "--set", "pipeline=[search]")
    assert "networks are trained without a search" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": "1.0", ', "hccl.json, line 1, column"),
        (
            '{"version": "1.0", "server_count": "1", "status": "completed", "server_list": [{"server_id": "10.1.1.1", '
            '"device": [{"device_id": "0", "device_ip": "192.98.92.1", "rank_id": "0"}]}]}',
            "hccl.json: server 10.1.1.1 is no node with NPUs of Ray's cluster",
        ),
    ],
)
def test_a_wrong_rank_table_is_told_before_anything_is_trained(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ray_address: str, content: str, message: str
) -> None:
    (tmp_path / "hccl.json").write_text(content)
    arguments = ["--arch", ",".join(ARCH), str(home / "tiny.yml"), "--set", f"runtime.rank_table={tmp_path}/hccl.json"]
    arguments += ["--set", f"output.dir={tmp_path}", "--set", "output.name=run", "--address", ray_address]
    line = refused(capsys, *arguments)
    assert message in line
    assert line.endswith(f"(nothing was done yet: --resume {tmp_path}/run --set KEY=VALUE goes on)")
    assert [event["event"] for event in events(tmp_path / "run")] == ["closed"]
