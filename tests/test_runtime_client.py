"""The command's connection to Ray (searches themselves: test_runtime_ray.py)."""

import os
import subprocess
import sys

import pytest
import ray

from esr_ray.runtime import local
from esr_ray.runtime.client import connection

# Ray's workers cannot import this file: what they need of it is sent to them.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def started(monkeypatch):
    """What Ray was started with, and the token that its processes would inherit, at each start."""
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    calls = []
    monkeypatch.setattr(
        "ray.init", lambda **options: calls.append((options["address"], os.environ.get("RAY_AUTH_TOKEN")))
    )
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("esr_ray.runtime.client.find_cluster", lambda address: f"{address}'s")
    return calls


def test_a_local_ray_has_a_token_of_its_own_that_no_file_holds(started, monkeypatch):
    """Ray would write one into the user's home, readable by all, and could not start without a home."""
    for _ in range(2):
        with connection(None):
            pass
        # Another Ray of this process, such as a cluster's, has another token: the user's.
        assert "RAY_AUTH_TOKEN" not in os.environ
    (_, first), (_, second) = started
    assert first != second
    assert len(first) == len(second) == 64
    with connection("auto"):
        pass
    assert started[-1] == ("auto's", None)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    for address in (None, "auto"):
        with connection(address):
            pass
        assert started[-1][1] == os.environ["RAY_AUTH_TOKEN"] == "mine"


def test_a_token_is_read_anew_for_each_ray(started):
    from ray._raylet import AuthenticationTokenLoader

    loader = AuthenticationTokenLoader.instance()
    with connection(None):
        assert loader.get_raw_token(ignore_auth_mode=True) == started[-1][1]


def test_a_token_file_that_the_user_names_is_left_to_ray(started, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/secrets/ray")
    with connection(None):
        pass
    assert started == [("local", None)]


def test_what_a_program_has_started_itself_does_not_end_with_its_ray(started, monkeypatch):
    monkeypatch.setattr(local, "ENDS_S", 0.1)
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleeps) as before:
        of_ray = []
        monkeypatch.setattr("ray.init", lambda **options: of_ray.append(subprocess.Popen(sleeps)))
        with connection(None):
            pass
        # Ray's, which does not end by itself here, is ended.
        assert of_ray[0].wait(timeout=60) != 0
        assert before.poll() is None
        before.kill()


class Answers:
    def answer(self):
        return 1


def test_a_process_may_use_a_cluster_without_tokens_after_a_ray_of_its_own(ray_address, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    for address in (None, ray_address):
        with connection(address):
            # An actor that its cluster cannot ask this process about does not begin.
            actor = ray.remote(Answers).options(num_cpus=0).remote()
            assert ray.get(actor.answer.remote()) == 1
        assert "RAY_AUTH_MODE" not in os.environ
