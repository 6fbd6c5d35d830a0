"""How many cores this process may use: by affinity, by cpuset, and by a container's quota, whichever is least."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """At least 1. Ray and Python count the cores of the machine, which a container shows whatever its quota."""
    # Imported late: most commands do without.
    from joblib import cpu_count

    return max(1, int(cpu_count()))


def why_fewer() -> str | None:
    """Why not all cores of the machine are used, or None if they are."""
    usable, allowed, all_cores = usable_cores(), len(os.sched_getaffinity(0)), os.cpu_count() or 1
    if usable < allowed:
        return f"{usable} of {all_cores} cores: a CPU quota of this container (or LOKY_MAX_CPU_COUNT) allows no more"
    if usable < all_cores:
        return f"{usable} of {all_cores} cores: this process may run on no others (affinity)"
    return None
