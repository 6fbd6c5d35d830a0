"""What TensorBoard reads: the event file, written so that it stays small, and the folders of the HParams table.

TensorBoard keeps 1,000 points of a scalar and 10 pictures of a tag, whatever is in the file. So more of them are not
written: the longer a run goes on, the fewer (`Thinned`, `Paced`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event as BoardEvent
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import custom_scalars, hparams, scalar, text

FLUSH_S = 10.0
"""How long a point may wait for its way to the disk."""


class EventFile:
    """The event file, written by the caller itself.

    tensorboardX's SummaryWriter has a thread for that, which dies of a full disk: its queue fills, and whoever adds
    to it waits for ever. Here the file ends where the disk is full; the journal is what tells it, and makes it anew.
    """

    def __init__(self, folder: Path) -> None:
        self.picture_bytes = 0
        self._file: EventsWriter | None = None
        self._flushed = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = EventsWriter(str(folder / "events"))
        except OSError:
            self._file = None

    def add_scalar(self, tag: str, value: float | None, step: int) -> None:
        """A point of a curve; None is left out."""
        if value is not None:
            self.add(scalar(tag, value), step)

    def add_png(self, tag: str, content: bytes, step: int) -> None:
        """A picture, as the content of its file."""
        self.picture_bytes += len(content)
        width, height = Image.open(BytesIO(content)).size
        shown = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
        self.add(Summary(value=[Summary.Value(tag=tag, image=shown)]), step)

    def add_text(self, tag: str, markdown: str, step: int) -> None:
        """A page of text."""
        self.add(text(tag, markdown), step)

    def add_layout(self, layout: Mapping[str, Mapping[str, tuple[str, list[str]]]]) -> None:
        """The charts of the page "Custom Scalars": of each section, by title, `Multiline` or `Margin` and the tags."""
        self.add(custom_scalars(layout), 0)

    def add(self, summary: object, step: int) -> None:
        """A summary of any kind."""
        if self._file is None:
            return
        try:
            self._file.write_event(BoardEvent(wall_time=time.time(), step=step, summary=summary))
            if time.monotonic() - self._flushed > FLUSH_S:
                self.flush()
        except OSError:
            self._file = None

    def flush(self) -> None:
        """Bring to the disk what was added."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError:
            self._file = None
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush, and add nothing more."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


class Thinned:
    """Lets through the first `dense` calls, then every second until there were twice as many, then every fourth, ...:
    of n calls about `dense` · (1 + log2(n / dense) / 2)."""

    def __init__(self, dense: int) -> None:
        self.dense = dense
        self._calls, self._every = 0, 1

    def due(self) -> bool:
        """Whether this one passes."""
        self._calls += 1
        if self._calls > self.dense * self._every:
            self._every *= 2
        return self._calls % self._every == 0


class Paced:
    """Lets something happen at once (or after an interval), then every `interval_s` seconds, an interval that doubles
    every few times: of a run of 10 days, that begins with 10 s, about 50 times."""

    BEFORE_DOUBLING = 4

    def __init__(self, interval_s: float, clock: Callable[[], float], at_once: bool = True) -> None:
        self.interval_s, self.clock = interval_s, clock
        self._last: float | None = None if at_once else clock()
        self._times = 0

    def due(self) -> bool:
        """Whether it may happen now."""
        return self._last is None or self.clock() - self._last >= self.interval_s

    def done(self) -> None:
        """It happened."""
        self._last = self.clock()
        self._times += 1
        if self._times % self.BEFORE_DOUBLING == 0:
            self.interval_s *= 2


Trial = Mapping[str, str | float]
"""A row of the HParams table, by column."""


class Trials:
    """The HParams table: its plugin takes each folder with an event file as one row, and no other way.

    So each row costs a file of some 500 bytes and an entry in the list of runs: for a few candidates only. Where the
    disk is full the table ends.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times = 0
        self._written: dict[str, tuple[Path, Trial]] = {}

    def write(self, rows: Mapping[str, Trial]) -> None:
        """Make the table these rows, by name.

        A row whose figures changed has another folder, with the number of the table after its name: of a folder that it
        knows, a viewer that is open keeps the first figures.
        """
        self._times += 1
        for name in [*self._written]:
            if self._written[name][1] != rows.get(name):
                shutil.rmtree(self._written.pop(name)[0], ignore_errors=True)
        for name, row in rows.items():
            if name not in self._written:
                folder = self.folder / (name if self._times == 1 else f"{name}_v{self._times}")
                events = EventFile(folder)
                for summary in hparams(dict(row), {}):
                    events.add(summary, 0)
                events.close()
                self._written[name] = folder, row
