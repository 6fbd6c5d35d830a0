"""What a search keeps beside its journal: weights of the best, a picture of the best, and the population."""

import json
from itertools import pairwise

import numpy as np
import pytest
from pictures import enlarging, from_png
from worlds import PROMOTION, RACE, SPACE, InProcess, Killed, World, failing_once, make_config, prepared, weights_of

from esr_ray.data.crops import PicturePair
from esr_ray.runs.artifacts import PRUNE_AFTER, Artifacts
from esr_ray.runs.folder import RunFolder
from esr_ray.runs.journal import Journal
from esr_ray.runs.pictures import comparison_picture
from esr_ray.runs.population import PopulationFiles
from esr_ray.search.events import Failed
from esr_ray.search.loop import run_search
from esr_ray.search.make import make_algorithm

RNG = np.random.default_rng(0)
HR = RNG.integers(0, 256, (16, 16, 3), np.uint8)
SAMPLE = PicturePair("one", hr=HR, lr=HR[::2, ::2])


class Kept:
    """What was kept of a search, and told of it."""

    def __init__(self, path, config, backend, retry=False, sample=SAMPLE):
        self.folder, self.compared = RunFolder(path), []
        for one in (path, self.folder.checkpoints, self.folder.pictures):
            one.mkdir(exist_ok=True)
        self.algorithm = make_algorithm(config, SPACE)
        self.artifacts = Artifacts(self.folder, enlarging())
        self.artifacts.sample = sample
        self.most = 0
        files = PopulationFiles(self.folder, self.algorithm)
        best = config.evolution.num_elitism
        with Journal(self.folder.journal) as journal:
            record = prepared(journal, config.seed, retry)

            def keep(done):
                compared = self.artifacts.keep(done, self.algorithm, record.state, best)
                if compared is not None:
                    self.compared.append((compared, record.state))
                self.most = max(self.most, len(list(self.folder.checkpoints.iterdir())))

            try:
                self.state = run_search(self.algorithm, record, backend, keep, lambda: False, 3)
            finally:
                files.write(record.history)
                self.artifacts.prune(self.algorithm, record.state, best)
                self.history = record.history

    @property
    def weights(self):
        """Candidates whose weights there are."""
        names = {one.name for one in self.folder.checkpoints.iterdir()}
        assert all(name.startswith("candidate_") and name.endswith(".ckpt") for name in names)
        return {int(name[10:16]) for name in names}

    @property
    def worth_keeping(self):
        """The elite, the front and the winner."""
        view = self.algorithm.view(self.state)
        elite = [view.ids[row] for row in view.order[:2]]
        return {*elite, *view.front, self.algorithm.verdict(self.state).winner.candidate.id}


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.mark.parametrize(
    "parts", [{}, {"schedule": "steady", "promotion": PROMOTION, "race": RACE}, {"objectives": ["psnr", "params"]}]
)
def test_weights_are_kept_of_the_best_only(tmp_path, parts):
    config = make_config(5, **parts)
    kept = Kept(tmp_path, config, InProcess(World()))
    assert kept.weights == kept.worth_keeping
    # Resumed, nothing of it changes.
    assert Kept(tmp_path, config, InProcess(World())).weights == kept.weights


def test_the_weights_of_a_candidate_are_those_of_its_last_training(tmp_path):
    kept = Kept(tmp_path, make_config(6, promotion=PROMOTION), InProcess(World(), devices=1))
    again = [one for one in kept.weights if len(kept.state.jobs_of[one]) > 1]
    assert again
    for one in kept.weights:
        last = [job for job in kept.state.outcomes if kept.state.jobs[job].candidate.id == one][-1]
        assert kept.folder.candidate_checkpoint(one).read_bytes() == weights_of(kept.state.jobs[last])


def test_the_best_keep_their_weights_over_an_interruption(tmp_path):
    config, world = make_config(4), World()
    with pytest.raises(Killed):
        Kept(tmp_path, config, InProcess(world, events=30))
    kept = Kept(tmp_path, config, InProcess(world))
    assert kept.weights == kept.worth_keeping


def test_the_disk_does_not_fill_while_the_search_runs(tmp_path):
    kept = Kept(tmp_path, make_config(10, 8), InProcess(World()))
    assert len(kept.state.outcomes) > 2 * PRUNE_AFTER
    assert kept.most <= PRUNE_AFTER + 3
    assert kept.weights == kept.worth_keeping


