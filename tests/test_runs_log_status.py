"""What whoever watches a run is told: the lines of its log, and where it stands; the same after a restart."""

import dataclasses
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

import psutil
import pytest
from strategies import small_space
from worlds import (
    PROMOTION,
    RACE,
    SPACE,
    FirstInFirstOut,
    InProcess,
    Killed,
    World,
    failing_once,
    make_config,
    prepared,
)

from esr_ray.runs.events import BaselineMeasured, DevicesCounted, PhaseBegan, Progressed, Said, Validated
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.history import History, replay
from esr_ray.runs.journal import Journal
from esr_ray.runs.log import Log
from esr_ray.runs.status import StatusView
from esr_ray.search.loop import run_search
from esr_ray.search.make import make_algorithm


class BusyView:
    """Notes how many devices are busy, after each event."""

    def __init__(self):
        self.counts = []

    def see(self, event, history):
        self.counts.append(len(history.under_way))


def watched(path, config, backend, retry=False):
    """One process of a run with its views, as the driver has them: the status, the log's file, the state, and how many
    devices were busy."""
    folder = RunFolder(path)
    algorithm = make_algorithm(config, SPACE)
    log, busy = Log(folder.log, config.runtime.max_attempts), BusyView()
    status = StatusView(log, algorithm)
    try:
        with Journal(folder.journal) as journal:
            record = prepared(journal, config.seed, retry, [log, status, busy])
            record.tell(PhaseBegan("search"))
            record.tell(DevicesCounted(backend.devices))
            state = run_search(algorithm, record, backend, max_attempts=config.runtime.max_attempts)
    finally:
        log.close()
    return status, folder.log, state, busy.counts


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def lines_of(status, *beginnings):
    return [line for line in status.lines if line.startswith(beginnings)]


def test_it_is_counted_and_said_what_happened(tmp_path):
    lost = {1: 1, 2: 99}

    def plan(job, tries):
        return "failed" if job.id == 3 else "lost" if tries < lost.get(job.id, 0) else "finished"

    view, path, state, _ = watched(tmp_path, make_config(2), InProcess(World(plan)))
    status = view.status(0)
    assert (status.phase, status.devices, status.busy) == ("search", 3, 0)
    assert (status.candidates, status.trained, status.failed) == (8, 6, 2)
    assert (status.spent, status.budget) == (80, 80)
    best = status.front[0]
    assert state.outcomes[best.id].quality.psnr_y == max(
        one.quality.psnr_y for one in state.outcomes.values() if one.quality is not None
    )
    assert 0 < status.confidence <= 1
    assert lines_of(status, "candidate 1: lost") == ["candidate 1: lost: its node died; it is trained again"]
    assert lines_of(status, "candidate 2: lost") == [
        *["candidate 2: lost: its node died; it is trained again"] * 2,
        *["candidate 2: lost: its node died"] * 2,
    ]
    assert lines_of(status, "candidate 2: failed") == [
        "candidate 2: failed: lost 4 times (runtime.max_attempts is 3), the last: its node died"
    ]
    assert lines_of(status, "candidate 3: failed") == ["candidate 3: failed: raised, of 3"]
    assert any(line.startswith("candidate 0: training on device ") for line in status.lines)
    winner = state.candidates[best.id]
    psnr = state.outcomes[best.id].quality.psnr_y
    size = f"{winner.params / 1e3:.1f} K parameters"
    (line,) = lines_of(status, f"candidate {best.id}: {psnr:.3f} dB after 10 steps, {size}, ")
    assert line.endswith(" (best so far)")
    log = path.read_text(encoding="utf-8").splitlines()
    assert [line[20:] for line in log] == list(status.lines)


def test_lines_are_given_from_a_number_on(tmp_path):
    view, _, _, _ = watched(tmp_path, make_config(1), InProcess(World()))
    status = view.status(0)
    assert status.next_line == len(status.lines)
    assert view.status(status.next_line - 1).lines == status.lines[-1:]
    assert view.status(status.next_line).lines == ()


