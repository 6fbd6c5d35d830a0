"""Real searches on Ray: two workers, and interruptions of every kind.

What is about a Ray of this machine alone, and about signals, is a command of its own, as a user starts it; what goes on
with a run, or dies within Ray, is done by this process on the Ray of all tests.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Command, events, of_kind, run_here, wait_for, workers_here
from gate import Gate
from worlds import PAPER

import esr_ray
from esr_ray.native.library import NativeUnavailable, load_library
from esr_ray.runs.status import Status
from esr_ray.search.__main__ import main

pytestmark = pytest.mark.timeout(400)

CONFIG = {
    "seed": 3,
    "pipeline": ["search"],
    "space": {
        "node_num": 3,
        "min_active": 1,
        "base_channels": 4,
        "conv_num": [1, 2],
        "growth_rate": [4, 8],
        "max_params": 8000,
    },
    "evolution": {"num_generation": 2, "num_individual": 4, "num_elitism": 2, "mutation_rate": 0.3, **PAPER},
    "data": {"hr": "sample:scikit-image", "validation_size": 16},
    "fast_training": {"steps": 3, "batch_size": 2, "crop_size": 8, "learning_rate": 1e-3},
    "full_training": {"steps": 3, "batch_size": 2, "crop_size": 8, "learning_rate": 1e-3},
}

ONE = ("--set", "runtime.evaluators=1")
"""How many evaluators there are changes no record, and the second would take seconds to start."""
VOLATILE = {"time", "seconds", "device", "node"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two configurations; decoded pictures are kept there too."""
    folder = tmp_path_factory.mktemp("search")
    content = {**CONFIG, "runtime": {"cache_dir": str(folder / "cache")}, "output": {"dir": str(folder)}}
    # JSON is YAML.
    (folder / "gated.yml").write_text(json.dumps({**content, "task": Gate(folder).task}))
    content["runtime"]["kernels"] = "plain"
    (folder / "plain.yml").write_text(json.dumps(content))
    return folder


@pytest.fixture
def gate(home: Path) -> Iterator[Gate]:
    made = Gate(home)
    yield made
    made.open()


@pytest.fixture
def search(home: Path) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(*arguments: str) -> Command:
        commands.append(Command(home, "esr_ray.search", *arguments))
        return commands[-1]

    yield start
    for command in commands:
        command.kill_group()


def records(folder: Path) -> list[dict[str, Any]]:
    """Asked and finished records, by job, without times and hosts."""
    kept = [event for event in events(folder) if event["event"] in ("asked", "finished")]
    plain = [{key: value for key, value in event.items() if key not in VOLATILE} for event in kept]
    return sorted(plain, key=lambda event: (event["event"], event["job"]))


def resume(folder: Path, address: str, *more: str) -> str:
    """What was printed by a command that went on with a run to its end."""
    status, printed = run_here(main, "--resume", folder, *ONE, *more, "--address", address)
    assert status == 0, printed
    return printed


@pytest.fixture(scope="module")
def finished_search(home: Path, ray_address: str) -> tuple[Path, str]:
    """A finished search with two workers, of which each had a part, and its closing line."""
    folder, gate = home / "uninterrupted", Gate(home)
    gate.close(folder, 0)

    def open_once_both_train(status: Status) -> None:
        if len(of_kind(folder, "started")) >= 2:
            gate.open()

    try:
        result = esr_ray.search_networks(
            home / "gated.yml", ["output.name=uninterrupted"], address=ray_address, on_status=open_once_both_train
        )
    finally:
        gate.open()
    assert result.finished
    return folder, result.message


@pytest.fixture(scope="module")
def uninterrupted(finished_search: tuple[Path, str]) -> Path:
    return finished_search[0]


def test_two_workers_train_every_candidate_once(finished_search: tuple[Path, str]) -> None:
    uninterrupted, message = finished_search
    finished = of_kind(uninterrupted, "finished")
    asked = of_kind(uninterrupted, "asked")
    assert sorted(one["job"] for one in finished) == [one["job"] for one in asked]
    # Another network each: what was asked for before is not trained again.
    assert len({tuple(one["birth"]["arch"]) for one in asked}) == len(finished) == 8
    assert len({one["device"] for one in of_kind(uninterrupted, "started")}) == 2
    assert [one["batch"] for one in asked] == [0] * 4 + [1] * 4
    assert events(uninterrupted)[-1]["reason"] == "finished"
    # What a task of a user's is judged by; test_the_winner_is_trained_reported_and_saved has that of PSNR on Y.
    assert_names_best(message, uninterrupted, "psnr_rgb")


