"""`--dry-run`: the plan in words, with the time expected from a few steps that are really trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import ray
from rich.console import Console

from esr_ray.config.evolution import EvolutionConfig
from esr_ray.config.schema import Config
from esr_ray.cores import why_fewer
from esr_ray.errors import UserError
from esr_ray.plan import Experiment
from esr_ray.runtime.client import connection
from esr_ray.runtime.final_stage import check_trainers
from esr_ray.runtime.lifeline import Lifeline
from esr_ray.runtime.placement import Placement, decide_placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.backend import Done
from esr_ray.search.events import Failed, Lost
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.space.counts import mult_adds_720p, spec_cost
from esr_ray.tasks.make import network_spec
from esr_ray.training.result import Seconds
from esr_ray.view import duration, print_line

TRIAL_STEPS = 5
"""Steps of the trial training."""


@dataclass(frozen=True)
class Expected:
    """Seconds that a run is expected to take, from one trial."""

    candidate_s: float
    search_s: float
    full_training_s: float
    device_hours: float


def print_plan(experiment: Experiment, address: str | None, console: Console) -> None:
    """Print space, budget, evaluations, devices and time. Raises UserError where a trial candidate fails."""

    say = partial(print_line, console)

    config = experiment.config
    for line in (*_to_train(experiment), *experiment.search_notes, *experiment.notes):
        say(line)
    say(f"disk: about {experiment.needed_bytes / 1e6:,.0f} MB in {experiment.folder.path}")
    with connection(address):
        placement = decide_placement(config.runtime, ray.cluster_resources())
        say(f"devices: {placement.reason}")
        if address is None and (note := why_fewer()) is not None:
            say(note)
        for note in check_trainers(config, placement.resource, nodes_may_join=address is not None):
            say(note)
        if experiment.pictures is None or experiment.reach is None:
            say("time: not tried, " + ("the pictures are not here" if experiment.reach else "nothing is searched"))
            return
        setup = WorkerSetup(config, placement.target, experiment.pictures, experiment.files)
        expected = expected_time(config, placement, _trial(experiment, setup, placement, say))
    say(
        f"time expected: {expected.candidate_s:.0f} s a candidate, {duration(expected.search_s)} for the search, "
        f"{duration(expected.full_training_s)} for the full training; {expected.device_hours:.2f} device-hours"
    )


def _to_train(experiment: Experiment) -> Iterator[str]:
    """What is searched, or which networks are trained, in words."""
    config, space, reach = experiment.config, experiment.space, experiment.reach
    scale = config.task.scale
    if reach is None:
        for arch in config.networks:
            spec = network_spec(arch, config)
            cost = spec_cost(spec)
            figures = f"{cost.params:,} parameters, {mult_adds_720p(cost, scale) / 1e9:.2f} G mult-adds"
            yield f"network of {len(spec.arch)} blocks, {figures}: {' '.join(arch)}"
        return
    names, frames = len(space.vocabulary.names), len(space.base_channels)
    networks = frames * sum(names**count for count in range(max(1, space.min_active), space.node_num + 1))
    channels = f", {' or '.join(map(str, space.base_channels))} base channels" if frames > 1 else ""
    yield (
        f"space: {names} blocks, {space.node_num} nodes, {space.min_active} or more active{channels}: "
        f"10^{math.log10(networks):.1f} networks"
    )
    counting = " as the reference counts" if space.reference_counting else ""
    yield (
        f"parameters{counting}: {reach.least:,} to {reach.greatest:,} can be reached; "
        f"{reach.within:,} different counts lie within the budget "
        f"({space.min_params:,} to {space.max_params or reach.greatest:,})"
    )
    if space.max_mult_adds is not None:
        yield f"mult-adds: at most {space.max_mult_adds / 1e9:.2f} G for a 1280x720 output"
    yield from _budget(config.evolution)


def _budget(evolution: EvolutionConfig) -> Iterator[str]:
    """What the search may spend, and on what."""
    budget = evolution.num_generation * evolution.num_individual
    yield (
        f"budget: {budget:,} short trainings ({evolution.num_generation} x {evolution.num_individual}), "
        f"{evolution.schedule}, for {', '.join(evolution.objectives)}"
    )
    if evolution.promotion is not None:
        lengths = ", ".join(f"{length:g}x" for length in evolution.promotion.lengths)
        yield f"promotion: the best {evolution.promotion.keep:.0%} of each length go on to the next: {lengths}"
    if evolution.race is not None:
        yield (
            f"race: {evolution.race.share:.0%} of the budget for further seeds of the best, until the winner is sure "
            f"with probability {evolution.race.confidence:g}"
        )


def expected_time(config: Config, placement: Placement, trial: Seconds) -> Expected:
    """Extrapolate from a trial of TRIAL_STEPS steps. The full training is reckoned on one device."""
    step_s = trial.steps / TRIAL_STEPS
    candidate_s = trial.compile + step_s * config.fast_training.steps + trial.evaluation
    evolution = config.evolution
    device_s = evolution.num_generation * evolution.num_individual * candidate_s
    search_s = device_s / placement.evaluators
    if evolution.schedule == "generational":
        # Devices wait for the last of a generation.
        search_s = evolution.num_generation * math.ceil(evolution.num_individual / placement.evaluators) * candidate_s
    full_s = 0.0
    if "full_training" in config.pipeline:
        fast, full = config.fast_training, config.full_training
        pixels = full.batch_size * full.crop_size**2 / (fast.batch_size * fast.crop_size**2)
        full_s = trial.compile + step_s * pixels * full.steps
    return Expected(candidate_s, search_s, full_s, (device_s + full_s) / 3600)


def _trial(experiment: Experiment, setup: WorkerSetup, placement: Placement, say: Callable[[str], None]) -> Seconds:
    """Train the first candidate of the search for a few steps on one device."""
    config = setup.config
    one_device = Placement(placement.resource, placement.target, 1, placement.reason)
    backend = RayBackend(WorkerSetup(config, setup.target, setup.pictures, setup.files), one_device, say)
    try:
        (first,) = make_algorithm(config, experiment.space).ask(State(), 1)
        backend.submit([replace(first, steps=TRIAL_STEPS)])
        lifeline = Lifeline()
        while True:
            lifeline.check()
            event = backend.next_event(1.0)
            if isinstance(event, Done):
                return event.trained.seconds
            if isinstance(event, Failed | Lost):
                raise UserError(f"a trial training failed: {event.reason}")
    finally:
        backend.cancel()
