"""What this machine's processor is: its name, and the features that a build of the native library may need."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """What the processor calls itself."""
    return _first("model name") or platform.processor() or "unknown"


def cpu_features() -> frozenset[str]:
    """Features of this CPU as Linux names them; none where it does not say."""
    return frozenset(_first("flags").split())


def _first(key: str) -> str:
    """The first processor's value of a key, empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