def test_a_strip_is_kept_of_each_that_was_the_best_so_far(tmp_path):
    kept = Kept(tmp_path, make_config(3), InProcess(World()))
    psnr = {job: kept.state.outcomes[job].quality.psnr_y for job in kept.state.outcomes}
    records, best = [], -np.inf
    for job in kept.state.outcomes:
        if psnr[job] > best:
            records.append(job)
            best = psnr[job]
    assert [compared.step for compared, _ in kept.compared] == records
    strips = {one.name for one in kept.folder.pictures.iterdir()}
    assert strips == {f"best_{kept.state.jobs[job].candidate.id:06d}.png" for job in records}
    one = kept.state.jobs[records[-1]].candidate.id
    strip = from_png(kept.artifacts.strip(one).read_bytes())
    sr = np.full((16, 16, 3), one, np.uint8)
    np.testing.assert_array_equal(strip, comparison_picture(SAMPLE, sr, enlarging()))
    np.testing.assert_array_equal(strip, kept.compared[-1][0].picture)


def test_a_short_training_is_the_best_only_where_no_longer_one_is_better(tmp_path):
    kept = Kept(tmp_path, make_config(8, promotion=PROMOTION, schedule="steady"), InProcess(World(noise=9)))
    assert {before.jobs[compared.step].steps for compared, before in kept.compared} == {10, 30}
    for compared, before in kept.compared:
        steps, own = before.jobs[compared.step].steps, kept.state.outcomes[compared.step].quality.psnr_y
        others = [one.quality.psnr_y for job, one in before.outcomes.items() if before.jobs[job].steps >= steps]
        assert all(one < own for one in others)


def test_without_a_picture_there_is_no_strip(tmp_path):
    kept = Kept(tmp_path, make_config(1), InProcess(World()), sample=None)
    assert list(kept.folder.pictures.iterdir()) == []
    assert kept.compared == []


def test_the_state_of_an_unfinished_training_is_kept_by_its_label(tmp_path):
    artifacts = Artifacts(RunFolder(tmp_path), enlarging())
    (tmp_path / "checkpoints").mkdir()
    artifacts.keep_state("network_01", b"one")
    artifacts.keep_state("network_01", b"two")
    assert RunFolder(tmp_path).state("network_01").read_bytes() == b"two"


def test_the_population_has_what_became_of_late_retries(tmp_path):
    world = World(failing_once)
    first = Kept(tmp_path, make_config(1), InProcess(world))
    lines = [json.loads(line) for line in first.folder.population.read_text().splitlines()]
    assert [one["state"] for one in lines] == ["finished", "failed"] * 2
    again = Kept(tmp_path, make_config(1), InProcess(world), retry=True)
    lines = [json.loads(line) for line in again.folder.population.read_text().splitlines()]
    assert [one["state"] for one in lines] == ["finished"] * 4
    assert again.weights == again.worth_keeping
    front = json.loads(again.folder.front.read_text())
    assert front["objectives"] == ["psnr", "mult_adds"]
    assert again.algorithm.verdict(again.state).winner.candidate.id in [one["id"] for one in front["front"]]
    # From one to the next both PSNR and mult-adds become less.
    for one, other in pairwise(front["front"]):
        assert one["psnr"] > other["psnr"]
        assert one["mult_adds"] > other["mult_adds"]


@pytest.mark.parametrize(("takes_s", "pause_s"), [(0.001, 15), (2.0, 100)])
def test_the_population_is_written_the_more_seldom_the_longer_it_takes(tmp_path, monkeypatch, takes_s, pause_s):
    kept = Kept(tmp_path, make_config(1), InProcess(World()))
    now, written = [0.0], []

    def write(path, content):
        now[0] += takes_s / 2
        written.append((path, now[0]))

    monkeypatch.setattr("esr_ray.runs.population.write_atomically", write)
    files = PopulationFiles(kept.folder, kept.algorithm, clock=lambda: now[0])
    while now[0] < 500:
        files.see(Failed(0, "any"), kept.history)
        now[0] += 0.5
    times = [time for path, time in written if path == kept.folder.front]
    assert len(times) > 3
    assert np.diff(times).min() >= pause_s
    assert np.diff(times).max() < pause_s + takes_s + 1
