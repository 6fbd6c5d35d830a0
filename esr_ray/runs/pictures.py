"""Pictures to judge a network by: input, baseline, network and original of one part, each with its name and PSNR."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from esr_ray.data.crops import PicturePair
from esr_ray.metrics import FIGURES, MAX_PSNR, psnr
from esr_ray.tasks.task import Task

SHOWN = 512
"""About so many pixels a side is each part shown: of smaller ones each pixel becomes a square of pixels."""
GAP = 8
INK, PAPER = (20, 20, 20), (255, 255, 255)


def comparison_picture(pair: PicturePair, sr: np.ndarray, task: Task, side: int = 256) -> np.ndarray:
    """uint8 (H, W, 3): input (pixels repeated) and baseline above, the network's `sr` and the original below; of each
    the middle `side` pixels.

    Two by two, as TensorBoard fits a picture to the width of its card: in a row each part would be half as large.
    The figures are those of the part, without the task's border if it is large enough to have one.
    """
    given = task.shown(pair)
    scale = pair.hr.shape[0] // given.shape[0]
    nearest = given.repeat(scale, axis=0).repeat(scale, axis=1)
    middles = [_middle(part, side) for part in (nearest, task.baseline.of(pair), sr, pair.hr)]
    baseline, network = (_fitness(part, middles[3], task) for part in middles[1:3])
    unit = FIGURES[task.judged_by].unit
    labels = (
        _sized(task.input_name, middles[3], scale),
        f"{task.baseline.name}  {baseline:.2f}{unit}",
        f"network  {network:.2f}{unit} ({network - baseline:+.2f})",
        _sized("HR" if scale > 1 else "original", middles[3], 1),
    )
    zoom = zoom_of(middles[3])
    parts = [
        _labelled(part.repeat(zoom, 0).repeat(zoom, 1), label) for part, label in zip(middles, labels, strict=True)
    ]
    height, width = parts[0].shape[:2]
    picture = np.full((2 * height + GAP, 2 * width + GAP, 3), 255, np.uint8)
    for index, part in enumerate(parts):
        top, left = index // 2 * (height + GAP), index % 2 * (width + GAP)
        picture[top : top + height, left : left + width] = part
    return picture


def zoom_of(part: np.ndarray) -> int:
    """How often a part's pixels are repeated, so that it is shown about `SHOWN` pixels large."""
    return max(1, SHOWN // max(part.shape[:2]))


def _middle(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return picture[top : top + side, left : left + side]


def _fitness(part: np.ndarray, original: np.ndarray, task: Task) -> float:
    border = task.border if min(part.shape[:2]) > 4 * task.border else 0
    if task.score is not None:
        return task.score(part, original)
    return min(MAX_PSNR, psnr(part, original, border, task.judged_by == "psnr_y"))


def _sized(name: str, part: np.ndarray, scale: int) -> str:
    height, width = part.shape[:2]
    return f"{name}  {round(width / scale)} x {round(height / scale)}"


def _labelled(part: np.ndarray, label: str) -> np.ndarray:
    # Large, to be read also where TensorBoard shows the picture at a third of its size.
    width = part.shape[1]
    size = max(8, width // 16)
    band = Image.new("RGB", (width, size + size // 2), PAPER)
    ImageDraw.Draw(band).text((4, band.height // 2), label, INK, ImageFont.load_default(size), "lm")
    return np.concatenate([np.asarray(band), part])


def to_png(picture: np.ndarray) -> bytes:
    """The PNG file of a uint8 (H, W, 3) picture."""
    buffer = BytesIO()
    # Half the time of the usual level, for files 3 % larger.
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()
