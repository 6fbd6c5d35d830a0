"""What a run that ended says to do: done as it is said, it leads on."""

import re
import warnings

import pytest
from driven import Run
from worlds import OnDevices, World

from esr_ray import durable
from esr_ray.api.planned import resumed
from esr_ray.errors import UserError
from esr_ray.runs.record import read_history


def advised(message):
    """The folder and the options of the command that a message advises to give."""
    found = re.search(r"go on with --resume (\S+)((?: --[a-z-]+)*)", message)
    assert found is not None, message
    return found[1], found[2].split()


def go_on(run, message, *overrides):
    """Give the command that a message advises; the outcome."""
    folder, options = advised(message)
    assert folder == str(run.folder.path)
    planned = resumed(folder, None, overrides, warnings.warn, "--retry-failed" in options)
    run.config = planned.config
    return run.drive(durable.Disk(), True, planned.retry_failed)


@pytest.mark.parametrize("overrides", [(), ("fast_training.learning_rate=1e-3",)])
def test_where_every_candidate_failed_they_are_tried_again_also_with_another_rate(case, monkeypatch, overrides):
    run = Run(case.set("fast_training.learning_rate", 1e8), monkeypatch)
    run.world = World(lambda job, tries: "failed")
    outcome = run.drive(durable.Disk(), False)
    assert outcome.kind == "error"
    assert "every candidate failed, there is nothing to train; the last one: candidate 3: raised, of 3;" in (
        outcome.message
    )
    run.world = World()
    outcome = go_on(run, outcome.message, *overrides)
    assert outcome.kind == "finished", outcome.message
    assert len(run.world.tries) == 4
    # Now there are results, which another rate would not have given.
    with pytest.raises(UserError, match=r"fast_training\.learning_rate is .* there and 0\.02 here"):
        resumed(run.folder.path, None, ["fast_training.learning_rate=0.02"], warnings.warn)


def test_where_no_device_was_left_the_search_goes_on_to_the_end(case, monkeypatch):
    case.set("evolution.num_individual", 6)
    run = Run(case, monkeypatch, lambda world: OnDevices(world, devices=2, bad=["device 0", "device 1"]))
    outcome = run.drive(durable.Disk(), False)
    assert outcome.kind == "error"
    assert outcome.message.startswith("no device is left: ")
    assert not read_history(run.folder.journal).state.failed
    run.backend = lambda world: OnDevices(world, devices=2)
    outcome = go_on(run, outcome.message)
    assert outcome.kind == "finished", outcome.message
    assert not read_history(run.folder.journal).state.failed
