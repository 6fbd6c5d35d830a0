"""What was measured of networks, as tables in the terminal and in Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from esr_ray.inference.result import Evaluated
from esr_ray.metrics import FIGURES
from esr_ray.plain_json import to_plain_json
from esr_ray.printable import printable
from esr_ray.tasks.task import Task


def protocol(task: Task) -> str:
    """How pictures are measured, in words."""
    return f"border of {task.border} pixels cropped, 8 bits, Y of BT.601 (MATLAB's rgb2ycbcr)"


def to_json(results: Sequence[Evaluated], task: Task) -> str:
    """Everything, picture by picture; null for a figure that cannot be told, as SSIM of a tiny picture."""
    content = []
    for one in results:
        part = asdict(one)
        for plain, whole in zip(part["sets"], one.sets, strict=True):
            plain["mean"] = asdict(whole.mean)
        content.append(part)
    about = {"task": task.title, "scale": task.scale, "protocol": protocol(task), "output": "1280x720"}
    return to_plain_json({**about, "networks": content}, indent=2) + "\n"


def to_markdown(results: Sequence[Evaluated], task: Task) -> str:
    """A table of the means, a row a network."""
    head = ["network", "parameters", "mult-adds", "latency", "memory"]
    for part in results[0].sets:
        head += [f"{part.name} PSNR-Y / SSIM-Y", f"{part.name} PSNR-RGB / SSIM-RGB"]
        head += [f"{part.name} score"] if part.pictures[0].score is not None else []
    rows = [head, ["---"] * len(head)] + [_row(one) for one in results]
    lines = [f"{task.title}, {protocol(task)}; mult-adds, latency and memory for an output of 1280x720", ""]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def print_tables(results: Sequence[Evaluated], task: Task, console: Console) -> None:
    """The means on the terminal, a table for size and speed, and one for each set."""
    networks = [one for one in results if one.arch]
    if networks:
        size = Table(title=f"{task.title}, for an output of 1280x720")
        for column in ("network", "parameters", "mult-adds", "latency", "memory", "kernels"):
            size.add_column(column, justify="left" if column in ("network", "kernels") else "right")
        for one in networks:
            size.add_row(*(Text(printable(cell)) for cell in (*_row(one)[:5], one.kernels)))
        console.print(size)
    for index, part in enumerate(results[0].sets):
        table = Table(title=f"{part.name} ({len(part.pictures)} pictures), {protocol(task)}")
        own = ["score"] if part.pictures[0].score is not None else []
        for column in ("network", "PSNR-Y dB", "SSIM-Y", "PSNR-RGB dB", "SSIM-RGB", *own):
            table.add_column(column, justify="left" if column == "network" else "right")
        for one in results:
            mean = one.sets[index].mean
            table.add_row(
                Text(printable(one.name)),
                f"{mean.psnr_y:.2f}",
                f"{mean.ssim_y:.4f}",
                f"{mean.psnr_rgb:.2f}",
                f"{mean.ssim_rgb:.4f}",
                *([f"{mean.score:.4f}"] if own else []),
            )
        console.print(table)


def report_table(
    rows: Sequence[tuple[str, str, dict[str, float], dict[str, float]]],
    task: Task,
    name: str | None = None,
    baseline: str = "bicubic",
) -> Table:
    """The trained network (`name`) beside the baseline, picture by picture; rows of
    `esr_ray.runs.result.report_rows`."""
    of = f"{name}, " if name else ""
    measured = {"psnr_y": "Y channel (BT.601)", "psnr_rgb": "R, G and B", "score": "the task's own score"}
    channels, unit = measured[task.judged_by], FIGURES[task.judged_by].unit
    table = Table(title=f"{of}{task.title}, {channels}, border of {task.border} pixels cropped")
    for column in ("set", "picture"):
        table.add_column(column)
    for column in (f"{baseline}{unit}", f"network{unit}", f"gain{unit}", f"{baseline} SSIM", "network SSIM"):
        table.add_column(column, justify="right")
    for part, picture, network, without in rows:
        ours, theirs = network[task.judged_by], without[task.judged_by]
        table.add_row(
            Text(part),
            Text(picture),
            f"{theirs:.2f}",
            f"{ours:.2f}",
            f"{ours - theirs:+.2f}",
            f"{without['ssim_y']:.4f}",
            f"{network['ssim_y']:.4f}",
            style="bold" if picture == "mean" else None,
            end_section=picture == "mean",
        )
    return table


def _row(one: Evaluated) -> list[str]:
    row = [one.name]
    row.append(f"{one.params:,}" if one.arch else "-")
    row.append(f"{one.mult_adds / 1e9:.2f} G" if one.arch else "-")
    row.append("-" if one.latency_s is None else f"{one.latency_s * 1e3:,.0f} ms")
    row.append("-" if one.memory_mb is None else f"{one.memory_mb:,.0f} MB")
    for part in one.sets:
        mean = part.mean
        row.append(f"{mean.psnr_y:.2f} / {mean.ssim_y:.4f}")
        row.append(f"{mean.psnr_rgb:.2f} / {mean.ssim_rgb:.4f}")
        row += [f"{mean.score:.4f}"] if mean.score is not None else []
    return row
