"""Which cluster an address means, and that one which does not answer is told of in seconds."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from esr_ray.errors import UserError
from esr_ray.runtime import address as under_test
from esr_ray.runtime.address import answers, find_cluster

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
WEB = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def listening(says: bytes, then_closes: bool = True):
    """An address at which something listens and says this to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_ones = []

        def serve():
            while True:
                try:
                    connected, _ = server.accept()
                except OSError:
                    return
                open_ones.append(connected)
                # Whoever has connected may have gone again.
                with suppress(OSError):
                    connected.sendall(says)
                    if then_closes:
                        connected.shutdown(socket.SHUT_WR)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        # Else the thread that accepts would keep it open.
        server.shutdown(socket.SHUT_RDWR)
        for one in open_ones:
            one.close()


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    """No cluster is known on this machine, and patience is short."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(under_test, "PATIENCE_S", 0.3)
    known = {"noted": None, "running": set()}
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: known["noted"])
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", lambda: known["running"])
    return known


def fault(address):
    with pytest.raises(UserError) as caught:
        find_cluster(address)
    message = str(caught.value)
    assert message.startswith(f"--address {address}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_what_answers_as_ray_does_is_taken(scheme):
    with listening(SETTINGS) as place:
        assert find_cluster(scheme + place) == scheme + place
        assert answers(scheme + place, 1.0)
    assert not answers(scheme + place, 1.0)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("127.0.0.1:1", "nothing listens there"),
        ("ray://127.0.0.1:1", "nothing listens there"),
        ("no-such-host.invalid:6379", "no such host is known"),
        ("127.0.0.1", "is no HOST:PORT; give HOST:PORT of the cluster's head"),
        ("", "is no HOST:PORT"),
        (":6379", "is no HOST:PORT"),
        ("local", "is no HOST:PORT"),
        ("http://127.0.0.1:8265", "is an address of http:// (of the dashboard, as `ray job` takes it); give HOST:PORT"),
        ("redis://127.0.0.1:6379", "is an address of redis://; give"),
        ("127.0.0.1:99999", "is no address: Port out of range"),
        ("127.0.0.1:port", "is no address"),
        ("[::1:6379", "is no address"),
        ("127.0.0.1:6379/jobs", "is no HOST:PORT"),
    ],
)
def test_what_is_no_address_or_where_nothing_listens_is_told(address, what):
    assert f"{address}: {what}" in fault(address)


@pytest.mark.parametrize("said", [WEB, b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\0\0"])
def test_what_is_not_ray_is_told(said):
    with listening(said) as place:
        assert "something answers there that is not the head of a Ray cluster" in fault(place)


def test_what_accepts_and_is_mute_is_not_waited_for():
    with listening(b"", then_closes=False) as place:
        assert "nothing is answered there within 0 s" in fault(place)


def test_auto_is_the_cluster_of_the_environment_then_the_last_one_then_one_that_runs(monkeypatch, nobody_else):
    with listening(SETTINGS) as one, listening(SETTINGS) as other:
        nobody_else["running"] = {other}
        assert find_cluster("auto") == other
        nobody_else["noted"] = one
        assert find_cluster("auto") == one
        # It has crashed, and its note is still there.
        nobody_else["noted"] = "127.0.0.1:1"
        assert find_cluster("auto") == other
        for none in ("auto", "local", ""):
            monkeypatch.setenv("RAY_ADDRESS", none)
            assert find_cluster("auto") == other
        monkeypatch.setenv("RAY_ADDRESS", f"ray://{one}")
        assert find_cluster("auto") == f"ray://{one}"
        # An address that is given does not depend on it.
        assert find_cluster(other) == other


def test_auto_where_no_cluster_answers_says_what_mends_it(monkeypatch, nobody_else):
    assert "there is no Ray cluster on this machine; start one with `ray start --head`" in fault("auto")
    nobody_else["noted"] = "127.0.0.1:1"
    message = fault("auto")
    assert "127.0.0.1:1 (the cluster that was started last on this machine): nothing listens there" in message
    assert "`ray stop` and `ray start --head` mend a cluster that has died" in message
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert "http://127.0.0.1:8265 (RAY_ADDRESS): is an address of http://" in fault("auto")
