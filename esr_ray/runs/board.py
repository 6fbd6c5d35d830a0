"""TensorBoard events of a run, all in one file; made from the journal, and made anew when a run is resumed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event as BoardEvent
from tensorboardX.summary import image, scalar

from esr_ray.evolution.population import State
from esr_ray.evolution.selection import fitness_of
from esr_ray.runs.folder import FINAL
from esr_ray.runs.history import History
from esr_ray.runs.journal import Event

FLUSH_S = 10.0
"""How long a point may wait for its way to the disk."""


class _Events:
    """The event file, written by the caller itself.

    tensorboardX's SummaryWriter has a thread for that, which dies of a full disk: its queue fills, and whoever adds
    to it waits for ever. Here the file ends where the disk is full; the journal is what tells it, and makes it anew.
    """

    def __init__(self, folder: Path) -> None:
        self._file: EventsWriter | None = None
        self._flushed = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = EventsWriter(str(folder / "events"))
        except OSError:
            self._file = None

    def add_scalar(self, tag: str, value: float | None, step: int) -> None:
        self._add(scalar(tag, value), step)

    def add_image(self, tag: str, picture: np.ndarray, step: int) -> None:
        self._add(image(tag, picture, dataformats="HWC"), step)

    def _add(self, summary: object, step: int) -> None:
        if self._file is None:
            return
        try:
            self._file.write_event(BoardEvent(wall_time=time.time(), step=step, summary=summary))
            if time.monotonic() - self._flushed > FLUSH_S:
                self.flush()
        except OSError:
            self._file = None

    def flush(self) -> None:
        try:
            if self._file is not None:
                self._file.flush()
        except OSError:
            self._file = None
        self._flushed = time.monotonic()

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


class Board:
    """Writes what is worth watching. PSNR is in dB on Y."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = _Events(folder)
        self._finished = 0

    def finished(self, event: Event) -> None:
        """A candidate's loss curve, its PSNR, and where its time went; from a `finished` event."""
        for step, loss in event["curve"]:
            self._writer.add_scalar(f"candidate_loss/{event['id']:06d}", loss, step)
        self._writer.add_scalar("candidates/psnr_y", event["psnr_y"], event["id"])
        for part, seconds in event["seconds"].items():
            self._writer.add_scalar(f"candidate_seconds/{part}", seconds, event["id"])
        self._finished += 1

    def devices(self, busy: int) -> None:
        """How many devices train a candidate, by the number of candidates finished so far."""
        self._writer.add_scalar("devices/busy", busy, self._finished)

    def generation(self, state: State, history: History) -> None:
        """Best and mean PSNR after a generation, and PSNR against parameters (the step) within it."""
        index = state.generation - 1
        alive = [one for one in state.population if one.fitness is not None]
        if state.best is not None and state.best.fitness is not None:
            self._writer.add_scalar("search/best_psnr_y", state.best.fitness, index)
        if alive:
            mean = sum(fitness_of(one) for one in alive) / len(alive)
            self._writer.add_scalar("search/mean_psnr_y", mean, index)
        self._writer.add_scalar("search/failed", len(history.failed), index)
        for one in sorted(alive, key=lambda one: one.candidate.params):
            self._writer.add_scalar(f"psnr_by_params/generation_{index:03d}", one.fitness, one.candidate.params)
        self._writer.flush()

    def picture(self, tag: str, strip: np.ndarray, step: int) -> None:
        """A picture (H, W, 3) uint8: see `esr_ray.runs.pictures`."""
        self._writer.add_image(tag, strip, step)
        self._writer.flush()

    def training_loss(self, label: str, step: int, loss: float) -> None:
        """A point of the curve of a full training, of the network with that label."""
        self._writer.add_scalar(f"full_training_loss/{label}", loss, step)

    def validated(self, label: str, step: int, psnr_y: float) -> None:
        """PSNR of the validation pictures within a full training."""
        self._writer.add_scalar(f"full_training_psnr_y/{label}", psnr_y, step)

    def report(self, event: Event) -> None:
        """PSNR of a trained network and of bicubic on each set; from a `reported` event."""
        label = event.get("network", FINAL)
        for part in event["sets"]:
            self._writer.add_scalar(f"report_psnr_y/{part['name']}_{label}", part["network"]["psnr_y"], 0)
            self._writer.add_scalar(f"report_psnr_y/{part['name']}_bicubic", part["bicubic"]["psnr_y"], 0)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
