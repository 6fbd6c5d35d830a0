"""TensorBoard's events, read back as TensorBoard does: what is shown, how much of it, and what a full disk does."""

import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from board_reading import points, shown, trials
from pictures import from_png
from strategies import small_space
from worlds import PAPER

from esr_ray.config.load import check_config
from esr_ray.randomness import generator
from esr_ray.runs.board import OLD_PICTURES, ROOM_BYTES, Board
from esr_ray.runs.board_events import EventFile, Paced, Thinned, Trials
from esr_ray.runs.board_search import TRIALS
from esr_ray.runs.events import (
    Compared,
    Failed,
    Finished,
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
from esr_ray.search.breeding import random_child
from esr_ray.search.events import asked_event
from esr_ray.search.job import Candidate, Job
from esr_ray.search.make import make_algorithm
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.genome import decode
from esr_ray.training.result import Seconds

SPACE = small_space()


def make(objectives=("psnr", "mult_adds")):
    keys = {**PAPER, "schedule": "steady", "objectives": [*objectives], "num_individual": 4, "num_elitism": 2}
    return make_algorithm(check_config({"data": {"hr": "x"}, "evolution": keys}, "my.yml"), SPACE)


class Search:
    """Candidates that are trained one after the other, and a board that sees it; a second takes a second."""

    def __init__(self, folder, algorithm=None, is_live=True):
        self.now = 0.0
        self.folder = folder / "tensorboard"
        self.board = Board(self.folder, algorithm or make(), folder / "pictures", clock=lambda: self.now)
        self.history = History(is_live=is_live)

    def see(self, event):
        if not isinstance(event, Notice):
            self.history.add(event)
        self.board.see(event, self.history)

    def born(self, number):
        genome = random_child(SPACE, generator(0, "board", number)).genome
        arch = decode(genome)
        cost = SPACE.cost(arch)
        candidate = Candidate(number, genome, arch, "random", (), cost.params, mult_adds_720p(cost, SPACE.scale))
        self.ask(Job(self.history.state.next_job, candidate, 50, 0))
        return candidate

    def ask(self, job):
        self.see(asked_event(job, self.history.state.candidates))
        self.see(Started(job.id, "CPU", "here", 1))

    def finish(self, job, psnr, curve=((1, 0.5), (50, 0.25)), seconds=10.0):
        self.now += seconds
        candidate = self.history.state.jobs[job].candidate.id
        took = Seconds(1.0, seconds - 1, 0.0)
        self.see(Finished(job, candidate, psnr, psnr - 2, 0.9, took, curve, "plain", "CPU", "here"))

    def run(self, count, first=0):
        for number in range(first, first + count):
            candidate = self.born(number)
            # Larger ones are better: many are on the front.
            self.finish(self.history.state.next_job - 1, 28 + candidate.params / 2000)


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


def test_search_is_first_and_the_devices_come_after(search):
    search.run(8)
    search.see(PhaseBegan("full training", "final", 10))
    search.see(Progressed(5, 0.125, "final"))
    search.see(Validated(5, 31.0, 29.0, 0.9, "final"))
    search.see(
        Reported([], 1.0, [{"name": "Set5", "network": {"psnr_y": 33.5}, "bicubic": {"psnr_y": 31.25}}], "final")
    )
    search.board.close()
    groups = list(
        dict.fromkeys(tag.split("/")[0] for tag, _, _ in sorted(points(search.folder), key=lambda one: one[0]))
    )
    assert groups == ["1_search", "2_candidates", "3_full_training", "4_report", "5_devices", "6_band"]
    assert shown(search.folder, "3_full_training/loss_final") == [(5, 0.125)]
    assert shown(search.folder, "3_full_training/psnr_y_final") == [(5, 31.0)]
    assert shown(search.folder, "4_report/psnr_y_Set5_final") == [(0, 33.5)]
    assert shown(search.folder, "4_report/psnr_y_Set5_bicubic") == [(0, 31.25)]


def test_search_is_shown_over_device_seconds_with_its_error_and_confidence(search):
    search.run(5)
    verdict = search.board.algorithm.verdict(search.history.state)
    search.board.close()
    for tag, value in (
        ("1_search/best_psnr_y", verdict.winner.value),
        ("1_search/best_psnr_y_standard_error", verdict.winner.error),
        ("6_band/best_psnr_y_upper", verdict.winner.value + verdict.winner.error),
        ("1_search/confidence", verdict.confidence),
    ):
        found = shown(search.folder, tag)
        assert [step for step, _ in found] == [10, 20, 30, 40, 50]
        assert found[-1][1] == pytest.approx(value, rel=1e-6)
    assert shown(search.folder, "1_search/steps_birth")[-1] == (50, 250.0)
    assert shown(search.folder, "2_candidates/seconds_compile")[-1] == (50, 1.0)
    assert [value for _, value in shown(search.folder, "5_devices/busy")] == [1, 0] * 5


def test_failures_are_counted(search):
    search.run(2)
    search.born(2)
    search.see(Failed(2, "loss is NaN"))
    search.board.close()
    assert [value for _, value in shown(search.folder, "1_search/trainings_failed")] == [0, 0, 1]


def test_search_of_failures_alone_is_shown(search):
    search.born(0)
    search.see(Failed(0, "loss is NaN"))
    search.board.close()
    assert shown(search.folder, "1_search/trainings_failed") == [(0, 1)]
    assert not shown(search.folder, "1_search/front")


def test_hypervolume_never_falls_while_the_front_only_grows(search):
    search.run(20)
    search.board.close()
    volumes = [value for _, value in shown(search.folder, "1_search/front_hypervolume")]
    assert 0 < volumes[0] < 1
    # Estimates are drawn to what is known of all: a little they do move.
    assert volumes[-1] > volumes[0] - 0.1


def test_front_of_psnr_alone_has_neither_size_nor_volume_but_a_picture(tmp_path):
    search = Search(tmp_path, make(objectives=("psnr",)))
    search.run(6)
    search.board.close()
    tags = {tag for tag, _, _ in points(search.folder)}
    assert not tags & {"1_search/front_size", "1_search/front_hypervolume"}
    assert "1_search/front" in tags


def test_tags_do_not_grow_with_the_candidates(tmp_path):
    tags = []
    for count in (5, 40):
        search = Search(tmp_path / str(count))
        search.run(count)
        search.board.close()
        tags.append({tag for tag, _, _ in points(search.folder)})
    assert tags[0] == tags[1]


def test_candidates_are_a_table_with_the_winner_and_the_front_marked(search):
    search.run(8)
    rows = search.board.algorithm.view(search.history.state)
    winner = search.board.algorithm.verdict(search.history.state).winner.candidate
    search.board.close()
    (*_, (_, text)) = shown(search.folder, "1_search/candidates/text_summary")
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("|")][2:]
    assert {int(cells[2]) for cells in lines} == set(range(8))
    assert [int(cells[2]) for cells in lines if cells[1] == "winner"] == [winner.id]
    assert {int(cells[2]) for cells in lines if cells[1]} == {*rows.front, winner.id}
    assert f"- {winner.id}: {' '.join(winner.arch)}" in text