def assert_names_best(last_line: str, folder: Path, by: str) -> None:
    best = max(of_kind(folder, "finished"), key=lambda one: one[by])
    assert last_line.startswith(f"Best values: [{{'worker_id': {best['candidate']}, ")
    named = json.loads((folder / "result.json").read_text())["best"]
    assert named["id"] == best["candidate"]
    assert f"'PSNR': {named[f'fitness_{by}']}" in last_line


def test_run_folder_has_what_a_user_leaves_with(uninterrupted: Path) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    assert names >= {"config.yml", "journal.jsonl", "population.jsonl", "front.json", "tensorboard", "checkpoints"}
    assert "result.json" in names
    population = [json.loads(line) for line in (uninterrupted / "population.jsonl").read_text().splitlines()]
    assert [one["state"] for one in population] == ["finished"] * 8
    front = json.loads((uninterrupted / "front.json").read_text())["front"]
    # The best in PSNR first.
    assert front[0]["id"] == json.loads((uninterrupted / "result.json").read_text())["best"]["id"]
    # The elite's weights, and no others.
    assert len(list((uninterrupted / "checkpoints").glob("candidate_*.ckpt"))) == 2
    assert list((uninterrupted / "pictures").glob("best_*.png"))


def test_a_run_that_is_asked_to_stop_resumes_to_the_same_records(
    uninterrupted: Path, home: Path, search: Callable[..., Command], gate: Gate, ray_address: str
) -> None:
    folder = home / "interrupted"
    gate.close(folder, 2)
    first = search("gated.yml", "--set", "output.name=interrupted", *ONE)
    wait_for(lambda: len(of_kind(folder, "finished")) >= 2, first)
    # As a terminal does: to the whole foreground process group.
    os.killpg(first.process.pid, signal.SIGINT)
    assert first.wait() == 130
    gate.close(folder, 4)
    # The first had a Ray of its own.
    second = search("--resume", str(folder), *ONE, "--address", ray_address)
    wait_for(lambda: len(of_kind(folder, "finished")) >= 4, second)
    # As `kill` does.
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() == 143
    for command in (first, second):
        *_, last = command.output().splitlines()
        assert last == f"stopped; go on with --resume {folder}"
        assert "***" not in command.output(), "no trace of Ray's"
    assert events(folder)[-1]["event"] == "closed"
    before = {one["job"] for one in of_kind(folder, "finished")}
    assert len(before) < 8
    gate.open()
    resume(folder, ray_address)
    assert records(folder) == records(uninterrupted)
    again = [one["job"] for one in of_kind(folder, "finished")]
    assert len(again) == len(set(again)), "nothing finished is trained twice"
    assert before <= set(again)


def test_a_killed_command_leaves_a_run_that_resumes_to_the_same_records(
    uninterrupted: Path, home: Path, search: Callable[..., Command], gate: Gate, ray_address: str
) -> None:
    folder = home / "killed"
    gate.close(folder, 2)
    first = search("gated.yml", "--set", "output.name=killed", *ONE)
    wait_for(lambda: len(of_kind(folder, "finished")) >= 2, first)
    os.kill(first.process.pid, signal.SIGKILL)
    first.wait()
    gate.open()
    # Waits for the driver that was left: it ends with its Ray, and that with the command.
    resume(folder, ray_address)
    assert records(folder) == records(uninterrupted)
    finished = [one["job"] for one in of_kind(folder, "finished")]
    assert len(finished) == len(set(finished))


def test_a_killed_driver_comes_back_by_itself_with_the_same_outcome(
    uninterrupted: Path, home: Path, gate: Gate, ray_address: str
) -> None:
    folder = home / "driverless"
    gate.close(folder, 2)
    killed: list[int] = []

    def kill_once(status: Status) -> None:
        if not killed and status.process and len(of_kind(folder, "finished")) >= 2:
            killed.append(status.process)
            os.kill(status.process, signal.SIGKILL)
            gate.open()

    overrides = ["output.name=driverless", "runtime.evaluators=1"]
    result = esr_ray.search_networks(home / "gated.yml", overrides, address=ray_address, on_status=kill_once)
    assert killed
    assert result.finished
    assert records(folder) == records(uninterrupted)
    (resumed,) = of_kind(folder, "resumed")
    assert resumed["restarted"] is True
    assert result.message.startswith("Best values: ")


def test_a_killed_evaluator_costs_one_retry_and_nothing_else(
    uninterrupted: Path, home: Path, gate: Gate, ray_address: str
) -> None:
    folder = home / "evaluatorless"
    gate.close(folder, 1)
    killed: list[int] = []

    def kill_once(status: Status) -> None:
        if not killed and of_kind(folder, "finished") and (training := workers_here("ray::Evaluator.train")):
            killed.append(training[0].pid)
            training[0].kill()
            gate.open()

    overrides = ["output.name=evaluatorless"]
    assert esr_ray.search_networks(home / "gated.yml", overrides, address=ray_address, on_status=kill_once).finished
    assert killed
    assert len(of_kind(folder, "lost")) == 1
    assert not of_kind(folder, "failed")
    assert len(of_kind(folder, "started")) == len(of_kind(folder, "finished")) + 1
    assert records(folder) == records(uninterrupted)


