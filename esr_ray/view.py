"""What the terminal shows of a run: a live panel where it is a terminal, plain lines where it is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from esr_ray.metrics import FIGURES
from esr_ray.printable import printable
from esr_ray.runs.status import Status

FRONT_ROWS = 8
"""So many networks of the front are shown, however many there are."""
BAR = 30


def duration(seconds: float | None) -> str:
    """`1:02:03`, `4:05`, or `-` where it is not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def watching(console: Console) -> Iterator[Callable[[Status], None]]:
    """A function to give each status to, while the block runs. Log lines scroll above the live panel."""
    if not console.is_terminal:
        yield lambda status: _print_lines(console, status)
        return
    with Live(_panel(Status()), console=console, refresh_per_second=4, transient=True) as live:

        def show(status: Status) -> None:
            _print_lines(live.console, status)
            live.update(_panel(status))

        yield show


class _Output:
    """Standard output. Once nobody reads it any more, what is printed goes nowhere: a run does not end for that."""

    def __init__(self) -> None:
        # Rich puts another one in the place of sys.stdout while its live panel is shown.
        self._real = sys.stdout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        try:
            return self._real.write(text)
        except OSError:
            _to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            self._real.flush()
        except OSError:
            _to_nowhere()


def make_console() -> Console:
    """The terminal, or whatever reads what is printed."""
    return Console(file=cast(IO[str], _Output()))


def _to_nowhere() -> None:
    # The descriptor itself: what Python still has to write at its end goes there too.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _print_lines(console: Console, status: Status) -> None:
    for line in status.lines:
        print_line(console, line)


def print_line(console: Console, line: str) -> None:
    """A line as it is: not broken to the terminal's width, and no [bold] or :smile: of a path taken for markup."""
    console.print(printable(line), highlight=False, markup=False, emoji=False, soft_wrap=True)


def _panel(status: Status) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    grid.add_row("phase", status.phase)
    if status.phase == "full training":
        grid.add_row("network", Text(status.network))
        grid.add_row("steps", _bar(status.step, status.steps))
    else:
        failed = f", {status.failed:,} failed" if status.failed else ""
        grid.add_row("trained", f"{status.trained:,} trainings of {status.candidates:,} candidates{failed}")
        grid.add_row("steps", _bar(status.spent, status.budget))
        grid.add_row("devices busy", f"{status.busy} of {status.devices}")
    if status.front:
        grid.add_row("front", _front(status))
    if status.confidence is not None:
        figure = FIGURES[status.judged_by]
        baseline = "" if status.baseline is None else " ({} {:.3f}{})".format(*status.baseline, figure.unit)
        grid.add_row("winner", f"candidate {status.winner}, with probability {status.confidence:.2f}{baseline}")
    grid.add_row("time left", duration(status.eta_s))
    return grid


def _bar(done: int, total: int) -> Table:
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=max(1, total), completed=done, width=BAR), f"{done:,} of {total:,}")
    return bar


def _front(status: Status) -> Table:
    """The front by fitness; of a large one the winner and what is spread over it."""
    rows = status.front
    if len(rows) > FRONT_ROWS:
        places = {round(index * (len(rows) - 1) / (FRONT_ROWS - 1)) for index in range(FRONT_ROWS)}
        won = {place for place, row in enumerate(rows) if row.id == status.winner}
        # In the place of its neighbour, where it is not among them.
        for place in won - places:
            places.discard(min(places - {0, len(rows) - 1}, key=lambda one: abs(one - place)))
        rows = tuple(rows[place] for place in sorted(places | won))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    with_latency = any(row.latency_s is not None for row in rows)
    figure = FIGURES[status.judged_by].column
    for column in ("candidate", figure, "steps", "K params", "G mult-adds", *(["ms"] if with_latency else [])):
        table.add_column(column, justify="right", no_wrap=True, header_style="dim")
    for row in rows:
        about = "~" if "latency" in row.predicted else ""
        latency = "-" if row.latency_s is None else f"{about}{1e3 * row.latency_s:.1f}"
        table.add_row(
            str(row.id),
            f"{row.psnr:.3f} ± {row.error:.3f}",
            f"{row.steps:,}",
            f"{row.params / 1e3:.1f}",
            f"{row.mult_adds / 1e9:.2f}",
            *([latency] if with_latency else []),
            style="bold" if row.id == status.winner else None,
        )
    if len(rows) < len(status.front):
        table.add_row(Text(f"and {len(status.front) - len(rows)} more", style="dim"))
    return table