def test_hparams_table_has_the_front_with_its_figures(search):
    search.run(8)
    front = search.board.algorithm.view(search.history.state).front
    search.board.close()
    table = {name.split("_v")[0]: row for name, row in trials(search.folder).items()}
    assert len(table) == 8
    for one in front:
        (row,) = (row for name, row in table.items() if name.split("_")[1] == str(one))
        candidate = search.history.state.candidates[one]
        assert row["params_k"] == pytest.approx(candidate.params / 1e3)
        assert row["mult_adds_g"] == pytest.approx(candidate.mult_adds / 1e9)
        assert (row["operator"], row["steps"]) == ("random", 50)
        # The plugin shows five columns, by name.
        assert "psnr_y_db" in sorted(row)[:5]


def test_hparams_table_is_small_however_many_candidates_there_are(search):
    search.run(60)
    search.board.close()
    table = trials(search.folder)
    assert len(table) == TRIALS
    assert sum(name.startswith("winner") for name in table) == 1
    sizes = [path.stat().st_size for path in search.folder.glob("*/events*")]
    assert max(sizes) < 1000


def test_row_of_hparams_that_changed_has_another_folder(tmp_path):
    table = Trials(tmp_path)
    table.write({"front_1": {"steps": 1.0}, "front_2": {"steps": 1.0}, "front_3": {"steps": 1.0}})
    table.write({"front_1": {"steps": 1.0}, "front_2": {"steps": 5.0}})
    assert trials(tmp_path) == {"front_1": {"steps": 1.0}, "front_2_v2": {"steps": 5.0}}


