"""The search over its journal: the same search in whatever order results come, and wherever it was interrupted."""

import hashlib
import os
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import small_space

from esr_ray.config.load import check_config
from esr_ray.data.crops import PicturePair
from esr_ray.errors import UserError
from esr_ray.metrics import Quality
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.history import replay
from esr_ray.runs.journal import Journal, read_journal
from esr_ray.runs.pictures import comparison_strip, from_png
from esr_ray.runtime.backend import Failed, Finished, Lost, Started
from esr_ray.runtime.recorder import Recorder
from esr_ray.runtime.search_loop import SearchLoop, Stopped, close_interrupted, schedule_retries
from esr_ray.training.result import Seconds, Trained

SPACE = small_space()
# Three blocks, one or two of them: 12 networks, so that children repeat.
TWELVE = small_space(node_num=2, min_active=1, block_types=("S",), conv_num=(1,))


def make_config(generations=3, individuals=4, elite=2, seed=0, attempts=3):
    return check_config(
        {
            "seed": seed,
            "data": {"hr": "photos"},
            "evolution": {"num_generation": generations, "num_individual": individuals, "num_elitism": elite},
            "runtime": {"max_attempts": attempts},
        },
        "my.yml",
    )


def number(*parts):
    """A number in [0, 1) that looks random."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") / 2**64


class Killed(BaseException):
    """The process of the search died."""


class World:
    """What becomes of each candidate, whoever trains it and however often: `plan(candidate, tries so far)` says
    finished, failed, lost or wrong (another network was built). `tries` counts trainings begun."""

    def __init__(self, plan=lambda candidate, tries: "finished", salt=0):
        self.plan, self.salt = plan, salt
        self.tries = Counter()

    def fitness(self, candidate):
        return 25 + 10 * number(self.salt, candidate.arch)

    def trained(self, candidate, wrong=0):
        quality = Quality(self.fitness(candidate), self.fitness(candidate) - 2, 0.9)
        seconds = Seconds(0.5, random.random(), 0.25)
        picture = np.full((16, 16, 3), candidate.id, np.uint8)
        weights = f"weights of {candidate.id}".encode()
        return Trained(quality, candidate.params + wrong, seconds, ((1, 0.5), (2, 0.25)), weights, picture)


class InProcess:
    """A backend whose results come in an order that the seed decides, killed after a number of events."""

    def __init__(self, world, seed=0, devices=3, events=None):
        self.world, self.random, self.devices, self.events = world, random.Random(seed), devices, events
        self.queue, self.running, self.submitted = [], [], []

    def submit(self, candidates):
        self.queue += candidates
        self.submitted += [one.id for one in candidates]

    def next_event(self, timeout_s):
        if self.events == 0:
            raise Killed
        if self.events is not None:
            self.events -= 1
        if (not self.queue and not self.running) or self.random.random() < 0.1:
            return None
        if self.queue and len(self.running) < self.devices and (not self.running or self.random.random() < 0.7):
            one = self.queue.pop(0)
            self.running.append(one)
            return Started(one.id, f"device {self.random.randrange(9)}", "node")
        return self.end(self.running.pop(self.random.randrange(len(self.running))))

    def end(self, one):
        kind = self.world.plan(one, self.world.tries[one.id])
        self.world.tries[one.id] += 1
        if kind == "failed":
            return Failed(one.id, f"raised, of {one.id}")
        if kind == "lost":
            return Lost(one.id, "its node died")
        return Finished(one.id, "device", "node", self.world.trained(one, wrong=kind == "wrong"))

    def cancel(self):
        self.queue, self.running = [], []


class Notes:
    """A watcher that notes what it is told."""

    def __init__(self):
        self.told_states, self.lines = [], []

    def asked(self, generation, candidates, to_train):
        self.lines.append(("asked", generation, len(candidates), to_train))

    def started(self, event):
        self.lines.append(("started", event.id))

    def keep_weights(self, result):
        self.lines.append(("weights", result.id))

    def finished(self, result, event):
        self.lines.append(("finished", result.id, event["psnr_y"]))

    def failed(self, candidate_id, reason):
        self.lines.append(("failed", candidate_id, reason))

    def lost(self, event, attempt, again):
        self.lines.append(("lost", event.id, attempt, again))

    def told(self, state):
        self.told_states.append(state)


def search(path, config, backend, space=SPACE, retry=False, watcher=None, should_stop=lambda: False):
    """One process of a search, begun or resumed as the driver does it: its state and its history."""
    with Journal(path) as journal:
        history = replay(journal.found)
        if history.run is None:
            history.add(journal.append("run", {"seed": config.seed}))
        else:
            history.add(journal.append("resumed", {}))
            close_interrupted(journal, history, "the run was interrupted")
            if retry:
                schedule_retries(journal, history)
        state = SearchLoop(config, space, journal, history, backend, watcher or Notes(), should_stop).run()
    return state, history


LEFT_OUT = ("time", "device", "node", "seconds", "attempt")


def records(path):
    """What must be the same: asked and finished, sorted by id, without times and hosts."""
    events, _ = read_journal(path)
    chosen = [one for one in events if one["event"] in ("asked", "finished")]
    plain = [{key: value for key, value in one.items() if key not in LEFT_OUT} for one in chosen]
    return sorted(plain, key=lambda one: (one["event"], one["id"]))


def trained_as(candidate):
    """The id under which its network was trained."""
    return candidate.id if candidate.same_as is None else candidate.same_as


def events_of(path, kind):
    return [one for one in read_journal(path)[0] if one["event"] == kind]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A new path for a journal, at each call. What is synced does not matter here, and costs time."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    yield lambda: tmp_path_factory.mktemp("run") / "journal.jsonl"
    patch.undo()


def moody(salt):
    """Some candidates fail, some are lost once or twice, a few are lost each time."""

    def plan(candidate, tries):
        mood = number(salt, "mood", candidate.id)
        if mood < 0.15:
            return "failed"
        if mood < 0.35:
            return "lost" if tries < 1 + (mood < 0.25) else "finished"
        return "lost" if mood > 0.95 else "finished"

    return plan


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([SPACE, TWELVE]))
def test_order_of_results_and_number_of_devices_change_nothing(fresh, salt, order, devices, space):
    config = make_config(seed=salt)
    paths = fresh(), fresh()
    first, _ = search(paths[0], config, InProcess(World(moody(salt), salt), 0, 1), space)
    other, _ = search(paths[1], config, InProcess(World(moody(salt), salt), order, devices), space)
    assert records(paths[0]) == records(paths[1])
    assert first == other


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.lists(
        st.tuples(st.integers(0, 25), st.sampled_from(["killed", "stopped", "torn"]), st.floats(0, 1)), max_size=4
    ),
    st.sampled_from([SPACE, TWELVE]),
)
def test_interrupted_and_resumed_is_the_same_as_never_interrupted(fresh, salt, interruptions, space):
    config = make_config(seed=salt)
    whole, path = fresh(), fresh()
    expected, _ = search(whole, config, InProcess(World(moody(salt), salt), salt), space)

    world = World(moody(salt), salt)
    for index, (events, how, place) in enumerate(interruptions):
        done = {one["id"] for one in events_of(path, "finished")} if path.exists() else set()
        backend = InProcess(world, salt + index, events=None if how == "stopped" else events)
        left = iter(range(events))
        stop = (lambda left=left: next(left, None) is None) if how == "stopped" else (lambda: False)
        try:
            state, _ = search(path, config, backend, space, should_stop=stop)
        except (Killed, Stopped):
            pass
        else:
            assert state == expected
        assert not done & set(backend.submitted)
        if how == "torn":
            content = path.read_bytes()
            last = content[:-1].rfind(b"\n") + 1
            path.write_bytes(content[: last + round(place * (len(content) - last))])

    done = {one["id"] for one in events_of(path, "finished")} if path.exists() and path.stat().st_size else set()
    backend = InProcess(world, salt + 99)
    state, history = search(path, config, backend, space)
    assert state == expected
    assert records(path) == records(whole)
    assert not done & set(backend.submitted)
    assert not history.under_way
    assert max(Counter(one["id"] for one in events_of(path, "finished")).values(), default=1) == 1


def test_finished_search_resumed_trains_nothing(fresh):
    path, config = fresh(), make_config()
    expected, _ = search(path, config, InProcess(World()))
    before = records(path)
    backend = InProcess(World())
    assert search(path, config, backend)[0] == expected
    assert backend.submitted == []
    assert records(path) == before


def test_more_generations_go_on_as_if_they_had_been_asked_for_at_once(fresh):
    paths = fresh(), fresh()
    expected, _ = search(paths[0], make_config(5), InProcess(World(moody(1)), 3))
    world = World(moody(1))
    search(paths[1], make_config(2), InProcess(world, 4))
    state, _ = search(paths[1], make_config(5), InProcess(world, 5))
    assert state == expected
    assert records(paths[0]) == records(paths[1])


def test_duplicates_take_the_fitness_over_and_are_not_trained(fresh):
    path = fresh()
    backend = InProcess(World())
    state, history = search(path, make_config(6), backend, TWELVE)
    same = {one.id: one.same_as for one in history.candidates.values() if one.same_as is not None}
    assert same
    assert not same.keys() & set(backend.submitted)
    assert sorted(backend.submitted) == sorted(history.candidates.keys() - same.keys())
    for one in state.population:
        trained = same.get(one.id, one.id)
        assert one.fitness == history.finished[trained]["psnr_y"]
    archs = [history.candidates[one].arch for one in history.finished]
    assert len(set(archs)) == len(archs)


# Lost and failed.


def test_lost_is_tried_again_up_to_the_limit_and_then_failed(fresh):
    path, notes = fresh(), Notes()
    config = make_config(1, attempts=3)
    lost = {0: 2, 1: 99}
    world = World(lambda one, tries: "lost" if tries < lost.get(one.id, 0) else "finished")
    _, history = search(path, config, InProcess(world), watcher=notes)
    assert world.tries == {0: 3, 1: 3, 2: 1, 3: 1}
    assert set(history.finished) == {0, 2, 3}
    assert history.failed == [1]
    assert [
        (one["id"], one["attempt"]) for one in events_of(path, "started") if one["id"] < 2 and one["attempt"] > 2
    ] in (
        [(0, 3), (1, 3)],
        [(1, 3), (0, 3)],
    )
    (reason,) = [one["reason"] for one in events_of(path, "failed")]
    assert reason == "lost 3 times (runtime.max_attempts), the last: its node died"
    assert [line for line in notes.lines if line[0] == "lost" and line[1] == 1] == [
        ("lost", 1, 1, True),
        ("lost", 1, 2, True),
        ("lost", 1, 3, False),
    ]


def test_limit_of_one_attempt_tries_nothing_again(fresh):
    world = World(lambda one, tries: "lost")
    search(fresh(), make_config(1, attempts=1), InProcess(world))
    assert set(world.tries.values()) == {1}


def test_what_was_under_way_when_the_run_ended_is_lost_and_not_counted_as_an_attempt(fresh):
    path, config = fresh(), make_config(1, attempts=1)
    with pytest.raises(Killed):
        search(path, config, InProcess(World(), 1, devices=2, events=3))
    under_way = replay(read_journal(path)[0]).under_way
    assert under_way
    _, history = search(path, config, InProcess(World(), 2))
    assert {one["id"] for one in events_of(path, "lost")} == under_way
    assert {one["reason"] for one in events_of(path, "lost")} == {"the run was interrupted"}
    assert set(history.finished) == {0, 1, 2, 3}


def test_failed_candidates_do_not_end_the_search_and_are_no_parents(fresh):
    path = fresh()
    state, history = search(
        path, make_config(4), InProcess(World(lambda one, t: "failed" if one.id % 3 else "finished"))
    )
    assert state.generation == 4
    trained = {one.id for one in history.candidates.values() if one.same_as is None}
    assert set(history.finished) == {one for one in trained if one % 3 == 0}
    assert state.elite
    assert all(trained_as(one.candidate) % 3 == 0 for one in state.elite)
    parents = {parent for one in history.candidates.values() for parent in one.parents}
    assert parents
    assert all(trained_as(history.candidates[parent]) % 3 == 0 for parent in parents)
    assert {one["reason"] for one in events_of(path, "failed")} >= {"raised, of 1"}


def test_generation_that_failed_as_a_whole_is_followed_by_random_ones(fresh):
    state, history = search(
        fresh(), make_config(3), InProcess(World(lambda one, t: "failed" if one.id < 4 else "finished"))
    )
    operators = {
        generation: {one.operator for one in history.candidates.values() if one.generation == generation}
        for generation in range(3)
    }
    assert operators[1] == {"random"}
    assert operators[2] == {"crossover", "mutation"}
    assert state.best is not None


def test_search_of_which_everything_failed_ends_without_a_best(fresh):
    state, history = search(fresh(), make_config(3), InProcess(World(lambda one, tries: "failed")))
    assert state.best is None
    assert len(history.failed) == 12


def test_network_that_is_not_the_counted_one_is_a_failure_with_a_reason(fresh):
    path = fresh()
    _, history = search(path, make_config(1), InProcess(World(lambda one, t: "wrong" if one.id == 2 else "finished")))
    params = history.candidates[2].params
    (failure,) = events_of(path, "failed")
    assert failure["reason"] == f"the built network has {params + 1:,} parameters, the count says {params:,}"
    assert set(history.finished) == {0, 1, 3}


def test_late_events_of_candidates_that_ended_are_ignored(fresh):
    class Repeating(InProcess):
        """Says each event twice, and speaks of candidates that nobody asked for."""

        again = None

        def next_event(self, timeout_s):
            if self.again is not None:
                event, self.again = self.again, None
                return event
            event = super().next_event(timeout_s)
            if isinstance(event, Finished):
                self.again = replace(event, trained=replace(event.trained, quality=Quality(99.0, 99.0, 1.0)))
            elif isinstance(event, Failed):
                self.again = Lost(event.id, "late")
            elif event is None:
                return Started(10**6, "device", "node")
            return event

    def plan(one, tries):
        return "failed" if one.id % 4 == 1 else "finished"

    paths = fresh(), fresh()
    expected, _ = search(paths[0], make_config(), InProcess(World(plan)))
    state, _ = search(paths[1], make_config(), Repeating(World(plan)))
    assert state == expected
    assert records(paths[0]) == records(paths[1])
    assert events_of(paths[1], "lost") == []


def test_result_that_comes_after_its_candidate_was_given_up_as_lost_is_taken_once(fresh):
    class Late(InProcess):
        """The first candidate is said to be lost, and its result comes all the same."""

        def end(self, one):
            if one.id == 0 and self.submitted.count(0) == 1:
                self.running.append(one)
                self.submitted.append(0)
                return Lost(0, "its node did not answer")
            return super().end(one)

    path, world = fresh(), World()
    _, history = search(path, make_config(1), Late(world, devices=9))
    assert world.tries[0] in (1, 2)
    assert len(history.outcomes[0]) == 1
    assert [one["id"] for one in events_of(path, "finished")].count(0) == 1


# Retries of the failed.


def failing_once(one, tries):
    return "failed" if one.id % 2 and tries == 0 else "finished"


def test_failed_are_trained_again_when_that_is_asked_for_and_can_enter_the_elite(fresh):
    path, config, world = fresh(), make_config(2), World(failing_once)
    before, history = search(path, config, InProcess(world))
    failed = history.failed
    assert failed == [one for one in history.candidates if one % 2]
    notes, backend = Notes(), InProcess(world)
    after, history = search(path, config, backend, retry=True, watcher=notes)
    assert backend.submitted == failed
    assert history.failed == []
    ranked = sorted(history.finished.values(), key=lambda event: -event["psnr_y"])
    assert [one.id for one in after.elite] == [event["id"] for event in ranked[:2]]
    assert after.elite != before.elite
    assert replace(after, elite=before.elite) == before
    # Whoever shows the search is told of the elite that it ended with.
    assert notes.told_states[-1] == after


@pytest.mark.parametrize("events", range(14))
def test_retries_are_replayed_to_the_same_state_wherever_they_were_interrupted(fresh, events):
    def run(path, interrupted):
        world = World(failing_once)
        search(path, make_config(2), InProcess(world))
        if interrupted is not None:
            with pytest.raises(Killed):
                search(path, make_config(4), InProcess(world, events=interrupted), retry=True)
        # Asked for again: what is scheduled already is not scheduled twice.
        search(path, make_config(4), InProcess(world), retry=interrupted is None or interrupted < 2)
        return search(path, make_config(4), InProcess(world))[0]

    paths = fresh(), fresh()
    assert run(paths[0], None) == run(paths[1], events)
    assert records(paths[0]) == records(paths[1])


def test_retried_before_a_generation_is_a_parent_in_it(fresh):
    path, world = fresh(), World(lambda one, tries: "failed" if tries == 0 else "finished")
    search(path, make_config(1), InProcess(world))
    _, history = search(path, make_config(2), InProcess(world), retry=True)
    second = [one for one in history.candidates.values() if one.generation == 1]
    assert {one.operator for one in second} == {"crossover", "mutation"}
    assert {parent for one in second for parent in one.parents} <= set(range(4))


def test_what_failed_again_can_be_tried_again(fresh):
    path, config = fresh(), make_config(1)
    world = World(lambda one, tries: "failed" if one.id == 1 and tries < 3 else "finished")
    search(path, config, InProcess(world))
    for _ in range(3):
        _, history = search(path, config, InProcess(world), retry=True)
    assert history.failed == []
    assert world.tries[1] == 4
    backend = InProcess(world)
    state, _ = search(path, config, backend)
    assert backend.submitted == []
    assert {one.id for one in state.elite} <= set(history.finished)


# A journal of another search.


def test_journal_of_another_seed_is_an_error(fresh):
    path = fresh()
    search(path, make_config(1, seed=1), InProcess(World()))
    backend = InProcess(World())
    with pytest.raises(UserError, match=r"candidate 0 was S_|candidate 0 was C_") as caught:
        search(path, make_config(1, seed=2), backend)
    assert "resume with the versions that the journal's first line names" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert backend.submitted == []


# The recorder as the watcher.


def weights_of(state):
    """The checkpoint files of the elite."""
    return {f"candidate_{trained_as(one.candidate):06d}.ckpt" for one in state.elite}


def names(folder):
    return {path.name for path in folder.iterdir()}


def recorded(folder, config, backend, retry=False, space=SPACE):
    for path in (folder.path, folder.checkpoints, folder.pictures):
        path.mkdir(exist_ok=True)
    with Journal(folder.journal) as journal:
        history = replay(journal.found)
        recorder = Recorder(folder, history, config.evolution.num_generation, 2)
        rng = np.random.default_rng(0)
        hr = rng.integers(0, 256, (16, 16, 3), np.uint8)
        recorder.sample = PicturePair("one", hr=hr, lr=hr[::2, ::2])
        recorder.catch_up(config.evolution.num_generation * config.evolution.num_individual)
        close_interrupted(journal, history, "the run was interrupted")
        if retry:
            schedule_retries(journal, history)
        recorder.update(phase="search", devices=backend.devices)
        try:
            state = SearchLoop(config, space, journal, history, backend, recorder, lambda: False).run()
        finally:
            recorder.close()
    return state, history, recorder


def test_recorder_keeps_the_weights_of_the_elite_only(tmp_path):
    folder, config = RunFolder(tmp_path), make_config(3)
    state, _, _ = recorded(folder, config, InProcess(World()))
    assert names(folder.checkpoints) == weights_of(state)
    for one in state.elite:
        assert folder.candidate_checkpoint(one.id).read_bytes() == f"weights of {one.id}".encode()
    # Generations are told again on resume; the weights stay.
    recorded(folder, config, InProcess(World()))
    assert names(folder.checkpoints) == weights_of(state)


def test_recorder_keeps_the_weights_of_what_an_elite_duplicate_was_trained_as(tmp_path):
    folder = RunFolder(tmp_path)
    state, _, _ = recorded(folder, make_config(8), InProcess(World()), space=TWELVE)
    assert any(one.candidate.same_as is not None for one in state.elite)
    assert names(folder.checkpoints) == weights_of(state)
    assert f"best_{trained_as(state.best.candidate):06d}.png" in names(folder.pictures)


def test_recorder_keeps_the_weights_of_the_elite_over_an_interruption(tmp_path):
    folder, config = RunFolder(tmp_path), make_config(4)
    world = World()
    with pytest.raises(Killed):
        recorded(folder, config, InProcess(world, events=30))
    state, _, _ = recorded(folder, config, InProcess(world))
    assert names(folder.checkpoints) == weights_of(state)


def test_recorder_keeps_a_strip_of_the_best(tmp_path):
    folder = RunFolder(tmp_path)
    state, _, recorder = recorded(folder, make_config(2), InProcess(World()))
    assert state.best is not None
    strip = from_png((folder.pictures / f"best_{state.best.id:06d}.png").read_bytes())
    sr = np.full((16, 16, 3), state.best.id, np.uint8)
    np.testing.assert_array_equal(strip, comparison_strip(recorder.sample.lr, sr, recorder.sample.hr, 2))


def test_recorder_counts_and_says_what_happened(tmp_path):
    folder, lost = RunFolder(tmp_path), {1: 1, 2: 99}

    def plan(one, tries):
        return "failed" if one.id == 3 else "lost" if tries < lost.get(one.id, 0) else "finished"

    state, history, recorder = recorded(folder, make_config(2), InProcess(World(plan)))
    status = recorder.status(0)
    assert (status.finished, status.failed, status.expected) == (6, 2, 8)
    assert (status.phase, status.generation, status.num_generation) == ("search", 1, 2)
    assert status.busy == 0
    assert state.best is not None
    assert (status.best_id, status.best_psnr) == (state.best.id, state.best.fitness)
    assert status.next_line == len(status.lines)
    assert recorder.status(status.next_line - 1).lines == status.lines[-1:]
    lines = [
        line for line in status.lines if line.startswith(("candidate 1: lost", "candidate 2: lost", "candidate 3"))
    ]
    assert [line for line in lines if line.startswith("candidate 1")] == [
        "candidate 1: lost: its node died; it is trained again"
    ]
    assert [line for line in lines if line.startswith("candidate 2")][-1] == "candidate 2: lost: its node died"
    assert "candidate 3: failed: raised, of 3" in lines
    best = history.candidates[state.best.id]
    assert any(
        line.startswith(f"candidate {best.id}: {state.best.fitness:.3f} dB, {best.params / 1e3:.1f} K parameters, ")
        and line.endswith(" (best so far)")
        for line in status.lines
    )
    assert status.lines[0] == "generation 0: 4 individuals"
    assert status.lines[-1].startswith(
        f"generation 1: best {state.best.fitness:.3f} dB (candidate {state.best.id}), mean "
    )
    log = folder.log.read_text(encoding="utf-8").splitlines()
    assert [line[20:] for line in log] == list(status.lines)
    assert len(folder.population.read_bytes().splitlines()) == 8


def test_recorder_never_counts_more_or_fewer_devices_than_are_busy(tmp_path, monkeypatch):
    busy = []
    monkeypatch.setattr(Recorder, "_set_busy", lambda self, count: (setattr(self, "_busy", count), busy.append(count)))
    backend = InProcess(World(lambda one, tries: "lost" if one.id % 2 else "finished"), 5, devices=3)
    recorded(RunFolder(tmp_path), make_config(3), backend)
    assert busy[-1] == 0
    assert min(busy) == 0
    assert max(busy) == 3


def test_recorder_says_when_everything_failed(tmp_path):
    _, _, recorder = recorded(RunFolder(tmp_path), make_config(1), InProcess(World(lambda one, tries: "failed")))
    assert recorder.status(0).lines[-1] == "generation 0: every candidate failed"
    assert recorder.status(0).best_psnr is None


def test_recorder_catches_up_with_the_journal(tmp_path):
    folder = RunFolder(tmp_path)
    state, _, first = recorded(folder, make_config(2), InProcess(World(failing_once)))
    again, _, recorder = recorded(folder, make_config(2), InProcess(World(failing_once)))
    old, new = first.status(0), recorder.status(0)
    assert (new.finished, new.failed, new.best_id, new.best_psnr) == (
        old.finished,
        old.failed,
        old.best_id,
        old.best_psnr,
    )
    assert again == state
    assert "generation 0: 4 individuals, 4 of them known already" in new.lines


def test_recorder_writes_the_population_after_late_retries(tmp_path):
    folder, world = RunFolder(tmp_path), World(failing_once)
    recorded(folder, make_config(1), InProcess(world))
    assert folder.population.read_text().count('"state": "failed"') == 2
    state, _, _ = recorded(folder, make_config(1), InProcess(world), retry=True)
    assert folder.population.read_text().count('"state": "finished"') == 4
    assert names(folder.checkpoints) == weights_of(state)


def test_recorder_survives_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    _, _, recorder = recorded(RunFolder(tmp_path), make_config(1), InProcess(World()))
    assert len(recorder.status(0).lines) >= 6
