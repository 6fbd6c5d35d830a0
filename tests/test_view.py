"""What the terminal shows: lines as they are, a panel for each phase, and the report."""

import io

import pytest
from rich.console import Console

from esr_ray.runs.status import Status
from esr_ray.view import duration, print_line, report_table, watching

LINES = ("candidate 1: [bold] of /data/[run]/x :key: 2", "generation 0: " + "long " * 40)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0:00"),
        (0.4, "0:00"),
        (59.6, "1:00"),
        (245, "4:05"),
        (3599.4, "59:59"),
        (3723, "1:02:03"),
        (360_000, "100:00:00"),
        (-3, "0:00"),
    ],
)
def test_duration(seconds, shown):
    assert duration(seconds) == shown


def terminal(width=100):
    return Console(file=io.StringIO(), force_terminal=True, width=width, record=True, color_system=None)


def test_where_there_is_no_terminal_lines_are_plain_and_whole():
    console = Console(file=io.StringIO(), width=40)
    with watching(console) as show:
        show(Status(lines=LINES[:1], next_line=1))
        show(Status(phase="search"))
        show(Status(lines=LINES[1:], next_line=2))
    assert console.file.getvalue() == "".join(f"{line}\n" for line in LINES)


def test_lines_are_not_taken_for_markup():
    console = Console(file=io.StringIO(), width=20)
    print_line(console, "run folder: /data/[/x]/[red]a[/red] :smile:")
    assert console.file.getvalue() == "run folder: /data/[/x]/[red]a[/red] :smile:\n"


SEARCH = Status(
    phase="search",
    generation=1,
    num_generation=4,
    finished=7,
    failed=2,
    expected=24,
    devices=2,
    busy=1,
    best_psnr=30.1234,
    best_id=5,
    bicubic_psnr=28.5,
    eta_s=75,
)


def shown(status):
    console = terminal()
    with watching(console) as show:
        show(status)
    return console.export_text()


def panel(status):
    """The panel, without the one that was there before the first status."""
    text = shown(status)
    return text[text.rindex("phase") :]


def test_panel_shows_where_the_search_stands():
    text = panel(SEARCH)
    assert [" ".join(line.split()) for line in text.splitlines() if line.strip() and "━" not in line] == [
        "phase search",
        "generation 2 of 4",
        "candidates 7 finished, 2 failed, at most 24",
        "devices busy 1 of 2",
        "best PSNR-Y 30.123 dB, candidate 5 (bicubic 28.500)",
        "time left 1:15",
    ]


def test_panel_shows_where_the_full_training_stands():
    text = panel(Status(phase="full training", step=30, steps=120, best_psnr=30.0, best_id=5, eta_s=3723))
    assert "30 of 120" in text
    assert "generation" not in text
    assert "candidate 5" in text
    assert "bicubic" not in text
    assert "1:02:03" in text


@pytest.mark.parametrize("phase", ["starting", "pictures", "search", "full training", "finished"])
def test_panel_is_shown_in_every_phase_before_anything_is_known(phase):
    assert phase in panel(Status(phase=phase))


def test_log_lines_are_shown_above_the_panel():
    text = shown(Status(phase="search", lines=LINES[:1]))
    assert LINES[0] in text
    assert text.index(LINES[0]) < text.rindex("phase")


def figures(psnr, ssim):
    return {"psnr_y": psnr, "psnr_rgb": psnr - 2, "ssim_y": ssim}


def test_report_shows_the_network_beside_bicubic():
    rows = [
        ("test", "cat[left].x", figures(31.254, 0.91237), figures(29.0, 0.85)),
        ("test", "dog", figures(28.0, 0.8), figures(29.0, 0.85)),
        ("test", "mean", figures(29.627, 0.85618), figures(29.0, 0.85)),
    ]
    console = terminal()
    console.print(report_table(rows, 3))
    lines = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in console.export_text().splitlines()]
    assert lines[0] == "x3, Y channel (BT.601), border of 3 pixels cropped"
    assert [line for line in lines if line.startswith("test")] == [
        "test cat[left].x 29.00 31.25 +2.25 0.8500 0.9124",
        "test dog 29.00 28.00 -1.00 0.8500 0.8000",
        "test mean 29.00 29.63 +0.63 0.8500 0.8562",
    ]