def test_front_is_drawn_at_most_every_few_seconds_and_at_the_end(search):
    search.run(40)
    search.board.close()
    steps = [step for step, _ in shown(search.folder, "1_search/front")]
    assert 2 < len(steps) < 15
    assert steps[-1] == 400
    assert steps == [step for step, _ in shown(search.folder, "2_candidates/loss_curves")]


def test_pictures_of_a_long_run_stay_few():
    now = 0.0
    paced, times = Paced(10, lambda: now), 0
    for second in range(0, 10 * 86400, 5):
        now = float(second)
        if paced.due():
            paced.done()
            times += 1
    assert 40 < times < 60


def test_curves_of_a_long_run_are_thinned():
    thinned = Thinned(256)
    passed = [number for number in range(1, 20_001) if thinned.due()]
    assert passed[:256] == list(range(1, 257))
    assert set(np.diff(passed)) == {1, 2, 4, 8, 16, 32, 64, 128}
    assert len(passed) < 1200


def test_event_file_of_many_candidates_is_small(tmp_path):
    search = Search(tmp_path)
    search.run(200)
    search.board.close()
    # Of 20,000 it is some five times as much: so many more are the points of each curve.
    assert sum(path.stat().st_size for path in search.folder.rglob("events*")) < 1_000_000


# Runs that go on.


def test_past_is_shown_as_points_and_drawn_once(tmp_path):
    search = Search(tmp_path, is_live=False)
    search.run(30)
    assert not shown_after_flush(search, "1_search/front")
    search.history = replace(search.history, is_live=True)
    search.see(PhaseBegan("search"))
    assert [step for step, _ in shown(search.folder, "1_search/front")] == [300]
    search.run(1, first=30)
    search.board.close()
    assert len(shown(search.folder, "1_search/best_psnr_y")) == 31
    assert [step for step, _ in shown(search.folder, "1_search/front")] == [300, 310]


def shown_after_flush(search, tag):
    search.board._events.flush()
    return shown(search.folder, tag)


def test_search_that_was_over_is_drawn_once_when_its_run_goes_on(tmp_path):
    search = Search(tmp_path, is_live=False)
    search.run(10)
    search.history = replace(search.history, is_live=True)
    search.see(PhaseBegan("full training", "final", 10))
    search.board.close()
    assert len(shown(search.folder, "1_search/front")) == 1
    assert len(trials(search.folder)) == 10


def test_comparisons_of_the_past_are_taken_from_the_run_folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    pictures = [to_png(np.full((4, 4, 3), number, np.uint8)) for number in range(5)]
    for number, content in enumerate(pictures):
        (tmp_path / "pictures" / f"best_{number:06d}.png").write_bytes(content)
    (tmp_path / "pictures" / "best_000009.png").mkdir()
    search = Search(tmp_path, is_live=False)
    search.run(3)
    search.history = replace(search.history, is_live=True)
    search.see(PhaseBegan("search"))
    search.board.close()
    found = [content for _, content in shown(search.folder, "1_search/comparison")]
    assert 0 < len(found) <= OLD_PICTURES
    assert set(found) <= set(pictures)


def test_what_was_drawn_can_be_read_while_the_run_goes_on(search):
    search.run(1)
    assert shown(search.folder, "1_search/front")
    search.board.close()


def test_board_is_made_anew(tmp_path):
    for count in (1, 2):
        search = Search(tmp_path)
        search.run(count)
        search.board.close()
    assert len(shown(search.folder, "1_search/best_psnr_y")) == 2


# Full trainings.


def compared(number, network, step):
    return Compared(np.random.default_rng(number).integers(0, 256, (200, 200, 3), np.uint8), step, network)


