"""Which settings of a training decide what comes of it."""

from __future__ import annotations

from typing import Any

from esr_ray.config.schema import FullTrainingConfig, TrainingConfig

PAUSES = ("checkpoint_steps", "validation_steps")
"""Settings that no result depends on."""
LATER = ("initial_variance", "l2_from")
"""Settings that were not recorded from the beginning."""


def deciding_settings(config: TrainingConfig) -> dict[str, Any]:
    """The settings, in steps, that the weights after a step depend on, as JSON has them."""
    return config.model_dump(mode="json", exclude={*PAUSES, "epochs", "networks"})


def completed(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a training was recorded with, and the defaults of those that its version did not have yet: it
    must not begin anew because the program was updated, only if the user changes something."""
    defaults = deciding_settings(FullTrainingConfig())
    return {**{key: defaults[key] for key in LATER}, **settings}
