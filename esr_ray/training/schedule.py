"""What changes from step to step of a training: the learning rate, computed beforehand, and the loss."""

from __future__ import annotations

import numpy as np

from esr_ray.config.schema import CosineSchedule, MultiStepSchedule, TrainingConfig


def of_length(config: TrainingConfig, steps: int) -> TrainingConfig:
    """The same training with another length: milestones move with it, a warm-up stays as it is."""
    schedule = config.schedule
    if isinstance(schedule, MultiStepSchedule) and steps != config.steps:
        milestones = tuple(dict.fromkeys(max(1, round(one * steps / config.steps)) for one in schedule.milestones))
        schedule = schedule.model_copy(update={"milestones": milestones})
    return config.model_copy(update={"steps": steps, "schedule": schedule})


def learning_rates(config: TrainingConfig) -> np.ndarray:
    """(steps,) float32.

    cosine: rises linearly over warmup_steps, then half a cosine that would be 0 one step after the last
    (Loshchilov and Hutter 2017, equation 5, without restarts). multistep: times gamma from each milestone on.
    Raises ValueError where epochs were not made steps (`esr_ray.config.epochs`).
    """
    if config.epochs is not None:
        raise ValueError("the length of the training is in epochs; rates are of steps")
    steps = np.arange(config.steps)
    schedule = config.schedule
    if isinstance(schedule, CosineSchedule):
        warmup = min(schedule.warmup_steps, config.steps)
        rising = (steps + 1) / (warmup + 1)
        annealed = 0.5 * (1 + np.cos(np.pi * (steps - warmup) / max(1, config.steps - warmup)))
        factor = np.where(steps < warmup, rising, annealed)
    else:
        passed = np.searchsorted(schedule.milestones, steps, side="right")
        factor = schedule.gamma**passed
    return (config.learning_rate * factor).astype(np.float32)


def is_squared(config: TrainingConfig, step: int) -> bool:
    """Whether the loss of a step, counted from 1, is the mean squared difference."""
    return config.l2_from is not None and step > round(config.l2_from * config.steps)


def losses_of(config: TrainingConfig) -> tuple[bool, ...]:
    """What `is_squared` says in the course of a training."""
    return tuple(sorted({is_squared(config, 1), is_squared(config, config.steps)}))