def test_comparisons_are_thinned_and_the_last_is_shown(search):
    pictures = [compared(number, "final", number) for number in range(1, 22)]
    for one in pictures:
        search.see(one)
    search.see(TrainingEnded(0, ("C_1_4_8",), {}, "final.ckpt", Seconds(0, 1, 0), ()))
    found = shown(search.folder, "3_full_training/comparison_final")
    assert [step for step, _ in found] == [1, 2, 4, 8, 16, 21]
    np.testing.assert_array_equal(from_png(found[-1][1]), pictures[-1].picture)
    search.board.close()


def test_many_trainings_do_not_fill_the_event_file_with_pictures(search, monkeypatch):
    monkeypatch.setattr("esr_ray.runs.board.ROOM_BYTES", 500_000)
    assert ROOM_BYTES > 500_000
    for network in range(6):
        for step in (1, 2, 3):
            search.see(compared(step, f"front_{network:02d}", step))
        search.see(TrainingEnded(0, ("C_1_4_8",), {}, "x.ckpt", Seconds(0, 1, 0), (), network=f"front_{network:02d}"))
    search.board.close()
    counts = Counter(tag for tag, _, _ in points(search.folder) if "comparison" in tag)
    assert counts["3_full_training/comparison_front_00"] == 3
    assert [counts[f"3_full_training/comparison_front_{network:02d}"] for network in (3, 4, 5)] == [1, 1, 1]
    assert shown(search.folder, "3_full_training/comparison_front_05")[-1][0] == 3


def test_loss_of_a_long_training_is_thinned_to_means(tmp_path):
    board, history = Board(tmp_path / "tensorboard"), History()
    for step in range(1, 2049):
        board.see(Progressed(step, float(step % 2), "final"), history)
    board.close()
    found = shown(tmp_path / "tensorboard", "3_full_training/loss_final")
    assert len(found) == 1024
    assert [value for _, value in found[-100:]] == [0.5] * 100


def test_board_of_a_run_without_a_search_is_one_file(tmp_path):
    board = Board(tmp_path / "tensorboard")
    board.see(PhaseBegan("full training", "network_00", 5), History())
    board.see(Validated(5, 31.0, 29.0, 0.9, "network_00"), History())
    board.close()
    assert points(tmp_path / "tensorboard") == [("3_full_training/psnr_y_network_00", 5, 31.0)]


def test_a_training_that_goes_on_from_an_earlier_step_shows_each_figure_once(tmp_path):
    """Its driver was killed after it had recorded step 20 and before the state of that step was kept."""
    board = Board(tmp_path / "tensorboard")
    for step, psnr in ((10, 30.0), (20, 31.0), (20, 31.0), (30, 32.0), (20, 31.5)):
        board.see(Validated(step, psnr, 29.0, 0.9, "network_00"), History())
    board.see(Validated(20, 31.0, 29.0, 0.9, "network_01"), History())
    board.close()
    found = shown(tmp_path / "tensorboard", "3_full_training/psnr_y_network_00")
    assert found == [(10, 30.0), (20, 31.0), (30, 32.0), (20, 31.5)]
    assert shown(tmp_path / "tensorboard", "3_full_training/psnr_y_network_01") == [(20, 31.0)]


# The disk.


def test_full_disk_neither_stops_nor_hangs_the_search(tmp_path):
    """A limit on the size of files, in a process of its own; a hang is ended by the time limit."""
    code = f"""
        import resource, signal
        from pathlib import Path
        import esr_ray.runs.board_events as events_module
        from esr_ray.runs.board import Board
        from esr_ray.runs.events import Progressed
        from esr_ray.runs.history import History
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        events_module.FLUSH_S = 0
        board = Board(Path({str(tmp_path / "tensorboard")!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        for step in range(100):
            board.see(Progressed(step, 1.0), History())
        events_module.Trials(Path({str(tmp_path / "trials")!r})).write({{"front_1": {{"psnr_y_db": 30.0, "steps": 5}}}})
        board.close()
        print("went on")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "went on\n"
    assert done.returncode == 0, done.stderr


def test_folder_that_cannot_be_made_ends_the_events_quietly(tmp_path):
    (tmp_path / "file").write_text("")
    events = EventFile(tmp_path / "file" / "tensorboard")
    events.add_scalar("a", 1.0, 1)
    events.close()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == ""
