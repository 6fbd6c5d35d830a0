"""A Ray of this machine alone: what it listens at, and what happens if a part of it dies."""

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

import pytest

from esr_ray.runtime import lifeline
from esr_ray.runtime.lifeline import Lifeline, RayLost

# A process of its own: Ray ends one from within in some cases, and others of these tests have used Ray before.
DEATH = """
import re, sys, time
from pathlib import Path

import psutil
import ray

from esr_ray.runs.status import Status
from esr_ray.runtime import lifeline
from esr_ray.runtime.client import connection, follow

lifeline.LOOK_S = 0.2
dies = sys.argv[1]
me, started = psutil.Process(), []


class Sleeper:
    # Does what the client asks of a driver, and does not end.
    def run(self):
        time.sleep(600)

    def status(self, since):
        return Status()


def listens_at(processes):
    found = [one.laddr.ip for process in processes for one in process.net_connections("inet") if one.status == "LISTEN"]
    return {one.removeprefix("::ffff:") for one in found}


try:
    with connection(None):
        driver = ray.remote(Sleeper).options(num_cpus=0, max_concurrency=3, max_restarts=-1).remote()
        assert ray.get(driver.status.remote(0)).lines == ()
        started = me.children(recursive=True)
        assert listens_at([me, *started]) == {"127.0.0.1"}, listens_at([me, *started])
        (part,) = (one for one in started if one.name() == dies)
        part.kill()
        follow(driver, lambda status: None)
except lifeline.RayLost as error:
    told = str(error)
found = re.fullmatch(r"the part of Ray that runs on this machine has died \\(Ray's own logs are in (.*)\\)", told)
assert found, told
_, left = psutil.wait_procs(started, timeout=10)
assert left == [], left
logs = Path(found[1])
assert (logs / "raylet.out").is_file()
# They are kept until the next one begins, once the process that they are of is gone.
gone = logs.parent.with_name("session_2026-11-28_00-00-00_000000_99999999")
logs.parent.rename(gone)
with connection(None):
    ours = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    assert (ours / "logs").is_dir()
assert not gone.exists()
assert not ours.exists()
"""


DEATHS = ("gcs_server", "raylet")
"""What dies."""


@pytest.fixture(scope="module")
def deaths():
    """The processes, all at once: most of their time they wait.

    Each has a folder of its own for Ray, so that no other session is found in it; its sockets need a short path.
    """
    with ExitStack() as folders:
        started = {}
        for dies in DEATHS:
            folder = folders.enter_context(tempfile.TemporaryDirectory(prefix="r"))
            started[dies] = subprocess.Popen(
                [sys.executable, "-c", DEATH, dies],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "RAY_TMPDIR": folder},
            )
        try:
            yield started
        finally:
            for process in started.values():
                process.kill()
                process.wait()


@pytest.mark.parametrize("dies", DEATHS)
def test_a_local_ray_listens_on_this_machine_alone_and_its_death_is_told_in_seconds(deaths, dies):
    stdout, stderr = deaths[dies].communicate(timeout=300)
    # Nothing of Ray's own words either, but for the odd line of its C++ part: the command says it in a line.
    said_by_us = [line for line in stderr.splitlines() if not re.match(r"\[.* [EWC] \d+ \d+\] \w+\.(cc|h):\d+: ", line)]
    assert (deaths[dies].returncode, stdout, said_by_us) == (0, "", [])


def test_a_head_may_be_away_for_a_while(monkeypatch):
    """One that keeps its state elsewhere is restarted."""
    now, there = [0.0], [True]
    monkeypatch.setattr("ray.util.client.ray.is_connected", lambda: False)
    monkeypatch.setattr("ray.get_runtime_context", lambda: type("Context", (), {"gcs_address": "head:6379"}))
    monkeypatch.setattr(lifeline, "answers", lambda address, patience_s: there[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    line = Lifeline()

    def for_seconds(seconds):
        for _ in range(seconds):
            now[0] += 1
            line.check()

    for_seconds(60)
    there[0] = False
    for_seconds(15)
    there[0] = True
    for_seconds(5)
    there[0] = False
    with pytest.raises(RayLost, match=r"\(head:6379\) does not answer any more"):
        for_seconds(30)
    assert 95 < now[0] < 105


def test_of_a_client_ray_itself_tells(monkeypatch):
    monkeypatch.setattr("ray.util.client.ray.is_connected", lambda: True)
    Lifeline().check()
