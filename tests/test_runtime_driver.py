"""The driver on a resume that is refused: one line, and the run folder says what it said before. Without a cluster."""

import pytest
from driven import ray_context

from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.runs.events import Resumed, RunBegan
from esr_ray.runs.folder import RunFolder, stored_config
from esr_ray.runs.journal import Journal, read_journal
from esr_ray.runs.record import Record
from esr_ray.runtime.driver import Driver, DriverSetup


@pytest.fixture
def drive(case, monkeypatch):
    """Runs a driver where Ray sees two CPUs: how it ended. With `search` it must come as far as that."""
    context = ray_context(None)
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    # Which devices train in full is not looked at here.
    monkeypatch.setattr("esr_ray.runtime.driver.check_trainers", lambda *arguments: ())

    def run(resume=True, search=False, notes=(), restarted=False):
        context.was_current_actor_reconstructed = restarted

        def stopped(driver, run, algorithm):
            raise KeyError("the search begins")

        config = absolute_paths(check_config(case.content, "my.yml"))
        monkeypatch.setattr(Driver, "_search_and_train", stopped)
        driver = Driver(DriverSetup(str(case.path / "runs" / "first"), config, (), resume, False, notes=notes))
        if search:
            with pytest.raises(KeyError, match="the search begins"):
                driver.run()
            outcome = None
        else:
            outcome = driver.run()
        if hasattr(driver, "_held"):
            driver._held.release()
        return outcome

    return run


def folder_of(case):
    return RunFolder(case.path / "runs" / "first")


def config_of(case):
    return absolute_paths(check_config(case.content, "my.yml"))


def began(folder, **facts):
    """A run that began so."""
    with Journal(folder.journal) as journal:
        Record(journal).append(RunBegan(0, **facts))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("runtime.evaluators", 9, "runtime.evaluators: 9 are asked for, but Ray sees 2 CPU and 0 NPU"),
        ("runtime.resource", "NPU", "runtime.resource: NPU is asked for, but Ray sees 2 CPU and 0 NPU"),
        ("evolution.num_generation", 30, "the pictures are not those that this run began with"),
    ],
)
def test_a_resume_that_is_refused_leaves_the_configuration_as_it_was(case, drive, key, value, message):
    folder = case.run_folder()
    began(folder, pictures="others")
    before = folder.config.read_bytes()
    case.set("evolution.num_generation", 20).set(key, value)
    outcome = drive()
    assert outcome.kind == "error"
    assert message in outcome.message
    assert "\n" not in outcome.message
    assert folder.config.read_bytes() == before
    kinds = [one["event"] for one in read_journal(folder.journal).events]
    assert kinds == ["run", "closed"]


def test_a_run_that_began_on_npus_stays_as_it_was_where_there_are_none(case, drive):
    folder = case.run_folder()
    began(folder, hardware={"resource": "NPU"})
    before = folder.config.read_bytes()
    case.set("evolution.num_generation", 20)
    assert "the run began on NPUs, and Ray has none now" in drive().message
    assert folder.config.read_bytes() == before


def test_a_resume_that_begins_writes_its_configuration_before_it_says_so(case, drive):
    folder = case.run_folder()
    drive(search=True)
    case.set("evolution.num_generation", 20)
    drive(search=True)
    assert stored_config(folder) == config_of(case)
    with Journal(folder.journal) as journal:
        (last,) = [one for one in Record(journal).found if isinstance(one, Resumed)]
    assert last.config["evolution"]["num_generation"] == 20


def test_a_new_run_that_is_refused_leaves_its_configuration_to_go_on_with(case, drive):
    """As the message says."""
    case.set("runtime.evaluators", 9)
    outcome = drive(resume=False)
    folder = folder_of(case)
    assert outcome.message.endswith(f"(nothing was done yet: --resume {folder.path} --set KEY=VALUE goes on)")
    assert stored_config(folder) == config_of(case)
    case.set("runtime.evaluators", 1)
    drive(search=True)
    assert stored_config(folder) == config_of(case)


def test_what_is_left_out_is_in_the_log_of_the_run(case, drive):
    """Not only a dry run says it."""
    folder = case.run_folder()
    note = "3 of 12 trained networks are not in the changed space: left out"
    drive(search=True, notes=(note,))
    assert note in folder.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("deaths", [4, 5, 9])
def test_a_driver_that_dies_again_and_again_is_not_restarted_for_ever(case, drive, deaths):
    folder = case.run_folder()
    drive(search=True)
    with Journal(folder.journal) as journal:
        record = Record(journal)
        for _ in range(deaths):
            record.append(Resumed(True))
    if deaths < 5:
        drive(search=True, restarted=True)
        return
    outcome = drive(restarted=True)
    assert outcome.kind == "error"
    assert f"the driver died {deaths + 1} times, and nothing was finished in between" in outcome.message
    assert f"go on with --resume {folder.path}" in outcome.message
    # As the message says: by hand it goes on, and begins to count anew.
    drive(search=True)
    drive(search=True, restarted=True)
