"""A whole small run, with the machine dying at every one of its calls to the disk: each time the run folder opens, goes
on, and ends as if nothing had been.

Two kinds of death. A process that is killed leaves all that it wrote. A machine that loses its power leaves what was
synced, and the names that were in a folder when that was synced: nothing else.
"""

import shutil
from collections import Counter

import pytest
from driven import STEPS, Died, Mortal, Run, results

from esr_ray import durable
from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.runs.record import read_history
from esr_ray.tasks.pictures import open_pictures, plan_pictures


@pytest.fixture
def run(case, monkeypatch):
    case.set("evolution.num_generation", 2).set("evolution.num_individual", 3)
    return Run(case, monkeypatch)


def finished_in(folder):
    """Jobs that the record has results of, and how far the full training was trained; nothing if there is no record."""
    if not folder.journal.exists():
        return set(), 0
    history = read_history(folder.journal)
    done = {job for job, outcome in history.state.outcomes.items() if outcome.quality is not None}
    return done, STEPS if history.trained else 0


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_every_call_to_the_disk_may_be_the_last(run, tmp_path, every):
    # The pictures are decoded once; what happens to them is the next test's.
    assert run.drive(durable.Disk(), False).kind == "finished"
    wanted = results(run.folder)
    shutil.rmtree(run.folder.path)
    whole = Mortal()
    assert run.drive(whole, False).kind == "finished"
    assert results(run.folder) == wanted
    calls = whole.calls
    kinds = Counter(call for call, _ in calls)
    assert kinds["write"] > 20
    assert kinds["replace"] > 10
    tried = 0
    for last, (call, path) in list(enumerate(calls))[::every]:
        parts = (0,) if call != "write" else (0, 1, 20)
        for part in parts:
            for power in (False, True):
                shutil.rmtree(run.folder.path)
                run.world.tries.clear()
                run.trained_steps.clear()
                disk = Mortal(last, part)
                assert run.drive(disk, False) is None
                if power:
                    image = tmp_path / "image"
                    disk.without_power(run.folder.path, image)
                    shutil.rmtree(run.folder.path)
                    image.rename(run.folder.path)
                where = f"call {last} ({call} of {path}), {part} bytes of it, {'power' if power else 'killed'}"
                done, steps = finished_in(run.folder)
                removed = {path for call, path in disk.calls if call == "remove"}
                for job in done:
                    # What the record calls finished has its weights, unless others were better.
                    candidate = read_history(run.folder.journal).state.jobs[job].candidate.id
                    weights = run.folder.candidate_checkpoint(candidate)
                    assert weights.is_file() or weights in removed, where
                before = {job: run.world.tries[job] for job in done}
                trained_before = dict(run.trained_steps)
                outcome = run.drive(durable.Disk(), run.folder.config.exists())
                assert outcome is not None, where
                assert outcome.kind == "finished", f"{where}: {outcome.message}"
                assert results(run.folder) == wanted, where
                assert {job: run.world.tries[job] for job in done} == before, f"{where}: trained twice"
                if steps:
                    assert dict(run.trained_steps) == trained_before, f"{where}: the full training again"
                assert not list(run.folder.path.rglob(".*.tmp")), where
                tried += 1
    assert tried > 300 / every


def test_decoded_pictures_are_whole_or_made_again(case, monkeypatch, tmp_path):
    config = absolute_paths(check_config(case.content, "my.yml"))
    plan = plan_pictures(config)
    whole = Mortal()
    monkeypatch.setattr(durable, "disk", whole)
    wanted = [pair.hr.tobytes() for pair in open_pictures(plan, config).train]
    folder = case.path / "cache"
    assert len(whole.calls) > 6
    for last in range(len(whole.calls)):
        for power in (False, True):
            shutil.rmtree(folder)
            disk = Mortal(last)
            monkeypatch.setattr(durable, "disk", disk)
            with pytest.raises(Died):
                open_pictures(plan, config)
            if power:
                disk.without_power(folder, tmp_path / "image")
                shutil.rmtree(folder)
                (tmp_path / "image").rename(folder)
            monkeypatch.setattr(durable, "disk", durable.Disk())
            assert [pair.hr.tobytes() for pair in open_pictures(plan, config).train] == wanted
            assert not list(folder.glob(".*.tmp"))
