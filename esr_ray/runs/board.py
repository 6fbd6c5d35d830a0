"""TensorBoard's view of a run: the search first, then candidates, full trainings, the report and the devices.

Made from the record, and made anew when a run is resumed. TensorBoard sorts by name; hence the numbers before them.
All of it is one event file, but for the HParams table (`esr_ray.runs.board_search` says why).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from esr_ray.runs.board_events import EventFile, Thinned, Trials
from esr_ray.runs.board_search import POINTS, SearchBoard, layout
from esr_ray.runs.events import (
    Compared,
    CurveFound,
    Dropped,
    Event,
    Failed,
    Finished,
    Lost,
    Notice,
    PhaseBegan,
    Progressed,
    Reported,
    Started,
    TrainingEnded,
    Validated,
)
from esr_ray.runs.history import History
from esr_ray.runs.pictures import to_png
from esr_ray.runs.result import baseline_of
from esr_ray.search.algorithm import Algorithm

COMPARISONS = 2
"""So many comparison pictures of a kind are all shown, of later ones fewer and fewer, and the last: one is some 500 KB,
and TensorBoard shows ten."""
ROOM_BYTES = 8_000_000
"""Once all pictures together have so many, only the last comparison of each full training is shown."""
LOSSES = 512
"""So many points of a full training's loss are shown as they are told, of later ones means."""
OLD_PICTURES = 3
"""So many comparison pictures of a search that goes on are taken from the run folder."""


class Board:
    """A view that writes what is worth watching. PSNR is in dB on Y.

    `pictures` is the folder in which comparison pictures of a search that goes on lie: they are not in the record.
    """

    def __init__(
        self,
        folder: Path,
        algorithm: Algorithm | None = None,
        pictures: Path | None = None,
        judged_by: str = "psnr_y",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.algorithm, self.pictures = algorithm, pictures
        self._events = EventFile(folder)
        self._search = None
        if algorithm is not None:
            self._search = SearchBoard(self._events, Trials(folder), algorithm, judged_by, clock)
        self._events.add_layout(layout(judged_by))
        self._busy = Thinned(POINTS)
        self._losses: dict[str, tuple[Thinned, list[float]]] = {}
        self._validated: dict[tuple[str, int], float] = {}
        self._comparisons: dict[str, Comparisons] = {}
        self._last: History | None = None
        # Trainers tell of their steps from another thread.
        self._lock = threading.RLock()

    def see(self, event: Event | Notice, history: History) -> None:
        with self._lock:
            was_live, self._last = self._last is not None and self._last.is_live, history
            if history.is_live and not was_live:
                self._caught_up(history)
            self._see(event, history)

    def _see(self, event: Event | Notice, history: History) -> None:
        match event:
            case Started() | Lost():
                self._show_busy(history)
            case Finished() | Failed() | Dropped():
                if self._search is not None:
                    self._search.told(event, history)
                self._show_busy(history)
            case PhaseBegan() if event.name != "search":
                self._end_search(history)
            case Compared(network=None):
                self._compare("1_search/comparison", event, self._step)
            case Compared():
                self._compare(f"3_full_training/comparison_{event.network}", event, event.step)
            case Progressed() | CurveFound():
                self._show_loss(event)
            case Validated():
                self._show_validation(event)
            case TrainingEnded():
                self._finish_comparisons()
            case Reported():
                self._report(event)

    def _show_validation(self, event: Validated) -> None:
        """Once, unless it is another figure: a training that goes on from its last state comes to some steps again."""
        place, value = (event.network, event.step), event.quality.fitness
        if self._validated.get(place) != value:
            self._validated[place] = value
            self._events.add_scalar(f"3_full_training/{event.by}_{event.network}", value, event.step)

    def close(self) -> None:
        """Write what is still to be shown, and end."""
        with self._lock:
            if self._last is not None:
                self._end_search(self._last)
            self._finish_comparisons()
            self._events.close()

    @property
    def _step(self) -> int:
        return 0 if self._search is None else self._search.step

    def _caught_up(self, history: History) -> None:
        if self._search is None:
            return
        self._search.caught_up(history)
        found = [] if self.pictures is None else sorted(self.pictures.glob("best_*.png"), key=_age)
        for place, path in enumerate(found[-OLD_PICTURES:], 1 - min(len(found), OLD_PICTURES)):
            try:
                # When they were made is not known: the newest stands where the search goes on.
                self._events.add_png("1_search/comparison", path.read_bytes(), max(0, self._step + place))
            except OSError:
                continue

    def _end_search(self, history: History) -> None:
        if self._search is not None and history.is_live:
            self._search.end(history)
            self._finish_comparisons()

    def _show_busy(self, history: History) -> None:
        if self._busy.due():
            self._events.add_scalar("5_devices/busy", len(history.under_way), self._step)

    def _compare(self, tag: str, event: Compared, step: int) -> None:
        if tag not in self._comparisons:
            self._comparisons[tag] = Comparisons(self._events, tag)
        self._comparisons[tag].take(event.picture, step)

    def _finish_comparisons(self) -> None:
        for one in self._comparisons.values():
            one.finish()

    def _show_loss(self, event: Progressed | CurveFound) -> None:
        thinned, waiting = self._losses.setdefault(event.network, (Thinned(LOSSES), []))
        waiting.append(event.loss)
        if thinned.due():
            mean = sum(waiting) / len(waiting)
            self._events.add_scalar(f"3_full_training/loss_{event.network}", mean, event.step)
            waiting.clear()

    def _report(self, event: Reported) -> None:
        for part in event.sets:
            for name, figures in ((event.network, part["network"]), (event.baseline, baseline_of(part))):
                self._events.add_scalar(f"4_report/{event.by}_{part['name']}_{name}", figures[event.by], 0)
        self._events.flush()


class Comparisons:
    """Comparison pictures of one kind: the first few, then fewer, and the last in any case."""

    def __init__(self, events: EventFile, tag: str) -> None:
        self.events, self.tag = events, tag
        self._thinned = Thinned(COMPARISONS)
        self._waiting: tuple[np.ndarray, int] | None = None

    def take(self, picture: np.ndarray, step: int) -> None:
        """The newest one."""
        self._waiting = picture, step
        if self._thinned.due() and self.events.picture_bytes < ROOM_BYTES:
            self.finish()

    def finish(self) -> None:
        """Show the newest one, if it is not shown yet."""
        if self._waiting is not None:
            picture, step = self._waiting
            self.events.add_png(self.tag, to_png(picture), step)
            self.events.flush()
            self._waiting = None


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
