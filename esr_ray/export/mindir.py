"""A network as MindSpore's own MindIR, for one size of picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from esr_ray.space.spec import NetworkSpec


def write_mindir(spec: NetworkSpec, parameters: Mapping[str, np.ndarray], path: Path, size: tuple[int, int]) -> None:
    """Write the network for pictures (1, C, height, width) of a `size`; the name ends in .mindir."""
    import mindspore as ms

    from esr_ray.networks.esrn import ESRN

    network = ESRN(spec)
    for weight in network.trainable_params():
        weight.set_data(ms.Tensor(parameters[weight.name]))
    ms.export(
        network,
        ms.Tensor(np.zeros((1, spec.in_channels, *size), np.float32)),
        file_name=str(path.with_suffix("")),
        file_format="MINDIR",
    )


def run_mindir(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What a MindIR file makes of an input of its size."""
    import mindspore as ms
    from mindspore import nn

    cell = nn.GraphCell(ms.load(str(path)))
    return lambda x: np.asarray(cell(ms.Tensor(x)).asnumpy())
