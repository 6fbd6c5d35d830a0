"""Names and shapes of a network's parameters, without building it: in the order of the plain network's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from esr_ray.space.spec import NetworkSpec, network_convolutions

Shapes = dict[str, tuple[int, ...]]


def parameter_shapes(spec: NetworkSpec) -> Shapes:
    """Shapes by name; equal to those of `ESRN(spec).trainable_params()`, in the same order.

    Only for blocks of the types S, G and C: what a user's block holds is known to its cell alone.
    """
    shapes: Shapes = {}
    for conv in network_convolutions(spec):
        shapes[f"{conv.name}.weight"] = conv.weight_shape
        shapes[f"{conv.name}.bias"] = (conv.out_channels,)
    return shapes


def check_parameters(parameters: Mapping[str, np.ndarray], shapes: Shapes) -> None:
    """Raise ValueError where names or shapes differ from those of a network."""
    different = parameters.keys() ^ shapes.keys()
    if different:
        raise ValueError(f"parameters of another network: {sorted(different)[:3]} ...")
    for name, shape in shapes.items():
        if parameters[name].shape != shape:
            raise ValueError(f"parameter {name} has shape {parameters[name].shape}, not {shape}")


def flatten(parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """All parameters one after the other, float32, as the native library takes them."""
    return np.concatenate([np.asarray(value, np.float32).ravel() for value in parameters.values()])
