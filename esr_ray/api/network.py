"""Trained networks from Python: `esr_ray.load(NETWORK).upscale(picture)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from esr_ray.errors import UserError
from esr_ray.inference.enlarge import enlarge_by
from esr_ray.inference.find import only_network
from esr_ray.inference.load import Loaded, load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.space.counts import spec_cost
from esr_ray.upscale.picture import Opened, each, picture_of, to_image

if TYPE_CHECKING:
    from PIL import Image

    from esr_ray.tasks.task import U8


@dataclass(frozen=True)
class Network:
    """A trained network. It may be used by several threads."""

    name: str
    loaded: Loaded

    @property
    def arch(self) -> tuple[str, ...]:
        """The names of its blocks."""
        return self.loaded.spec.arch

    @property
    def scale(self) -> int:
        """How many times as large its output is, a side."""
        return self.loaded.spec.scale

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return spec_cost(self.loaded.spec).params

    @overload
    def upscale(
        self, picture: U8, scale: int | None = ..., workers: int | None = ..., progress: Callable[[float], None] = ...
    ) -> U8: ...
    @overload
    def upscale(
        self,
        picture: Image.Image,
        scale: int | None = ...,
        workers: int | None = ...,
        progress: Callable[[float], None] = ...,
    ) -> Image.Image: ...

    def upscale(
        self,
        picture: U8 | Image.Image,
        scale: int | None = None,
        workers: int | None = None,
        progress: Callable[[float], None] = lambda part: None,
    ) -> U8 | Image.Image:
        """A picture, larger: an array (h, w, 3) of uint8 RGB or (h, w) of grey gives such an array, one of Pillow's
        images an image with its transparency, profile and resolution.

        `scale` times as large, if that is given, else as large as the network makes it. Tiles are computed on so many
        `workers` (all cores); `progress` is told the part that is done, from 0 to 1. Raises ValueError for another kind
        of array, and where the network's output is not finite.
        """
        make = partial(enlarge_by, scale=scale or self.scale, network=self.loaded, workers=workers)
        if not isinstance(picture, np.ndarray):
            return to_image(each(picture_of(picture, "the picture"), make, progress))
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
            raise ValueError(f"a picture is uint8 (h, w, 3) or (h, w), not {picture.dtype} {picture.shape}")
        if 0 in picture.shape:
            raise ValueError(f"a picture of {picture.shape} has no pixels")
        if picture.ndim == 3:
            return make(picture, progress=progress)
        grey = Opened(np.repeat(picture[..., None], 3, axis=2), None, True)
        return each(grey, make, progress).colour[..., 0]


def load(network: str | Path, kernels: str = "auto") -> Network:
    """The network of a checkpoint or of a run's folder. `kernels` is auto, native or plain (`runtime.kernels`).

    Raises UserError where there is none, where there are several, and where the file is damaged.
    """
    source = only_network(Path(network).expanduser())
    make = choose_predictor(kernels, "CPU")
    if make.library is None:
        # MindSpore's operators would be many times slower in its other mode.
        from esr_ray.networks.target import use_target

        use_target("CPU", "graph")
    loaded = load_network(source.path, make)
    if loaded.task.in_channels not in (1, 3):
        raise UserError(f"{source.path}: is for {loaded.task.title}: it takes no pictures, but what a sensor sees")
    return Network(source.name, loaded)


__all__ = ["Network", "UserError", "load"]
