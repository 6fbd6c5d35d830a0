"""The run folder: whose it is, what may change in it, and that no file in it is ever half written."""

import signal
import subprocess
import sys
import time

import pytest
import yaml

import esr_ray.runs.folder as folder_module
from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.runs.folder import (
    RunFolder,
    check_record,
    check_same_experiment,
    create,
    lock,
    new_folder,
    stored_config,
    sweep,
)

HOLD_LOCK = """
import sys
from pathlib import Path
from esr_ray.runs.folder import RunFolder, lock
held = lock(RunFolder(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


def config(changes=None, **sections):
    return check_config({"data": {"hr": "/photos"}, **sections, **(changes or {})}, "my.yml")


def run_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    return folder


@pytest.fixture
def holder(tmp_path):
    """A run folder, and another process that has it."""
    folder = run_folder(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.communicate()


def test_run_of_before_a_way_to_search_goes_on_as_it_began(tmp_path):
    """Its configuration lacks keys that now have other defaults; what it does have is what it was."""
    folder = run_folder(tmp_path)
    create(folder, config(evolution={"schedule": "steady", "predictor": "ridge"}), {})
    content = yaml.safe_load(folder.config.read_text())
    for key in ("schedule", "promotion", "race", "predictor"):
        del content["evolution"][key]
    folder.config.write_text(yaml.safe_dump(content))
    then = stored_config(folder).evolution
    assert (then.schedule, then.promotion, then.race, then.predictor) == ("generational", None, None, None)

    content["evolution"]["schedule"] = "steady"
    folder.config.write_text(yaml.safe_dump(content))
    assert stored_config(folder).evolution.schedule == "steady"


def test_name_of_a_new_folder_is_given_or_made_of_the_file_and_the_time(tmp_path, monkeypatch):
    given = new_folder(config(output={"dir": str(tmp_path), "name": "first"}), tmp_path / "demo.yml")
    assert given.path == tmp_path / "first"
    monkeypatch.setattr(time, "strftime", lambda form: "20260102-030405")
    assert new_folder(config(output={"dir": str(tmp_path)}), tmp_path / "demo.yml").path == (
        tmp_path / "demo-20260102-030405"
    )
    assert not list(tmp_path.iterdir())


def test_folder_that_holds_something_is_not_taken(tmp_path):
    named = config(output={"dir": str(tmp_path), "name": "run"})
    folder = run_folder(tmp_path)
    assert new_folder(named, tmp_path / "demo.yml") == folder
    folder.log.touch()
    with pytest.raises(UserError, match=rf"is already a run folder; go on with it by --resume {folder.path}, or give"):
        new_folder(named, tmp_path / "demo.yml")


def test_name_of_a_file_is_not_taken(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match=r"is a file, not a folder; give another output\.name"):
        new_folder(config(output={"dir": str(tmp_path), "name": "run"}), tmp_path / "demo.yml")


def test_created_folder_holds_the_configuration_and_the_users_blocks(tmp_path):
    given = config(seed=5, fast_training={"schedule": {"type": "multistep", "milestones": [3, 5]}})
    folder = RunFolder(tmp_path / "runs" / "first")
    create(folder, given, {"blocks/mine.py": "LETTER = 'R'  # é\n"})
    assert stored_config(folder) == given
    assert (folder.blocks / "mine.py").read_text(encoding="utf-8") == "LETTER = 'R'  # é\n"
    assert folder.checkpoints.is_dir()
    assert folder.pictures.is_dir()
    changed = config(seed=5, evolution={"num_generation": 30})
    create(folder, changed, {})
    assert stored_config(folder) == changed
    assert (folder.blocks / "mine.py").is_file()


def test_folder_of_no_run_is_told(tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder \(it has no config\.yml\); give the folder of a run"):
        stored_config(RunFolder(tmp_path))


# One search at a time.


def test_second_process_does_not_get_the_folder(holder):
    folder, process = holder
    with pytest.raises(UserError, match="another run is at work in this folder; wait for it, or stop it there"):
        lock(folder)
    second = subprocess.run(
        [sys.executable, "-c", HOLD_LOCK, str(folder.path)], capture_output=True, text=True, input="", timeout=60
    )
    assert "held" not in second.stdout
    assert "another run is at work" in second.stderr
    process.communicate("")
    lock(folder).release()


def test_folder_is_free_when_its_process_was_killed(holder):
    folder, process = holder
    process.send_signal(signal.SIGKILL)
    held = lock(folder, patience_s=30)
    with pytest.raises(UserError, match="another run is at work"):
        lock(folder)
    held.release()


def test_folder_is_free_when_the_lock_is_released(tmp_path):
    folder = run_folder(tmp_path)
    for _ in range(2):
        held = lock(folder)
        with pytest.raises(UserError, match="another run is at work"):
            lock(folder)
        held.release()


def test_what_killed_processes_left_half_written_is_swept(tmp_path):
    folder = run_folder(tmp_path)
    create(folder, config(), {"blocks/mine.py": ""})
    left = [folder.path / ".front.json.12.tmp", folder.checkpoints / ".final.ckpt.7.tmp"]
    kept = [folder.path / "front.json", folder.checkpoints / "final.ckpt", folder.path / "notes.tmp"]
    for path in left + kept:
        path.touch()
    assert sweep(folder) == 2
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("state", ["gone", "empty"])
@pytest.mark.parametrize("result", ["checkpoints/final.ckpt", "population.jsonl", "result.json"])
def test_results_without_their_journal_are_not_written_over(tmp_path, state, result):
    folder = run_folder(tmp_path)
    create(folder, config(), {})
    if state == "empty":
        folder.journal.touch()
    # A run that had not begun yet.
    check_record(folder)
    (folder.path / result).write_text("a result")
    with pytest.raises(UserError, match=rf"journal\.jsonl: is {state}, and {result} beside it is of a run; restore it"):
        check_record(folder)
    folder.journal.write_text("a line")
    check_record(folder)


# The same experiment.


@pytest.mark.parametrize(
    "changes",
    [
        {"evolution": {"num_generation": 30}},
        {"evolution": {"num_generation": 19, "num_elitism": 3}},
        {"evolution": {"objectives": ["psnr", "mult_adds"], "promotion": {}, "race": {}, "schedule": "steady"}},
        {"space": {"node_num": 21, "conv_num": [4], "max_params": 200_000}},
        {"full_training": {"steps": 9, "schedule": {"type": "multistep", "milestones": [3]}}},
        {"benchmarks": [{"name": "Set5", "hr": "/Set5"}]},
        {"pipeline": ["search"]},
        {"runtime": {"evaluators": 1, "max_attempts": 5}},
        {"output": {"dir": "/elsewhere", "name": "x"}},
    ],
)
def test_what_changes_no_result_may_change(tmp_path, changes):
    check_same_experiment(config(), config(changes), RunFolder(tmp_path))


@pytest.mark.parametrize(
    ("changes", "key", "there", "here"),
    [
        ({"seed": 1}, "seed", 0, 1),
        ({"task": {"scale": 3}}, "task.scale", 2, 3),
        ({"space": {"base_channels": 16}}, "space.base_channels", 32, 16),
        ({"space": {"global_skip": "none"}}, "space.global_skip", "'nearest'", "'none'"),
        ({"space": {"user_blocks": ["/mine.py"]}}, "space.user_blocks", [], ["/mine.py"]),
        ({"data": {"hr": "/other"}}, "data.hr", "'/photos'", "'/other'"),
        ({"fast_training": {"steps": 9}}, "fast_training.steps", 400, 9),
        ({"fast_training": {"clip_norm": 1.0}}, "fast_training.clip_norm", None, 1.0),
    ],
)
def test_what_would_change_results_may_not(tmp_path, changes, key, there, here):
    with pytest.raises(UserError) as caught:
        check_same_experiment(config(), config(changes), RunFolder(tmp_path))
    lists = " (but that may become another list where both have two or more)" if key == "space.base_channels" else ""
    assert str(caught.value) == (
        f"{tmp_path}: is a run of another configuration: {key} is {there} there and {here} here; only "
        "evolution, space, full_training, benchmarks, pipeline, runtime, output may change on resume, and of these not "
        f"space.base_channels, space.global_skip, space.user_blocks{lists}"
    )


def test_how_candidates_are_trained_may_change_as_long_as_none_was(tmp_path):
    other = config(fast_training={"learning_rate": 1e-3, "clip_norm": 1.0})
    check_same_experiment(config(), other, RunFolder(tmp_path), lambda: False)
    with pytest.raises(UserError, match=r"fast_training\.clip_norm is None there and 1\.0 here"):
        check_same_experiment(config(), other, RunFolder(tmp_path), lambda: True)
    for changes in ({"fast_training": {"steps": 9}}, {"seed": 1, "fast_training": {"clip_norm": 1.0}}):
        with pytest.raises(UserError, match="is a run of another configuration"):
            check_same_experiment(config(), config(changes), RunFolder(tmp_path), lambda: False)


def test_number_of_changed_keys_is_told(tmp_path):
    with pytest.raises(UserError, match=r"seed is 0 there and 1 here \(and 1 more keys\); only"):
        check_same_experiment(config(), config(seed=1, task={"scale": 3}), RunFolder(tmp_path))


def test_names_that_only_begin_like_a_key_that_may_change_may_not(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "MAY_CHANGE", ("evolution.num",))
    with pytest.raises(UserError, match=r"evolution\.num_elitism is 4 there and 3 here"):
        check_same_experiment(config(), config(evolution={"num_elitism": 3}), RunFolder(tmp_path))
