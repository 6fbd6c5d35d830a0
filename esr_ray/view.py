"""What the terminal shows of a run: a live panel where it is a terminal, plain lines where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from esr_ray.runs.status import Status


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


def _print_lines(console: Console, status: Status) -> None:
    for line in status.lines:
        print_line(console, line)


def print_line(console: Console, line: str) -> None:
    """A line as it is: not broken to the terminal's width, and no [bold] or :smile: of a path taken for markup."""
    console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _panel(status: Status) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("phase", status.phase)
    if status.phase == "full training":
        grid.add_row("step", f"{status.step} of {status.steps}")
        grid.add_row("", ProgressBar(total=max(1, status.steps), completed=status.step, width=40))
    else:
        failed = f", {status.failed} failed" if status.failed else ""
        grid.add_row("trained", f"{status.trained} trainings of {status.candidates} candidates{failed}")
        grid.add_row("", ProgressBar(total=max(1, status.budget), completed=status.spent, width=40))
        grid.add_row("devices busy", f"{status.busy} of {status.devices}")
    if status.front:
        bicubic = f" (bicubic {status.bicubic_psnr:.3f})" if status.bicubic_psnr is not None else ""
        best = status.front[0]
        grid.add_row("best PSNR-Y", f"{best.psnr:.3f} ± {best.error:.3f} dB, candidate {best.id}{bicubic}")
    grid.add_row("time left", duration(status.eta_s))
    return grid


def report_table(
    rows: Sequence[tuple[str, str, dict[str, float], dict[str, float]]], scale: int, name: str | None = None
) -> Table:
    """The trained network (`name`) beside bicubic, picture by picture; rows of `esr_ray.runs.result.report_rows`."""
    of = f"{name}, " if name else ""
    table = Table(title=f"{of}x{scale}, Y channel (BT.601), border of {scale} pixels cropped")
    for column in ("set", "picture"):
        table.add_column(column)
    for column in ("bicubic dB", "network dB", "gain dB", "bicubic SSIM", "network SSIM"):
        table.add_column(column, justify="right")
    for part, name, network, bicubic in rows:
        table.add_row(
            Text(part),
            Text(name),
            f"{bicubic['psnr_y']:.2f}",
            f"{network['psnr_y']:.2f}",
            f"{network['psnr_y'] - bicubic['psnr_y']:+.2f}",
            f"{bicubic['ssim_y']:.4f}",
            f"{network['ssim_y']:.4f}",
            style="bold" if name == "mean" else None,
            end_section=name == "mean",
        )
    return table
