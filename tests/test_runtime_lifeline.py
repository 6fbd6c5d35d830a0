"""A Ray of this machine alone: what it listens at, and what happens if a part of it dies."""

import re
import time
from pathlib import Path

import psutil
import pytest
import ray

from esr_ray.runtime import lifeline
from esr_ray.runtime.client import connection, follow
from esr_ray.runtime.lifeline import Lifeline, RayLost


def sleeper():
    """An actor that does what the client asks of a driver, and does not end."""

    # Within the function, Ray sends its code: this module cannot be imported elsewhere.
    class Sleeper:
        def run(self):
            time.sleep(600)

        def status(self, since):
            from esr_ray.runs.status import Status

            return Status()

    return ray.remote(Sleeper).options(num_cpus=0, max_concurrency=3, max_restarts=-1).remote()


def listens_at(processes):
    """Addresses at which processes listen."""
    found = [one.laddr.ip for process in processes for one in process.net_connections("inet") if one.status == "LISTEN"]
    return {one.removeprefix("::ffff:") for one in found}


@pytest.mark.parametrize(
    ("dies", "said"),
    [
        ("gcs_server", "the head of the Ray cluster .* does not answer any more"),
        ("raylet", "the part of Ray that runs on this machine has died"),
    ],
)
def test_a_local_ray_listens_on_this_machine_alone_and_its_death_is_told_in_seconds(monkeypatch, capfd, dies, said):
    monkeypatch.setattr(lifeline, "PATIENCE_S", 1.0)
    monkeypatch.setattr(lifeline, "LOOK_S", 0.2)
    me = psutil.Process()
    before = me.children(recursive=True)
    started = []

    def followed_to_its_end():
        with connection(None):
            driver = sleeper()
            assert ray.get(driver.status.remote(0)).lines == ()
            started.extend(one for one in me.children(recursive=True) if one not in before)
            assert listens_at([me, *started]) == {"127.0.0.1"}
            (part,) = (one for one in started if one.name() == dies)
            part.kill()
            follow(driver, lambda status: None)

    with pytest.raises(RayLost, match=said) as caught:
        followed_to_its_end()
    logs = Path(re.search(r"\(Ray's own logs are in (.*)\)$", str(caught.value))[1])
    assert (logs / "raylet.out").is_file()
    # They are kept until the next one: of a process that is gone.
    gone = logs.parent.with_name("session_2026-11-28_00-00-00_000000_99999999")
    logs.parent.rename(gone)
    with connection(None):
        ours = Path(ray._private.worker.global_worker.node.get_session_dir_path())
        assert (ours / "logs").is_dir()
    assert not gone.exists()
    assert not ours.exists()
    _, left = psutil.wait_procs(started, timeout=10)
    assert left == []
    # Nothing of Ray's own words: the command says it in a line.
    assert capfd.readouterr() == ("", "")


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