@pytest.fixture(scope="module")
def whole(home: Path, ray_address: str) -> tuple[Path, str]:
    """A run of the whole pipeline on MindSpore's operators, and what it printed. Tests may go on with it."""
    status, printed = run_here(
        main,
        home / "plain.yml",
        *("--set", "output.name=whole"),
        *("--set", "pipeline=[search, full_training, benchmarks]"),
        *("--set", "evolution.num_generation=1"),
        *("--set", "evolution.num_individual=2"),
        # test_runtime_training_group.py has several that train together with such kernels.
        *("--set", "runtime.trainers=1"),
        *ONE,
        *("--address", ray_address),
    )
    assert status == 0, printed
    return home / "whole", printed


def test_the_winner_is_trained_reported_and_saved(whole: tuple[Path, str]) -> None:
    folder, printed = whole
    trained = of_kind(folder, "trained")[0]
    best = max(of_kind(folder, "finished"), key=lambda one: one["psnr_y"])
    assert trained["id"] == best["candidate"]
    reported = of_kind(folder, "reported")[0]
    (report,) = reported["sets"]
    assert len(report["pictures"]) == 3
    assert report["baseline"]["psnr_y"] == pytest.approx(32.52, abs=0.01)
    assert "astronaut" in printed
    assert_names_best(printed.strip().splitlines()[-1], folder, "psnr_y")

    from esr_ray.networks.checkpoint import load_checkpoint

    parameters, spec = load_checkpoint(folder / trained["checkpoint"])
    assert list(spec.arch) == trained["arch"]
    (asked,) = [one for one in of_kind(folder, "asked") if one["candidate"] == best["candidate"]]
    assert sum(value.size for value in parameters.values()) == asked["birth"]["params"]


def test_a_search_on_native_kernels_says_so_in_its_records(uninterrupted: Path, whole: tuple[Path, str]) -> None:
    try:
        name = f"native {load_library().instruction_set}"
    except NativeUnavailable as error:
        pytest.skip(str(error))
    plain, _ = whole
    assert {one["kernels"] for one in of_kind(uninterrupted, "finished")} == {name}
    assert {one["kernels"] for one in of_kind(plain, "finished")} == {"plain"}
    # The first generation is drawn before there is any fitness.
    assert [one["birth"] for one in of_kind(uninterrupted, "asked")[:2]] == [
        one["birth"] for one in of_kind(plain, "asked")
    ]


def test_resume_does_only_what_differs(home: Path, whole: tuple[Path, str], ray_address: str) -> None:
    """The same again, and then with a benchmark."""
    folder, _ = whole
    before = len(of_kind(folder, "trained")), len(of_kind(folder, "reported"))
    assert before == (1, 1)
    resume(folder, ray_address)
    assert (len(of_kind(folder, "trained")), len(of_kind(folder, "reported"))) == before
    pictures = home / "benchmark"
    pictures.mkdir()
    from esr_ray.data.samples import sample_files

    (pictures / "coffee.png").write_bytes(sample_files()["test"][2].read_bytes())
    resume(folder, ray_address, "--set", f"benchmarks=[{{name: Mine, hr: {pictures}}}]")
    assert len(of_kind(folder, "trained")) == before[0], "nothing is trained for another report"
    assert [part["name"] for part in of_kind(folder, "reported")[-1]["sets"]] == ["test", "Mine"]


def test_dry_run_prints_the_plan_and_leaves_nothing(home: Path, ray_address: str) -> None:
    settings = ("--set", "output.name=dry", "--dry-run")
    status, printed = run_here(main, home / "gated.yml", *settings, "--address", ray_address)
    assert status == 0, printed
    for word in ("parameters", "short trainings", "devices", "time expected", "device-hours"):
        assert word in printed
    assert not (home / "dry").exists()


def test_a_dry_run_without_the_pictures_shows_what_does_not_need_them(home: Path, ray_address: str) -> None:
    settings = ("--set", "output.name=dry", "--set", "data.hr=nowhere")
    status, printed = run_here(main, home / "plain.yml", *settings, "--dry-run", "--address", ray_address)
    assert status == 2
    for word in ("parameters", "short trainings", "devices", "time: not tried, the pictures are not here"):
        assert word in printed
    assert printed.strip().splitlines()[-1].startswith("error: ")
    assert "nowhere: no such folder" in printed
    assert not (home / "dry").exists()
