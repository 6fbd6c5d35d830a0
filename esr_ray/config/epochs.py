"""Trainings whose length is given in epochs, in steps: that can be said once the training pictures are counted."""

from __future__ import annotations

from esr_ray.config.schema import Config, MultiStepSchedule, TrainingConfig


def in_steps(config: Config, pictures: int) -> tuple[Config, tuple[str, ...]]:
    """The configuration with the length and milestones of its trainings in steps, and what to tell of it.

    `pictures` is the number of training pictures. An epoch is as many batches as they fill, one crop of each; as in the
    reference, a last one that is not full is left out.
    """
    notes, changed = [], {}
    for name in ("fast_training", "full_training"):
        training: TrainingConfig = getattr(config, name)
        if training.epochs is None:
            continue
        batches = max(1, pictures // training.batch_size)
        steps = training.epochs * batches
        schedule, of_rate = training.schedule, ""
        if isinstance(schedule, MultiStepSchedule):
            milestones = tuple(epoch * batches for epoch in schedule.milestones)
            schedule = schedule.model_copy(update={"milestones": milestones})
            of_rate = f", milestones {', '.join(f'{milestone:,}' for milestone in milestones)}"
        changed[name] = training.model_copy(update={"epochs": None, "steps": steps, "schedule": schedule})
        notes.append(
            f"{name}: {training.epochs:,} epochs of {batches:,} batches ({pictures:,} pictures, batch_size "
            f"{training.batch_size}) are {steps:,} steps{of_rate}"
        )
    return config.model_copy(update=changed), tuple(notes)
