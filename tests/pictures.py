"""Pictures as tests look at them."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from esr_ray.config.task import TaskConfig
from esr_ray.data.crops import PicturePair
from esr_ray.inference.load import ready_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.report import evaluate_network
from esr_ray.inference.result import SetFigures
from esr_ray.networks.checkpoint import checkpoint_from_bytes
from esr_ray.tasks.make import make_task
from esr_ray.tasks.task import Task


def from_png(content):
    """The uint8 (H, W, 3) picture of a file's bytes."""
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


def photo(seed: int, height: int = 96, width: int = 120) -> np.ndarray:
    """Something like a photo: noise at several scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for size in (2, 4, 8, 16, 32):
        coarse = rng.normal(0, size, (height // size + 1, width // size + 1, 3))
        total += coarse.repeat(size, axis=0).repeat(size, axis=1)[:height, :width]
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def enlarging(scale: int = 2, **keys: object) -> Task:
    """Super-resolution."""
    return make_task(TaskConfig(scale=scale, **keys))


def reported(weights: bytes, pairs: Sequence[PicturePair], kernels: str = "plain") -> SetFigures:
    """What is reported of a checkpoint's network on one set of pictures."""
    network = ready_network(*checkpoint_from_bytes(weights), choose_predictor(kernels, "CPU"), "the network")
    (found,) = evaluate_network("network", network, [("test", pairs)]).sets
    return found
