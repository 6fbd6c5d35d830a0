"""A ring of processes takes means; here its members are threads."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import numpy as np
import pytest

from esr_ray.training.ring import Ring

KEY = b"of the test"

pytestmark = pytest.mark.timeout(60)


def in_a_ring(count, work, disturb=lambda address: None):
    """What `work(ring)` gives in each of the members."""
    rings = [Ring("127.0.0.1", KEY) for _ in range(count)]
    addresses = [ring.address for ring in rings]

    def member(rank):
        rings[rank].join(rank, addresses)
        return work(rings[rank])

    disturb(addresses[-1])
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(member, range(count)))


def values_of(rank, size):
    return np.random.default_rng(rank).standard_normal(size).astype(np.float32)


# The largest is more than a connection takes before somebody reads.
@pytest.mark.parametrize("size", [1, 2, 7, 4049, 3_000_001])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_mean_is_the_same_in_all(count, size):
    means = in_a_ring(count, lambda ring: ring.mean(values_of(ring.rank, size)))
    expected = np.mean([values_of(rank, size) for rank in range(count)], axis=0, dtype=np.float64)
    np.testing.assert_allclose(means[0], expected, rtol=0, atol=1e-6)
    for one in means:
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, means[0])


def test_one_mean_follows_the_other_and_what_is_given_stays():
    def work(ring):
        given = [values_of(10 * turn + ring.rank, 50) for turn in range(20)]
        kept = [one.copy() for one in given]
        means = [ring.mean(one) for one in given]
        for one, same in zip(given, kept, strict=True):
            np.testing.assert_array_equal(one, same)
        return means

    for turn, means in enumerate(zip(*in_a_ring(3, work), strict=True)):
        expected = np.mean([values_of(10 * turn + rank, 50) for rank in range(3)], axis=0)
        for one in means:
            np.testing.assert_allclose(one, expected, atol=1e-6)


def test_what_is_no_number_reaches_all():
    def work(ring):
        given = np.ones(9, np.float32)
        given[4] = np.nan if ring.rank == 1 else 1
        return ring.mean(given)

    for one in in_a_ring(3, work):
        assert np.isnan(one).tolist() == [False] * 4 + [True] + [False] * 4


def test_strangers_are_turned_away(monkeypatch):
    met, mute = [], []

    def disturb(address):
        def without_the_key():
            try:
                Client(address, "AF_INET", authkey=b"another").close()
            except (AuthenticationError, EOFError, ConnectionError) as error:
                met.append(error)

        # The handshake waits until the member accepts.
        pool.submit(without_the_key)
        with closing(socket.create_connection(address)) as one_that_goes:
            one_that_goes.sendall(b"hello")
        mute.append(socket.create_connection(address))

    monkeypatch.setattr("esr_ray.training.ring.STRANGER_S", 1)
    with ThreadPoolExecutor(1) as pool:
        means = in_a_ring(2, lambda ring: ring.mean(values_of(ring.rank, 30)), disturb)
    mute[0].close()
    assert len(met) == 1
    np.testing.assert_array_equal(means[0], means[1])


def test_a_member_that_ends_is_told_to_the_others():
    def work(ring):
        ring.mean(np.ones(5, np.float32))
        if ring.rank == 1:
            ring._next.close()
            ring._previous.close()
            return None
        try:
            for _ in range(3):
                ring.mean(np.ones(5, np.float32))
        except ConnectionError as error:
            ring._next.close()
            ring._previous.close()
            return str(error)

    first, _, third = in_a_ring(3, work)
    assert first.startswith("a process that trains with this one has ended (")
    assert third.startswith("a process that trains with this one has ended (")


def test_nobody_is_let_in_later():
    def work(ring):
        with pytest.raises(ConnectionError):
            socket.create_connection(ring.address)

    in_a_ring(2, work)
