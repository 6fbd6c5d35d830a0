"""Trained networks from Python: `esr_ray.load(NETWORK).upscale(picture)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from esr_ray.errors import UserError
from esr_ray.inference.find import only_network
from esr_ray.inference.load import Loaded, load_network
from esr_ray.inference.onnx_file import load_onnx
from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.rows import Rows, bands_of, collect
from esr_ray.space.counts import spec_cost
from esr_ray.upscale.picture import Opened, larger, opened_array, picture_of

if TYPE_CHECKING:
    from PIL import Image

    from esr_ray.tasks.task import Levels


@dataclass(frozen=True)
class Network:
    """A trained network. It may be used by several threads."""

    name: str
    loaded: Loaded

    @property
    def arch(self) -> tuple[str, ...]:
        """The names of its blocks; none of an ONNX file of another program."""
        return self.loaded.spec.arch

    @property
    def base_channels(self) -> int | None:
        """The channels outside its blocks; None of an ONNX file of another program."""
        return self.loaded.spec.base_channels if self.arch else None

    @property
    def scale(self) -> int:
        """How many times as large its output is, a side."""
        return self.loaded.task.enlargement

    @property
    def parameters(self) -> int | None:
        """Weights and biases; None of an ONNX file of another program."""
        return spec_cost(self.loaded.spec).params if self.arch else None

    @overload
    def upscale(
        self,
        picture: Levels,
        scale: int | None = ...,
        workers: int | None = ...,
        progress: Callable[[float], None] = ...,
    ) -> Levels: ...
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
        picture: Levels | Image.Image,
        scale: int | None = None,
        workers: int | None = None,
        progress: Callable[[float], None] = lambda part: None,
    ) -> Levels | Image.Image:
        """A picture, larger: an array (h, w, 3) of RGB or (h, w) of grey, uint8 or uint16, gives such an array, one of
        Pillow's images an image with its transparency, profile and resolution. A network for demosaicking takes the
        mosaic of a sensor, grey, and gives RGB.

        `scale` times as large, if that is given, else as large as the network makes it. Tiles are computed on so many
        `workers` (all cores); `progress` is told the part that is done, from 0 to 1. Raises ValueError for another kind
        of picture, and where the network's output is not finite.
        """
        mosaic = self.loaded.task.of_mosaic
        if not isinstance(picture, np.ndarray):
            opened = picture_of(picture, "the picture", mosaic=mosaic)
            with larger(opened, self.loaded, scale, workers, progress) as rows:
                return _image(opened, rows)
        kinds = np.uint8, np.uint16
        if picture.dtype not in kinds or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
            raise ValueError(f"a picture is uint8 or uint16, (h, w, 3) or (h, w), not {picture.dtype} {picture.shape}")
        if 0 in picture.shape:
            raise ValueError(f"a picture of {picture.shape} has no pixels")
        opened = opened_array(picture if picture.ndim == 3 else picture[..., None])
        with larger(opened, self.loaded, scale, workers, progress) as rows:
            made = collect(rows)
        return made[..., 0] if made.shape[2] == 1 else made


def _image(opened: Opened, rows: Rows) -> Image.Image:
    """Rows as an image of Pillow's, with what is kept beside them in its `info`; its colours have 8 bits."""
    from PIL import Image

    deep = rows.kind != np.uint8
    modes = {1: "I;16" if deep else "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    image = Image.new(modes[rows.channels], (rows.width, rows.height))
    top = 0
    for band in bands_of(rows):
        if deep and rows.channels > 1:
            band = ((band.astype(np.uint32) + 128) // 257).astype(np.uint8)
        image.paste(Image.fromarray(band[..., 0] if rows.channels == 1 else band), (0, top))
        top += len(band)
    kept = {"icc_profile": opened.kept.icc, "dpi": opened.kept.dpi}
    image.info.update({name: value for name, value in kept.items() if value is not None})
    if opened.kept.exif is not None:
        image.info["exif"] = opened.kept.exif.tobytes()
    return image


def load(network: str | Path, kernels: str = "auto") -> Network:
    """A network of the package by its name (such as x2), or that of a checkpoint, a run's folder or an ONNX file.

    `kernels` is auto, native or plain (`runtime.kernels`).

    Raises UserError where there is none, where there are several, and where the file is damaged.
    """
    source = only_network(Path(network).expanduser())
    if source.path.suffix == ".onnx":
        if kernels != "auto":
            raise UserError(f"{source.path}: is run by onnxruntime, not by {kernels} kernels; leave that out")
        return Network(source.name, load_onnx(source.path))
    return Network(source.name, load_network(source.path, choose_predictor(kernels, "CPU")))
