"""Whether a process computes with the native library or with MindSpore's operators (`runtime.kernels`)."""

from __future__ import annotations

from esr_ray.errors import UserError
from esr_ray.native.library import Library, NativeUnavailable, load_library


def choose_library(wanted: str, target: str) -> tuple[Library | None, str]:
    """The library to use, None for MindSpore's own operators, and why in one line.

    `wanted` is auto, native or plain, `target` CPU or Ascend. Raises UserError where native kernels are asked for and
    cannot be had.
    """
    if wanted == "plain":
        return None, "plain kernels, as runtime.kernels says"
    if target != "CPU":
        if wanted == "native":
            raise UserError(f"runtime.kernels: native ones are for CPUs, not for {target}; set it to auto or plain")
        return None, f"plain kernels: {target} has MindSpore's own"
    try:
        library = load_library()
    except NativeUnavailable as error:
        if wanted == "native":
            raise UserError(
                f"runtime.kernels: there are no native ones: {error}; see python -m esr_ray.doctor, or set it to auto"
            ) from None
        return None, f"plain kernels, many times slower: {error}"
    return library, f"native kernels ({library.instruction_set})"
