"""A checkpoint as a network that is ready to enlarge pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esr_ray.errors import UserError
from esr_ray.inference.ensemble import SelfEnsemble
from esr_ray.inference.predictor import Predictor, PredictorMaker
from esr_ray.inference.tiles import SIDE, UNKNOWN, Sight, Tiled, side_for, sight_of
from esr_ray.networks.checkpoint import load_checkpoint
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import task_of
from esr_ray.tasks.task import Task


@dataclass(frozen=True)
class Loaded:
    """A network that is ready, for pictures of any size. `origin` says in errors where it is from; a self-ensemble does
    `repeats` times the work. Large pictures are put through it in tiles of a `side`, which overlap by what it sees."""

    spec: NetworkSpec
    task: Task
    predictor: Predictor
    origin: str
    repeats: int = 1
    sight: Sight = UNKNOWN
    side: int = SIDE


def load_network(checkpoint: Path, make: PredictorMaker, self_ensemble: bool = False) -> Loaded:
    """The network of a checkpoint file.

    Raises UserError for a checkpoint that is damaged, names unknown blocks, or does not fit the network that it names.
    """
    return ready_network(*load_checkpoint(checkpoint), make, str(checkpoint), self_ensemble)


def ready_network(
    parameters: Mapping[str, np.ndarray],
    spec: NetworkSpec,
    make: PredictorMaker,
    origin: str,
    self_ensemble: bool = False,
) -> Loaded:
    """The network of parameters. Raises UserError as `load_network` does."""
    try:
        task = task_of(spec)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None
    try:
        predictor = Tiled(make(spec, parameters), spec)
    except UserError as error:
        raise UserError(
            f"{origin}: its network cannot be built: {error}; block types of a run are found where the checkpoint "
            "lies in the run's folder"
        ) from None
    except ValueError as error:
        raise UserError(f"{origin}: its weights are not those of the network that it names: {error}") from None
    seen = sight_of(spec), side_for(spec)
    if self_ensemble:
        ensemble = SelfEnsemble(predictor)
        return Loaded(spec, task, ensemble, origin, ensemble.repeats, *seen)
    return Loaded(spec, task, predictor, origin, 1, *seen)
