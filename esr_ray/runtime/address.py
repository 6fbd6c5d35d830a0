"""Which Ray cluster an address means, and whether one answers there: known in seconds.

Ray itself tries for minutes, and then ends the process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from esr_ray.errors import UserError

PATIENCE_S = 10.0
"""How long to wait for a cluster's machine to answer at all."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client of HTTP/2, which gRPC is, begins (RFC 9113, section 3.4): with settings that change nothing."""
_SETTINGS = 4
"""The type of the frame that the server answers with."""
_HINT = "give HOST:PORT of the cluster's head (6379 unless it was started with another port), ray://HOST:10001, or auto"


@dataclass(frozen=True)
class _Named:
    """An address, and where it was found, if it is not what the user gave."""

    address: str
    source: str = ""

    def __str__(self) -> str:
        return self.address + (f" ({self.source})" if self.source else "")


def find_cluster(address: str) -> str:
    """HOST:PORT or ray://HOST:PORT of the cluster that `auto`, HOST:PORT or ray://HOST:PORT means.

    Raises UserError, within seconds, where it is no address or no cluster answers.
    """
    named = list(_candidates(address))
    if not named:
        raise UserError(
            "--address auto: there is no Ray cluster on this machine; start one with `ray start --head`, or leave "
            "--address out"
        )
    faults = []
    for one in named:
        try:
            host, port = _split(one.address)
            _check_answers(host, port)
            return one.address
        except (UserError, OSError) as error:
            faults.append(f"{one}: {_in_words(error)}")
    hint = ""
    if address == "auto":
        hint = "; `ray stop` and `ray start --head` mend a cluster that has died, and RAY_ADDRESS names another one"
    raise UserError(f"--address {address}: no Ray cluster could be reached: {'; '.join(faults)}{hint}")


def answers(address: str, patience_s: float) -> bool:
    """Whether something listens at HOST:PORT."""
    try:
        host, port = _split(address)
        socket.create_connection((host, port), patience_s).close()
    except OSError:
        return False
    return True


def _candidates(address: str) -> Iterator[_Named]:
    """The addresses that may be meant, the likeliest first."""
    if address != "auto":
        yield _Named(address)
        return
    if (given := os.environ.get("RAY_ADDRESS")) and given not in ("auto", "local"):
        yield _Named(given, "RAY_ADDRESS")
        return
    # Imported late: it takes a second.
    from ray._private import services

    # What Ray does for `auto`; these are not part of what it promises to keep.
    with suppress(ImportError, AttributeError, TypeError):
        noted = services.find_bootstrap_address(None)
        if noted:
            yield _Named(noted, "the cluster that was started last on this machine")
        for running in sorted(services.find_gcs_addresses()):
            if running != noted:
                yield _Named(running, "runs on this machine")


def _split(address: str) -> tuple[str, int]:
    scheme, separator, rest = address.rpartition("://")
    if separator and scheme != "ray":
        what = " (of the dashboard, as `ray job` takes it)" if scheme in ("http", "https") else ""
        raise UserError(f"is an address of {scheme}://{what}; {_HINT}")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"is no address: {error}; {_HINT}") from None
    if not host or not port or parts.path or parts.username is not None:
        raise UserError(f"is no HOST:PORT; {_HINT}")
    return host, port


def _check_answers(host: str, port: int) -> None:
    """Raises OSError where nothing listens or nothing is said, UserError where it is something else than Ray."""
    with socket.create_connection((host, port), PATIENCE_S) as connected:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            # It would say nothing to us before the certificates are exchanged.
            return
        connected.settimeout(PATIENCE_S)
        connected.sendall(_GREETING)
        answer = b""
        while len(answer) < 9:
            part = connected.recv(9 - len(answer))
            if not part:
                break
            answer += part
    if len(answer) < 9 or answer[3] != _SETTINGS:
        raise UserError(f"something answers there that is not the head of a Ray cluster; {_HINT}")


def _in_words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host is known"
    if isinstance(error, TimeoutError):
        return f"nothing is answered there within {PATIENCE_S:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
