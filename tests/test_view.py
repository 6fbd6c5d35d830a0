"""What the terminal shows: lines as they are, a panel for each phase, and the report."""

import io
from dataclasses import replace

import pytest
from pictures import enlarging
from rich.console import Console

from esr_ray.runs.status import Status
from esr_ray.search.front import FrontRow
from esr_ray.tables import report_table
from esr_ray.view import FRONT_ROWS, duration, print_line, watching

LINES = ("candidate 1: [bold] of /data/[run]/x :key: 2", "candidate 2: " + "long " * 40)


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


def row(number, psnr=30.1234, latency_s=None):
    return FrontRow(number, ("C_1_4_8",), psnr, 0.0125, 1500, 2, 123_456, 23_400_000_000, 0.9, latency_s)


SEARCH = Status(
    phase="search",
    candidates=27,
    trained=1061,
    failed=2,
    spent=48_000,
    budget=120_000,
    devices=2,
    busy=1,
    front=(row(5), row(3, 29.5)),
    winner=5,
    confidence=0.934,
    baseline=("bicubic", 28.5),
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


def words(text):
    return [" ".join(line.replace("━", "").replace("╺", "").split()) for line in text.splitlines() if line.strip()]


def test_panel_shows_where_the_search_stands():
    assert words(panel(SEARCH)) == [
        "phase search",
        "trained 1,061 trainings of 27 candidates, 2 failed",
        "steps 48,000 of 120,000",
        "devices busy 1 of 2",
        "front candidate PSNR-Y, dB steps K params G mult-adds",
        "5 30.123 ± 0.013 1,500 123.5 23.40",
        "3 29.500 ± 0.013 1,500 123.5 23.40",
        "winner candidate 5, with probability 0.93 (bicubic 28.500 dB)",
        "time left 1:15",
    ]


def test_panel_shows_latency_where_it_was_measured():
    lines = words(panel(replace(SEARCH, front=(row(5, latency_s=0.01234), row(3)))))
    assert lines[4].endswith("G mult-adds ms")
    assert lines[5].endswith("23.40 12.3")
    assert lines[6].endswith("23.40 -")


def test_large_front_is_shown_by_eight_of_it_the_winner_and_the_ends_among_them():
    front = tuple(row(number, 31 - number / 100, 0.01) for number in range(40))
    for winner in range(40):
        lines = words(panel(replace(SEARCH, front=front, winner=winner)))
        ids = [int(line.split()[0]) for line in lines[5 : 5 + FRONT_ROWS]]
        assert lines[5 + FRONT_ROWS] == f"and {40 - FRONT_ROWS} more"
        assert {0, winner, 39} <= set(ids)
        assert ids == sorted(set(ids))


def test_panel_fits_a_terminal_of_80_columns():
    front = tuple(row(123_456 + number, 31 - number / 100, 0.1) for number in range(40))
    status = replace(SEARCH, candidates=20_000, spent=123_456_789, budget=987_654_321, front=front, winner=123_470)
    console = terminal(80)
    with watching(console) as show:
        show(status)
    text = console.export_text()
    assert "…" not in text
    assert len(panel(status).splitlines()) == len(text[text.rindex("phase") :].splitlines())


def test_panel_shows_where_the_full_training_stands():
    text = panel(
        Status(phase="full training", network="front_01", step=30, steps=120, front=(row(5),), winner=5, eta_s=3723)
    )
    assert "front_01" in text
    assert "30 of 120" in text
    assert "devices" not in text
    assert "30.123 ± 0.013" in text
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
    console.print(report_table(rows, enlarging(3)))
    lines = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in console.export_text().splitlines()]
    assert lines[0] == "x3, Y channel (BT.601), border of 3 pixels cropped"
    assert [line for line in lines if line.startswith("test")] == [
        "test cat[left].x 29.00 31.25 +2.25 0.8500 0.9124",
        "test dog 29.00 28.00 -1.00 0.8500 0.8000",
        "test mean 29.00 29.63 +0.63 0.8500 0.8562",
    ]