def test_each_that_was_the_best_so_far_is_marked_and_no_other(tmp_path):
    view, _, state, _ = watched(tmp_path, make_config(4), InProcess(World()))
    marked = [line for line in view.status(0).lines if line.endswith(" (best so far)")]
    expected, best = [], 0.0
    for job, outcome in state.outcomes.items():
        if outcome.quality.psnr_y > best:
            best = outcome.quality.psnr_y
            expected.append(state.jobs[job].candidate.id)
    assert [int(line.split(":")[0].removeprefix("candidate ")) for line in marked] == expected


def test_longer_trainings_and_the_race_are_told(tmp_path):
    config = make_config(8, schedule="steady", promotion=PROMOTION, race=RACE)
    view, _, state, _ = watched(tmp_path, config, InProcess(World(noise=6), 4))
    lines = view.status(0).lines
    for job in state.jobs.values():
        if job.purpose == "promotion":
            assert f"candidate {job.candidate.id}: goes on to 30 steps" in lines
        if job.purpose == "race":
            assert f"candidate {job.candidate.id}: might have won: once more, with seed {job.seed}" in lines
        if state.outcomes[job.id].quality is None and not state.outcomes[job.id].failed:
            assert f"candidate {job.candidate.id}: stopped, the winner is sure without it" in lines
    assert {"promotion", "race"} <= set(state.spent)


def test_never_more_or_fewer_devices_are_counted_than_are_busy(tmp_path):
    backend = InProcess(World(lambda job, tries: "lost" if job.id % 2 else "finished"), 5, devices=3)
    *_, busy = watched(tmp_path, make_config(3), backend)
    assert busy[-1] == 0
    assert min(busy) == 0
    assert max(busy) == 3


def test_a_search_of_which_everything_failed_has_nobody_to_show(tmp_path):
    view, _, _, _ = watched(tmp_path, make_config(1), InProcess(World(lambda job, tries: "failed")))
    status = view.status(0)
    assert (status.front, status.confidence, status.failed, status.trained) == ((), None, 4, 0)


def test_a_restarted_run_catches_up_with_the_journal(tmp_path):
    """Where it stands is as it was; what the log had said is not said again."""
    config, world = make_config(2), World(failing_once)
    first, path, _, _ = watched(tmp_path, config, InProcess(world))
    old, written = first.status(0), path.read_text()
    again, _, _, _ = watched(tmp_path, config, InProcess(world))
    new = again.status(0)
    for name in ("candidates", "trained", "failed", "spent", "budget", "front", "confidence", "busy"):
        assert getattr(new, name) == getattr(old, name), name
    assert new.lines == ()
    assert path.read_text() == written


def test_after_a_restart_only_what_is_better_than_all_before_is_the_best_so_far(tmp_path):
    config, world = make_config(4), World()
    with pytest.raises(Killed):
        watched(tmp_path, config, InProcess(world, events=25))
    view, path, state, _ = watched(tmp_path, config, InProcess(world))
    marked = [line for line in path.read_text().splitlines() if line.endswith(" (best so far)")]
    best = [float(line.split(": ")[1].split(" dB")[0]) for line in marked]
    assert best == sorted(best)
    assert view.status(0).trained == len(state.outcomes) == 16


def test_an_interruption_is_no_attempt(tmp_path):
    """However often the run was interrupted, a job that is lost then is tried again as often as ever; that is said."""
    config, world = make_config(1, attempts=2), World(lambda job, tries: "lost" if tries < 1 else "finished")
    for _ in range(2):
        with pytest.raises(Killed):
            watched(tmp_path, config, InProcess(world, devices=1, events=1))
    _, path, state, _ = watched(tmp_path, config, InProcess(world, devices=1))
    assert state.failed == frozenset()
    lost = [line[20:] for line in path.read_text().splitlines() if ": lost: its node died" in line]
    assert sorted(lost) == [f"candidate {one}: lost: its node died; it is trained again" for one in range(4)]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    view, _, _, _ = watched(tmp_path, make_config(1), InProcess(World()))
    assert len(view.status(0).lines) >= 8


