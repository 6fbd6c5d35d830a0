"""Evolutionary search for efficient super-resolution networks (ESR-EA, arXiv 1909.11409), on MindSpore and Ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esr_ray.api import (
        Evaluation,
        FrontRow,
        Network,
        RunResult,
        SetReport,
        Status,
        TrainedNetwork,
        UserError,
        evaluate_networks,
        load,
        search_networks,
        train_networks,
    )

__version__ = "0.1.0"
__all__ = [
    "Evaluation",
    "FrontRow",
    "Network",
    "RunResult",
    "SetReport",
    "Status",
    "TrainedNetwork",
    "UserError",
    "__version__",
    "evaluate_networks",
    "load",
    "search_networks",
    "train_networks",
]

# oneDNN reads this when MindSpore loads it. Without it MindSpore's 3x3 convolution falls to reference code, 50 times
# slower, on CPUs with AVX-512. It is set here because every process of ours imports this package before MindSpore.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def __getattr__(name: str) -> object:
    # Imported when it is asked for: the package itself is imported in no time.
    if name in __all__:
        from esr_ray import api

        return getattr(api, name)
    raise AttributeError(f"module 'esr_ray' has no attribute {name!r}")
