"""The log of a run: what happened in words, a line each, in `log.txt` and for whoever watches."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from pathlib import Path

from esr_ray.metrics import FIGURES
from esr_ray.runs.events import (
    Asked,
    BaselineMeasured,
    Dropped,
    Event,
    Failed,
    Finished,
    Lost,
    Notice,
    PhaseBegan,
    Said,
    Started,
    Validated,
)
from esr_ray.runs.history import History

LINES_KEPT = 10_000
"""Lines that may be read again: of a terminal that was away for longer the first ones are missing."""
MOST_BYTES = 20_000_000
"""Of the file. All that it says is in the journal, too."""


class Log:
    """A view that keeps lines; they may be read from other threads."""

    def __init__(self, path: Path, max_attempts: int) -> None:
        self.max_attempts = max_attempts
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._count = 0
        self._lock = threading.Lock()
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        self._best: dict[int, float] = {}
        self._baseline = ""
        self._losses: dict[int, int] = {}

    def lines(self, since: int) -> tuple[str, ...]:
        """The lines from number `since` on, or the last LINES_KEPT of these."""
        return self.read(since)[0]

    def read(self, since: int) -> tuple[tuple[str, ...], int]:
        """These lines, and the number of the next one."""
        with self._lock:
            first = self._count - len(self._lines)
            return tuple(islice(self._lines, max(0, since - first), None)), self._count

    def see(self, event: Event | Notice, history: History) -> None:
        line = self._line(event, history)
        # What happened before this log was opened is in the file already.
        if line is None or not history.is_live:
            return
        with self._lock:
            self._lines.append(line)
            self._count += 1
        # A full disk is told by the journal, which cannot do without; the log can.
        with suppress(OSError):
            self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
            self._file.flush()
            if self._file.tell() > MOST_BYTES:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Go on in an empty file; what was written last is kept beside it."""
        self._file.close()
        try:
            self._path.replace(self._path.with_suffix(".before.txt"))
        finally:
            self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()

    def _line(self, event: Event | Notice, history: History) -> str | None:
        jobs = history.state.jobs
        match event:
            case Said():
                return event.line
            case PhaseBegan(name="search"):
                # Attempts are counted anew, and what was under way when a run ended is none of them.
                self._losses.clear()
            case BaselineMeasured():
                self._baseline = f" ({event.name} {event.fitness:.3f})"
            case Asked(purpose="promotion"):
                return f"candidate {event.candidate}: goes on to {event.steps:,} steps"
            case Asked(purpose="race"):
                return f"candidate {event.candidate}: might have won: once more, with seed {event.seed}"
            case Started():
                return f"candidate {jobs[event.job].candidate.id}: training on {event.device} of {event.node}"
            case Finished():
                return self._finished(event, history)
            case Failed():
                return f"candidate {jobs[event.job].candidate.id}: failed: {event.reason}"
            case Dropped():
                return f"candidate {jobs[event.job].candidate.id}: stopped, the winner is sure without it"
            case Lost():
                self._losses[event.job] = self._losses.get(event.job, 0) + 1
                again = "; it is trained again" if self._losses[event.job] < self.max_attempts else ""
                return f"candidate {jobs[event.job].candidate.id}: lost: {event.reason}{again}"
            case Validated():
                beside = self._baseline
                unit = FIGURES[event.by].unit
                return f"full training: step {event.step}: validation {event.quality.fitness:.3f}{unit}{beside}"
        return None

    def _finished(self, event: Finished, history: History) -> str:
        job = history.state.jobs[event.job]
        unit = FIGURES[event.by].unit
        mark = " (best so far)" if self._is_best(event, history) else ""
        return (
            f"candidate {job.candidate.id}: {event.quality.fitness:.3f}{unit} after {job.steps:,} steps, "
            f"{job.candidate.params / 1e3:.1f} K parameters, {job.candidate.mult_adds / 1e9:.2f} G mult-adds, "
            f"{event.seconds.total:.1f} s (compile {event.seconds.compile:.1f}){mark}"
        )

    def _is_best(self, event: Finished, history: History) -> bool:
        """Whether nothing that was trained as long, or longer, is as good."""
        steps = history.state.jobs[event.job].steps
        before = max((psnr for length, psnr in self._best.items() if length >= steps), default=None)
        self._best[steps] = max(event.quality.fitness, self._best.get(steps, event.quality.fitness))
        return before is None or event.quality.fitness > before
