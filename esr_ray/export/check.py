"""An exported network beside the network that it is of: they must give the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from esr_ray.errors import UserError
from esr_ray.inference.load import Loaded
from esr_ray.metrics import to_ycbcr

TOLERANCE = 1e-4
"""Of values in [0, 1]; of float16 TOLERANCE_HALF."""
TOLERANCE_HALF = 2e-2
LIMITS_OF_LUMINANCE = (16 / 255, 235 / 255)
"""Y of what RGB can hold."""
SIZES = ((32, 48), (37, 51), (64, 33))
"""Heights and widths that are tried, odd ones among them."""


def run_onnx(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """What an ONNX file's content makes of an input. Raises UserError where onnxruntime is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError("checking an ONNX file needs onnxruntime: pip install 'esr_ray[onnx]'") from None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run(None, {"input": x})[0])


def seen_as_luminance(rgb: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A graph that takes and gives RGB, as its network of luminance: given grey pictures, it must give their Y."""
    low, span = 16 / 255, 219 / 255

    def luminance(x: np.ndarray) -> np.ndarray:
        grey = np.repeat((x.astype(np.float64) - low) / span, 3, axis=1).astype(x.dtype)
        return to_ycbcr(rgb(grey).astype(np.float32), axis=1)[:, :1]

    return luminance


def check_same(
    network: Loaded,
    other: Callable[[np.ndarray], np.ndarray],
    what: str,
    half: bool = False,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> float:
    """The greatest difference between a network, its output cut to `limits`, and what was exported of it, over pictures
    of noise.

    Raises UserError where it is beyond the tolerance: the file is not to be used.
    """
    worst = 0.0
    for height, width in sizes:
        x = np.random.default_rng(0).random((1, network.spec.in_channels, height, width), np.float32)
        expected = np.clip(network.predictor.predict(x), *limits)
        found = other(x.astype(np.float16) if half else x).astype(np.float32)
        if found.shape != expected.shape:
            raise UserError(f"{what}: gives {found.shape} of {x.shape}, and the network {expected.shape}")
        worst = max(worst, float(np.abs(found - expected).max()))
    if not worst <= (TOLERANCE_HALF if half else TOLERANCE):
        raise UserError(f"{what}: differs from the network by up to {worst:.1e}; this is a fault of esr_ray, report it")
    return worst
