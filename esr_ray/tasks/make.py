"""The task of a configuration, and the network of an arch for it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import ValidationError

from esr_ray.config.schema import Config
from esr_ray.config.task import TaskConfig
from esr_ray.errors import UserError
from esr_ray.space.space import Space, check_frame, make_space
from esr_ray.space.spec import NetworkSpec, split_frame
from esr_ray.tasks.demosaicking import demosaicking
from esr_ray.tasks.denoising import denoising
from esr_ray.tasks.super_resolution import super_resolution
from esr_ray.tasks.task import Task
from esr_ray.tasks.user_task import user_task


def make_task(config: TaskConfig) -> Task:
    """The task that the section `task` describes. Raises UserError for a user's file that was not loaded."""
    settings = config.model_dump(mode="json")
    if config.name == "denoising":
        return denoising(settings, config.sigmas, config.clip)
    if config.file is not None:
        return user_task(settings, config.file, config.scale)
    if config.name == "demosaicking":
        return demosaicking(settings, config.pattern)
    return super_resolution(settings, config.scale, config.colour)


def space_of(config: Config) -> Space:
    """The search space of a run: its networks are for the run's task."""
    task = make_task(config.task)
    return make_space(config.space, task.scale, (task.in_channels, task.out_channels))


def task_of(spec: NetworkSpec) -> Task:
    """What a network is for. Raises UserError where its settings are not of a task that is known."""
    try:
        return make_task(TaskConfig.model_validate_json(spec.task or json.dumps({"scale": spec.scale})))
    except ValidationError:
        raise UserError(f"it is for a task that this version of esr_ray does not know: {spec.task}") from None


def network_spec(arch: Sequence[str], config: Config) -> NetworkSpec:
    """The network of an arch in this run. One that names no channels outside its blocks has the first that the space
    has; one that does has these. Raises UserError if it cannot have them, or has no block."""
    task, space = make_task(config.task), config.space
    # Networks for RGB were made before there were other tasks: they are called alike.
    plain = config.task.name == "super_resolution" and config.task.colour == "rgb"
    settings = "" if plain else json.dumps(task.settings)
    channels = task.in_channels, task.out_channels
    frame, blocks = split_frame(arch)
    if frame is None:
        frame = space.frames[0]
    elif blocks:
        check_frame(frame, task.scale, arch[0])
    else:
        raise UserError(f"{arch[0]}: has no blocks")
    return NetworkSpec(blocks, frame, task.scale, space.global_skip, *channels, settings)
