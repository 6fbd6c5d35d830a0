"""The task of a configuration, and the network of an arch for it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from esr_ray.config.schema import Config, TaskConfig
from esr_ray.space.space import Space, make_space
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.super_resolution import super_resolution
from esr_ray.tasks.task import Task


def make_task(config: TaskConfig) -> Task:
    """The task that the section `task` describes."""
    return super_resolution(config.model_dump(mode="json"), config.scale, config.colour)


def space_of(config: Config) -> Space:
    """The search space of a run: its networks are for the run's task."""
    task = make_task(config.task)
    return make_space(config.space, task.scale, (task.in_channels, task.out_channels))


def task_of(spec: NetworkSpec) -> Task:
    """What a network is for. Raises ValueError where its settings are not of a task that is known."""
    settings = json.loads(spec.task) if spec.task else {"name": "super_resolution", "scale": spec.scale}
    return make_task(TaskConfig(**settings))


def network_spec(arch: Sequence[str], config: Config) -> NetworkSpec:
    """The network of an arch in this run."""
    task, space = make_task(config.task), config.space
    # Networks for RGB were made before there were other tasks: they are called alike.
    settings = "" if task.settings == TaskConfig(scale=config.task.scale).model_dump() else json.dumps(task.settings)
    channels = task.in_channels, task.out_channels
    return NetworkSpec(tuple(arch), space.base_channels, task.scale, space.global_skip, *channels, settings)
