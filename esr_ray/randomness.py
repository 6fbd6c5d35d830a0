"""Random numbers that need no saved state: a counter-based generator for each (seed, purpose, index)."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the generator of one purpose at one index, for example `generator(seed, "crops", step)`.

    The key of a Philox generator is taken from the SHA-256 of the arguments, so it is the same in every process, on
    every machine and in every version of Python; generators with different arguments are independent. What is drawn
    first at step 1000 does not depend on steps 0..999 having been drawn.

    NumPy promises the bits of Philox, not the streams of its distributions: whoever needs results that last across
    versions of NumPy draws `random()` (53 bits over 2^53, unchanged since it exists) and computes the rest from it.
    """
    # Lengths are told by JSON-like separators: the purpose is quoted, so ("a", 1) and ("a,1",) cannot collide.
    text = ",".join([str(int(seed)), repr(purpose), *(str(int(part)) for part in index)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
