"""Initial weights, keyed by (run seed, parameter name): the same network starts alike wherever it is trained."""

from __future__ import annotations

import numpy as np

from esr_ray.randomness import generator

SKIP_TAIL_FACTOR = 0.1
"""With a global skip the last convolution's weights start this much smaller: the network starts near the skip."""


def initial_parameters(shapes: dict[str, tuple[int, ...]], seed: int, has_skip: bool) -> dict[str, np.ndarray]:
    """Weights and biases of every convolution, uniform within ±1/sqrt(fan in) (MindSpore's own default for Conv2d).

    `shapes` are all parameters of a network by name. Those that are not a convolution's (a user's block may have
    them) are left out: they keep the initial values of their cell.
    """
    values: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        prefix, _, kind = name.rpartition(".")
        weight_shape = shapes.get(f"{prefix}.weight", ())
        if kind not in ("weight", "bias") or len(weight_shape) != 4:
            continue
        bound = 1 / np.sqrt(np.prod(weight_shape[1:]))
        value = generator(seed, f"initial weights {name}").uniform(-bound, bound, shape).astype(np.float32)
        if has_skip and name == "upsampler.last.weight":
            value *= np.float32(SKIP_TAIL_FACTOR)
        values[name] = value
    return values
