"""A search to which one thing happens after the other ends with what it would have ended with undisturbed.

The long form (`-m slow`) is a real command with 64 evaluators that make their results up; what dies there are real
processes. The short form has the real driver in this process, and dies at calls to the disk.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from driven import Mortal, Run, results
from imitated import made_up
from worlds import PAPER, InProcess, OnDevices, World, events_of, finished_in, records, search

from esr_ray import durable
from esr_ray.config.load import check_config
from esr_ray.runs.journal import read_journal
from esr_ray.runs.record import read_history
from esr_ray.tasks.make import space_of

# The short form.

FAULTS = 40


class Moody(OnDevices):
    """Devices of which some lose what they are given, others each time a process begins; it is killed, or not, after a
    number of events."""

    def __init__(self, world, rng):
        devices = 8
        bad = [f"device {one}" for one in range(devices) if rng.random() < rng.choice((0, 0.1, 0.3, 1))]
        super().__init__(world, rng.randrange(10**6), devices, bad)
        self.events = rng.randrange(1, 60)


@pytest.mark.parametrize("seed", range(3))
def test_a_driver_that_dies_again_and_again_among_bad_devices_ends_as_undisturbed(case, monkeypatch, seed):
    case.set("evolution.num_generation", 5).set("evolution.num_individual", 12).set("space.node_num", 5)
    run = Run(case, monkeypatch, lambda world: OnDevices(world, devices=8))
    assert run.drive(durable.Disk(), False).kind == "finished"
    wanted = results(run.folder)
    run.folder.path.rename(run.folder.path.with_name("undisturbed"))
    rng, ends = random.Random(seed), Counter()
    run.world.tries.clear()
    run.backend = lambda world: Moody(world, rng)
    for _ in range(FAULTS):
        done = finished_in(run.folder.journal)
        before = {job: run.world.tries[job] for job in done}
        disk = Mortal(rng.randrange(5, 200)) if rng.random() < 0.7 else durable.Disk()
        outcome = run.drive(disk, run.folder.config.exists())
        assert {job: run.world.tries[job] for job in done} == before, "trained twice"
        assert done <= finished_in(run.folder.journal), "a result was lost"
        ends["killed" if outcome is None else outcome.kind] += 1
        if outcome is not None and outcome.kind == "finished":
            break
        assert outcome is None or outcome.message.startswith("no device is left: "), outcome
    else:
        run.backend = lambda world: OnDevices(world, devices=8)
        assert run.drive(durable.Disk(), True).kind == "finished"
    assert ends["killed"] > 3
    assert not read_history(run.folder.journal).state.failed
    assert results(run.folder) == wanted


# The long form.

DEVICES, SEED, MOST_S = 64, 7, 900
GREAT_EVERY = 200
"""Results between what happens to the whole command."""
CONFIG = {
    "seed": SEED,
    "pipeline": ["search"],
    "space": {"node_num": 8, "min_active": 2, "base_channels": 8, "conv_num": [1, 2, 3, 4], "growth_rate": [4, 8, 12]},
    "evolution": {"num_generation": 20, "num_individual": 100, "num_elitism": 8, "mutation_rate": 0.2, **PAPER},
    "data": {"hr": "sample:scikit-image", "validation_size": 16},
    "fast_training": {"steps": 1, "batch_size": 1, "crop_size": 8},
    "full_training": {"crop_size": 8},
    "runtime": {"resource": "NPU", "target": "cpu", "evaluators": DEVICES},
}


GREAT = (
    "driver_killed",
    "command_killed",
    "command_told_to_stop",
    "head_killed",
    "node_killed",
    "temporary_folders_full",
)
"""What may happen to a command, beside the deaths of evaluators."""


class Same(World):
    """Results as the imitated evaluators make them up."""

    def trained(self, job, wrong=0):
        return made_up(job)


class Chaos:
    """The command, whichever process of it there is now, and what happens to it."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder, self.trouble = home, home / "runs" / "chaos", home / "trouble"
        self.random, self.happened, self.ended = random.Random(SEED), Counter(), Counter()
        self.process: psutil.Popen | None = None
        self.great_at = 0
        self.great = list(GREAT)
        self.random.shuffle(self.great)

    def begin(self) -> None:
        known = ["--resume", str(self.folder)] if (self.folder / "config.yml").exists() else ["chaos.yml"]
        self.log = (self.home / "output.txt").open("a")
        here = str(Path(__file__).parent)
        path = os.pathsep.join([here, str(Path(here).parent), os.environ.get("PYTHONPATH", "")])
        self.process = psutil.Popen(
            [sys.executable, f"{here}/imitated.py", str(DEVICES), str(self.trouble), *known],
            cwd=self.home,
            env={**os.environ, "PYTHONPATH": path},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def processes(self, name: str) -> list[psutil.Process]:
        found = []
        try:
            children = self.process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for process in children:
            try:
                title, own = " ".join(process.cmdline()), process.name()
            except psutil.Error:
                continue
            if title.startswith(name) or own == name:
                found.append(process)
        return found

    def kill_one(self, name: str, number: int = signal.SIGKILL, places: int = 1) -> bool:
        """One of as many places, if a process is there: a few do not die as often as many."""
        found = self.processes(name)
        place = self.random.randrange(max(places, len(found)))
        if place >= len(found):
            return False
        try:
            found[place].send_signal(number)
        except psutil.NoSuchProcess:
            return False
        return True

    def evaluator_killed(self) -> bool:
        return self.kill_one("ray::ImitatedEvaluator", places=DEVICES)

    def evaluator_frozen(self) -> bool:
        return self.kill_one("ray::ImitatedEvaluator", signal.SIGSTOP, places=DEVICES)

    def driver_killed(self) -> bool:
        return self.kill_one("ray::ImitatedDriver")

    def command_killed(self) -> bool:
        self.process.send_signal(signal.SIGKILL)
        return True

    def command_told_to_stop(self) -> bool:
        self.process.send_signal(self.random.choice((signal.SIGTERM, signal.SIGINT)))
        return True

    def head_killed(self) -> bool:
        return self.kill_one("gcs_server")

    def node_killed(self) -> bool:
        return self.kill_one("raylet")

    def temporary_folders_full(self) -> bool:
        self.trouble.touch()
        time.sleep(6)
        self.trouble.unlink()
        return True

    def disturb(self, results: int) -> None:
        """Something happens to an evaluator, and to the whole command after each GREAT_EVERY results; one kind of that
        comes after the other, that all do."""
        if results < self.great_at + GREAT_EVERY:
            fault = self.random.choice((self.evaluator_killed, self.evaluator_killed, self.evaluator_frozen))
        else:
            self.great_at = results
            fault = getattr(self, self.great[0])
            self.great.append(self.great.pop(0))
        if fault():
            self.happened[fault.__name__] += 1

    def close(self) -> None:
        if self.process is not None:
            try:
                for process in (*self.process.children(recursive=True), self.process):
                    process.kill()
            except psutil.Error:
                # It ends by itself.
                pass


def finished_records(path: Path) -> dict[int, str]:
    """What is recorded of each job that has a result."""
    if not path.exists() or not path.stat().st_size:
        return {}
    return {one["job"]: json.dumps(one, sort_keys=True) for one in events_of(path, "finished")}


@pytest.mark.slow
@pytest.mark.timeout(2 * MOST_S)
def test_a_search_among_many_deaths_ends_as_undisturbed(tmp_path, capsys):
    config = {**CONFIG, "output": {"dir": str(tmp_path / "runs"), "name": "chaos"}}
    (tmp_path / "chaos.yml").write_text(json.dumps(config))
    checked = check_config(config, "chaos.yml")
    expected, _ = search(tmp_path / "undisturbed.jsonl", checked, InProcess(Same()), space_of(checked))
    chaos, before, began = Chaos(tmp_path), {}, time.monotonic()
    journal = chaos.folder / "journal.jsonl"
    try:
        chaos.begin()
        while True:
            try:
                status = chaos.process.wait(chaos.random.uniform(1, 3))
            except psutil.TimeoutExpired:
                assert time.monotonic() - began < 2 * MOST_S, (tmp_path / "output.txt").read_text()[-5000:]
                # Past its time it is let to its end in peace.
                if len(before) > DEVICES and time.monotonic() - began < MOST_S - 120:
                    chaos.disturb(len(before))
                status = None
            now = finished_records(journal)
            assert now.items() >= before.items(), "a result was lost"
            before = now
            if status is not None:
                chaos.ended[status] += 1
                assert status in (0, 2, 130, 143, -signal.SIGKILL), (tmp_path / "output.txt").read_text()[-5000:]
                if status == 0:
                    break
                chaos.begin()
    finally:
        chaos.close()
    output = (tmp_path / "output.txt").read_text()
    seconds = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{len(before)} results in {seconds:.0f} s; {dict(chaos.happened)}; ends {dict(chaos.ended)}")
    assert "Traceback" not in output
    events = read_journal(journal).events
    done: set[int] = set()
    for event in events:
        assert event["event"] not in ("started", "finished") or event["job"] not in done, "trained twice"
        if event["event"] == "finished":
            done.add(event["job"])
    state = read_history(journal).state
    assert not state.failed
    assert len(done) == 2000
    assert records(journal) == records(tmp_path / "undisturbed.jsonl")
    assert state == expected
    assert sum(chaos.happened.values()) > 30
    assert set(chaos.happened) == {*GREAT, "evaluator_killed", "evaluator_frozen"}
