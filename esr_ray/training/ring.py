"""Processes that train together on native kernels: a ring, in which each is connected with the next one.

Networks on MindSpore's operators have MindSpore's group instead (`networks/target.py`), which takes eight seconds to
come together, and several times as long for a mean.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from contextlib import closing
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge

import numpy as np

Address = tuple[str, int]
STRANGER_S = 5
"""So long whoever connects may take for each answer in showing that it has the key."""


class Ring:
    """One process's place in a ring of them."""

    def __init__(self, host: str, key: bytes) -> None:
        """Listen at a free port of `host`; who has not the key is turned away."""
        self._key = key
        # Room for strangers, who are not to keep it from being found.
        self._listener = Listener((host, 0), "AF_INET", backlog=8)
        host, port = self._listener.address
        self.address: Address = (host, port)
        self.rank, self.count = 0, 1

    def join(self, rank: int, addresses: Sequence[Address]) -> None:
        """Become number `rank` of the processes that listen at `addresses`, which all call this."""
        self.rank, self.count = rank, len(addresses)
        following = addresses[(rank + 1) % self.count]
        with closing(self._listener):
            # One of them begins, or all would wait for one that answers.
            if rank == 0:
                self._next = self._connect(following)
            self._previous = self._accept()
            if rank > 0:
                self._next = self._connect(following)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of a vector (N,) float32 over the ring, in which all call this: the same bits in each of them.

        Each part of the vector is summed up on its way around, and what has become of it goes around once more (the
        ring all-reduce of Patarasuk and Yuan 2009), so that no process sends more than twice the vector.

        Raises ConnectionError where another process has ended.
        """
        whole = values.copy()
        parts = np.array_split(whole, self.count)
        for turn in range(self.count - 1):
            parts[(self.rank - turn - 1) % self.count] += self._exchange(parts[(self.rank - turn) % self.count])
        for turn in range(self.count - 1):
            parts[(self.rank - turn) % self.count][:] = self._exchange(parts[(self.rank - turn + 1) % self.count])
        whole /= self.count
        return whole

    def _exchange(self, part: np.ndarray) -> np.ndarray:
        """Give a part to the next process, and take one from the process before."""
        try:
            # Were all to send at once, large parts would fill the connections, and nobody would read.
            if self.rank % 2 == 0:
                self._next.send_bytes(part.tobytes())
                return np.frombuffer(self._previous.recv_bytes(), part.dtype)
            taken = np.frombuffer(self._previous.recv_bytes(), part.dtype)
            self._next.send_bytes(part.tobytes())
            return taken
        except (EOFError, OSError) as error:
            raise ConnectionError(f"a process that trains with this one has ended ({type(error).__name__})") from None

    def _connect(self, address: Address) -> Connection:
        connection = Client(address, "AF_INET", authkey=self._key)
        # What is sent goes at once: by itself the system may wait for more.
        _set(connection, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _accept(self) -> Connection:
        """The process before this one; a stranger is turned away, also one who says nothing."""
        while True:
            connection: Connection = self._listener.accept()
            _set(connection, socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STRANGER_S, 0))
            try:
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
            except (AuthenticationError, EOFError, OSError):
                connection.close()
                continue
            _set(connection, socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
            return connection


def _set(connection: Connection, level: int, name: int, value: int | bytes) -> None:
    """Set an option of the socket behind a connection."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(level, name, value)
