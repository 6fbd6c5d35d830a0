"""Random numbers that need no saved state: a counter-based generator for each (seed, purpose, index)."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the generator of one purpose at one index, for example `generator(seed, "crops", step)`.

    The key of a Philox generator is taken from the SHA-256 of the arguments, so it is the same in every process, on
    every machine and in every version of Python; generators with different arguments are independent. What is drawn
    first at step 1000 does not depend on steps 0..999 having been drawn.

    NumPy promises the bits of Philox, not the streams of its distributions: whoever needs results that last across
    versions of NumPy draws `random()` (53 bits over 2^53, unchanged since it exists) and computes the rest from it.
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, purpose, index)))


def uniform(shape: tuple[int, ...], seed: int, purpose: str, *index: int) -> NDArray[np.float64]:
    """`generator(seed, purpose, *index).random(shape)`, in a fraction of its time: for what is drawn at every step."""
    if not hasattr(_kept, "bits"):
        _kept.bits = np.random.Philox(key=0)
        _kept.start = _kept.bits.state
        _kept.generator = np.random.Generator(_kept.bits)
    key = _key(seed, purpose, index)
    _kept.start["state"]["key"][:] = key % 2**64, key >> 64
    _kept.bits.state = _kept.start
    return np.asarray(_kept.generator.random(shape))


# A generator that is set to another key, for each thread: making one costs six times as much.
_kept = threading.local()


def _key(seed: int, purpose: str, index: tuple[int, ...]) -> int:
    # Lengths are told by JSON-like separators: the purpose is quoted, so ("a", 1) and ("a,1",) cannot collide.
    text = ",".join([str(int(seed)), repr(purpose), *(str(int(part)) for part in index)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