def test_a_full_training_is_told_beside_bicubic(tmp_path):
    log = Log(tmp_path / "log.txt", 1)
    status = StatusView(log, None)
    history = History()
    for event in (
        *(
            BaselineMeasured("bicubic", 28.5),
            PhaseBegan("full training", "final", 100),
            Said("hello"),
            Progressed(10, 0.5),
        ),
        *(Validated(20, 30.25, 29.0, 0.9), Progressed(30, 0.4)),
    ):
        for view in (log, status):
            view.see(event, history)
    now = status.status(0)
    assert now.lines == ("hello", "full training: step 20: validation 30.250 dB (bicubic 28.500)")
    assert (now.phase, now.step, now.steps, now.baseline) == ("full training", 30, 100, ("bicubic", 28.5))
    assert now.eta_s is not None
    assert now.eta_s >= 0
    log.close()


def test_the_status_may_be_asked_for_while_the_search_runs(tmp_path):
    """By another thread, as the driver's client does: no answer is an error, and counts only grow."""
    folder, config = RunFolder(tmp_path), make_config(12)
    algorithm = make_algorithm(config, SPACE)
    log = Log(folder.log, 3)
    view = StatusView(log, algorithm)
    answers, errors, ended = [], [], threading.Event()

    def ask():
        while not ended.is_set():
            try:
                answers.append(view.status(0).trained)
            except Exception as error:
                errors.append(error)
                return

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with Journal(folder.journal) as journal:
            record = prepared(journal, 0, views=[log, view])
            run_search(algorithm, record, InProcess(World()))
    finally:
        ended.set()
        asking.join()
        log.close()
    assert errors == []
    assert answers == sorted(answers)
    assert view.status(0).trained == 48


def test_a_log_is_bounded_in_memory_and_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("esr_ray.runs.log.LINES_KEPT", 5)
    monkeypatch.setattr("esr_ray.runs.log.MOST_BYTES", 1000)
    log, history = Log(tmp_path / "log.txt", 3), replay([])
    history = dataclasses.replace(history, is_live=True)
    for number in range(100):
        log.see(Said(f"line {number}"), history)
    assert log.read(0) == (tuple(f"line {number}" for number in range(95, 100)), 100)
    assert log.read(98) == (("line 98", "line 99"), 100)
    assert log.read(100) == ((), 100)
    log.close()
    both = [tmp_path / "log.before.txt", tmp_path / "log.txt"]
    assert all(path.stat().st_size < 1100 for path in both)
    written = [line[20:] for path in both for line in path.read_text().splitlines()]
    assert written == [f"line {number}" for number in range(100 - len(written), 100)]
    assert len(written) > 30


def memory_of_a_long_search(folder):
    """Bytes of this process after each thousand of 20,000 candidates: all that is remembered of each, by the search,
    its record and its views."""
    config = make_config(200, 100, schedule="steady")
    space = small_space(node_num=10, conv_num=(1, 2, 3, 4), growth_rate=(4, 8, 12, 16))
    algorithm, seen = make_algorithm(config, space), []
    log = Log(folder / "log.txt", 3)
    status = StatusView(log, algorithm)

    class Measured(FirstInFirstOut):
        def next_event(self, timeout_s):
            if len(self.submitted) % 1000 == 0 and len(self.submitted) > 1000 * len(seen):
                seen.append(psutil.Process().memory_info().rss)
                status.status(0)
            return super().next_event(timeout_s)

    with Journal(folder / "journal.jsonl") as journal:
        record = prepared(journal, 0, views=[log, status])
        state = run_search(algorithm, record, Measured(World(), devices=8))
    log.close()
    assert len(state.outcomes) == 20_000
    return seen


@pytest.mark.slow
def test_a_driver_takes_the_same_memory_for_each_candidate_however_many_there_were(tmp_path):
    # In a process of its own: one that ran other tests has memory that is used again first.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
        seen = own.submit(memory_of_a_long_search, tmp_path).result()
    by_candidate = [(now - before) / 1000 for before, now in pairwise(seen)]
    early, late = sum(by_candidate[3:9]) / 6, sum(by_candidate[-6:]) / 6
    print(f"bytes a candidate: {early:,.0f} from 4,000 to 10,000, {late:,.0f} in the last 6,000")
    assert late < 12_000
    assert late < 1.5 * early
