"""What networks are for, as one value: what a network is given, what it should give, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """One task. Pictures are uint8 RGB (H, W, 3); what networks are given and give is float32, nominally in [0, 1].

    | field | what it is |
    |---|---|
    | `settings` | what it was made from (`task` of a configuration), so that a checkpoint can say what it is for |
    | `scale` | pixels of a side of the output for each of the input |
    | `border` | pixels at each side of a picture that are not measured |
    | `prepare(lr, hr)` | batches of RGB crops (B, 3, h, w) and (B, 3, H, W) as the network trains on them |
    | `given(picture)` | a picture as the network is given it, (in_channels, h, w) |
    | `complete(output, picture)` | the picture that a network's output (out_channels, H, W) for `picture` makes |
    | `baseline(picture)` | what there is without a network: the output that networks are compared with |
    """

    settings: dict[str, Any]
    scale: int
    in_channels: int
    out_channels: int
    border: int
    baseline_name: str
    prepare: Callable[[F32, F32], tuple[F32, F32]]
    given: Callable[[U8], F32]
    complete: Callable[[F32, U8], U8]
    baseline: Callable[[U8], U8]
