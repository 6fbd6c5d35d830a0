"""The full training of one network."""

from __future__ import annotations

import time
from collections.abc import Sequence

from esr_ray.config.schema import FullTrainingConfig
from esr_ray.data.crops import ALL, PicturePair, Share
from esr_ray.inference.measure import Measured, compile_for, measure
from esr_ray.networks.checkpoint import checkpoint_bytes
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import task_of
from esr_ray.training.batches import training_batch
from esr_ray.training.loop import CurvePoint, Diverged, Progress, Visit, train
from esr_ray.training.network import NetworkMaker, TrainableNetwork
from esr_ray.training.result import FullyTrained, Seconds
from esr_ray.training.settings import deciding_settings
from esr_ray.training.state import TrainingState


class Onlooker:
    """What is told of a full training while it runs; a subclass does something with it."""

    def progress(self, point: CurvePoint) -> None:
        """The mean loss over the steps since the last call."""

    def state(self, state: TrainingState) -> None:
        """To go on from, every `checkpoint_steps`."""

    def validated(self, step: int, measured: list[Measured]) -> None:
        """The validation pictures, every `validation_steps`."""


def train_fully(
    spec: NetworkSpec,
    config: FullTrainingConfig,
    train_pairs: Sequence[PicturePair],
    seed: int,
    make: NetworkMaker,
    onlooker: Onlooker | None = None,
    validation_pairs: Sequence[PicturePair] = (),
    share: Share = ALL,
    begun: TrainingState | None = None,
) -> FullyTrained:
    """Train a network for the whole of `config`, from its beginning or from a state of the same training.

    With a `share` this is one process of several that train together (`make` joins their gradients): all get the same
    weights, and one of them has an onlooker. Raises Diverged where the loss, or the output, is no number.
    """
    started = time.perf_counter()
    task = task_of(spec)
    network = make(spec, config, seed)
    network.compile(*training_batch(task, train_pairs, config, seed, 1, share))
    visits: list[Visit] = []
    if onlooker is not None:
        if validation_pairs:
            compile_for(network, validation_pairs, task)
        visits = _visits(network, spec, config, onlooker, validation_pairs)
    progress = Progress()
    if begun is not None:
        network.restore(begun.arrays)
        progress = begun.progress
    compiled = time.perf_counter()
    report = onlooker.progress if onlooker is not None else None
    curve = train(network, train_pairs, config, task, seed, report, share, progress, visits)
    done = time.perf_counter()
    return FullyTrained(
        # Also of the processes before this one, where it goes on from a state.
        seconds=Seconds(compiled - started, progress.seconds + done - compiled, 0.0),
        curve=tuple((point.step, point.loss) for point in curve),
        weights=checkpoint_bytes(network.parameters(), spec),
        kernels=network.kernels,
    )


def _visits(
    network: TrainableNetwork,
    spec: NetworkSpec,
    config: FullTrainingConfig,
    onlooker: Onlooker,
    validation_pairs: Sequence[PicturePair],
) -> list[Visit]:
    settings, task = deciding_settings(config), task_of(spec)

    def keep(progress: Progress) -> None:
        onlooker.state(TrainingState(spec, settings, network.state(), progress))

    def validate(progress: Progress) -> None:
        try:
            measured = measure(network, validation_pairs, task)
        except ValueError as error:
            raise Diverged(f"diverged: the output is no picture ({error})") from None
        onlooker.validated(progress.steps, measured)

    # First: who goes on from the state validates no more what came before it.
    visits = [Visit(config.validation_steps, validate)] if validation_pairs else []
    return [*visits, Visit(config.checkpoint_steps, keep)]
