"""Names and shapes of a network's parameters, without building it: in the order of the plain network's."""

from __future__ import annotations

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
