"""A user's own task from a file: how pictures are degraded, and how what a network makes of them is judged.

The file defines
    NAME = "JPEG artefacts"                       what the task is called in tables
    def degrade(picture, random):                 what a network is given of a picture
    def score(output, target):                    optional: the figure that is fitness, the higher the better
`picture`, `output` and `target` are uint8 RGB (H, W, 3), H and W multiples of `task.scale`; `random` is a NumPy
generator of the picture or crop, the same for every network and on every machine. `degrade` returns (H / scale,
W / scale, 3), as uint8, or as floating-point numbers in which 0 is black and 1 is white. Without `score`, fitness is
PSNR over R, G and B. The file is copied into the run folder and imported on every node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from esr_ray.data.crops import PicturePair
from esr_ray.data.resize import upscale
from esr_ray.errors import UserError
from esr_ray.metrics import Score
from esr_ray.randomness import generator
from esr_ray.tasks.pixels import as_picture, as_rgb, completed
from esr_ray.tasks.task import F32, U8, Baseline, Draw, Task
from esr_ray.user_source import run_source

TRIAL_SIDE = 24
"""Side of the picture that a file is tried on; a multiple of every scale."""


@dataclass(frozen=True)
class UserTask:
    """What a file defines."""

    file: str
    name: str
    degrade: Callable[[U8, np.random.Generator], Any]
    score: Callable[[U8, U8], Any] | None


_KNOWN: dict[str, UserTask] = {}
"""By the file's name: a run's copy lies elsewhere than the file that was given."""


def load_user_task(path: str | Path) -> None:
    """Import the file and make its task known.

    Raises UserError if the file is missing, does not import, or does not define what it must.
    """
    path = Path(path)
    module = run_source(path, "task.file", f"esr_ray_user_task_{path.stem}")
    name = getattr(module, "NAME", None)
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{path}: must define NAME, what the task is called (it is {name!r})")
    degrade, score = getattr(module, "degrade", None), getattr(module, "score", None)
    if not callable(degrade):
        raise UserError(f"{path}: must define a function degrade(picture, random)")
    if score is not None and not callable(score):
        raise UserError(f"{path}: score must be a function score(output, target), or be left out (it is {score!r})")
    _KNOWN[path.name] = UserTask(str(path), name.strip(), degrade, score)


def user_task(settings: dict[str, Any], file: str, scale: int) -> Task:
    """The task of a file that was loaded, tried once on a small picture.

    Raises UserError if it was not loaded, or if its functions do not give what they should.
    """
    name = Path(file).name
    found = _KNOWN.get(name)
    if found is None:
        raise UserError(
            f"its task is that of a user's file {name}, which is found where a checkpoint lies in its run's folder"
        )

    def degraded_picture(picture: U8, seed: int, purpose: str, *index: int) -> F32:
        return _given(found, picture, generator(seed, purpose, *index), scale)

    def degraded(pair: PicturePair) -> F32:
        # By the picture's name, so that every network is measured with the same input.
        return degraded_picture(pair.hr, 0, f"degradation of {pair.name}")

    def prepare(lr: F32, hr: F32, draw: Draw) -> tuple[F32, F32]:
        crops = [
            degraded_picture(as_picture(crop), draw.seed, "degradation", draw.step, draw.first + place)
            for place, crop in enumerate(hr)
        ]
        return np.stack(crops), hr

    def shown(pair: PicturePair) -> U8:
        return as_picture(degraded(pair))

    def enlarged(pair: PicturePair) -> U8:
        return upscale(shown(pair), scale)

    task = Task(
        # The file's name alone: where it lies differs from machine to machine.
        settings={**settings, "file": name},
        title=found.name + (f" x{scale}" if scale > 1 else ""),
        scale=scale,
        in_channels=3,
        out_channels=3,
        border=0,
        judged_by="psnr_rgb",
        baselines=(Baseline("bicubic", enlarged) if scale > 1 else Baseline("input", shown),),
        prepare=prepare,
        degraded=degraded,
        given=as_rgb,
        complete=completed,
        shown=shown,
        input_name="input",
    )
    trial = np.arange(3 * TRIAL_SIDE**2, dtype=np.uint32).reshape(TRIAL_SIDE, TRIAL_SIDE, 3).astype(np.uint8)
    degraded_picture(trial, 0, "trial")
    if found.score is None:
        return task
    score = _checked_score(found)
    score(trial, trial)
    return replace(task, judged_by="score", score=score)


def _given(task: UserTask, picture: U8, random: np.random.Generator, scale: int) -> F32:
    """What `degrade` makes of a picture, as a network is given it. Raises UserError."""
    height, width = (side // scale for side in picture.shape[:2])
    try:
        # A copy, because `picture` may be what the output is compared with.
        found = np.asarray(task.degrade(picture.copy(), random))
    except Exception as error:
        raise UserError(f"{task.file}: degrade raised {type(error).__name__}: {error}") from error
    if found.shape != (height, width, 3):
        raise UserError(
            f"{task.file}: degrade gave {found.shape} of a picture {picture.shape}, and should give "
            f"{(height, width, 3)} (task.scale is {scale})"
        )
    if found.dtype == np.uint8:
        return as_rgb(found)
    if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
        raise UserError(f"{task.file}: degrade gave {found.dtype}; give uint8, or finite numbers from 0 to 1")
    return np.ascontiguousarray(found.transpose(2, 0, 1), dtype=np.float32)


def _checked_score(task: UserTask) -> Score:
    def score(output: U8, target: U8) -> float:
        assert task.score is not None
        try:
            value = float(task.score(output.copy(), target.copy()))
        except Exception as error:
            raise UserError(f"{task.file}: score raised {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise UserError(f"{task.file}: score gave {value}; give a finite number, the higher the better")
        return value

    return score
