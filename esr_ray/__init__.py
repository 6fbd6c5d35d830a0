"""Evolutionary search for efficient super-resolution networks (ESR-EA, arXiv 1909.11409), on MindSpore and Ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esr_ray.api import *  # noqa: F403

__version__ = "0.1.0"

# oneDNN reads this when MindSpore loads it. Without it MindSpore's 3x3 convolution falls to reference code, 50 times
# slower, on CPUs with AVX-512. It is set here because every process of ours imports this package before MindSpore.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def __getattr__(name: str) -> object:
    # Imported when it is asked for: the package itself is imported in no time. What it has is said there.
    if not name.startswith("_"):
        from esr_ray import api

        if name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module 'esr_ray' has no attribute {name!r}")


def __dir__() -> list[str]:
    from esr_ray import api

    return [*api.__all__, "__version__"]
