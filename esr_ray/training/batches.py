"""The batch of one step, as a network trains on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from esr_ray.config.schema import TrainingConfig
from esr_ray.data.crops import ALL, PicturePair, Share, sample_batch
from esr_ray.tasks.task import F32, Draw, Task


def training_batch(
    task: Task, pairs: Sequence[PicturePair], config: TrainingConfig, seed: int, step: int, share: Share = ALL
) -> tuple[F32, F32]:
    """What goes in and what should come out, (B, in, c, c) and (B, out, scale·c, scale·c): the crops of (seed, step),
    see `sample_batch`, as the task has them."""
    crops = sample_batch(pairs, seed, step, config.batch_size, config.crop_size, task.scale, share)
    given, wanted = task.prepare(*crops, Draw(seed, step, share.of(config.batch_size).start))
    return np.ascontiguousarray(given), np.ascontiguousarray(wanted)
