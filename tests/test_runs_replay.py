"""`--replay`: the choices of a search are made again from its record, and one that differs, or damage, is told."""

import json
from dataclasses import replace

import pytest
from worlds import (
    PAPER,
    PROMOTION,
    RACE,
    SPACE,
    STEPS,
    FirstInFirstOut,
    InProcess,
    Killed,
    World,
    events_of,
    failing_once,
    make_config,
    moody,
    prepared,
    search,
)

from esr_ray.config.epochs import in_steps
from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.errors import UserError
from esr_ray.runs.events import Asked, Dropped, Finished, RunBegan
from esr_ray.runs.journal import Journal, read_journal
from esr_ray.runs.record import read_events
from esr_ray.runs.replay import Replayed, replay_events, replay_run
from esr_ray.search.__main__ import main
from esr_ray.search.loop import run_search
from esr_ray.search.make import make_algorithm
from esr_ray.space.space import make_space
from esr_ray.space.user_block import load_user_block
from esr_ray.tasks.make import space_of

PARTS = {
    "plain": {},
    "promotion": {"promotion": PROMOTION},
    "race": {"race": RACE},
    "predictor": {"predictor": "ridge"},
    "objectives": {"objectives": ["psnr", "mult_adds"]},
    "all": {"promotion": PROMOTION, "race": RACE, "predictor": "ridge", "objectives": ["psnr", "params"]},
}
SURE = {"share": 0.4, "confidence": 0.7, "tolerance": 0.1}
SCHEDULES = pytest.mark.parametrize("schedule", ["steady", "generational"])


def make(config):
    return make_algorithm(config, SPACE)


def replayed(path):
    return replay_run(path, make)


def asked_in(path):
    return len(events_of(path, "asked"))


def refusal(events):
    """The one line by which events are refused."""
    with pytest.raises(UserError) as caught:
        replay_events(events, "the record", make)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@SCHEDULES
@pytest.mark.parametrize("parts", PARTS)
def test_a_whole_search_is_chosen_again(fresh, schedule, parts):
    """With as many candidates as a predictor needs, and some that fail."""
    path, config = fresh(), make_config(14, schedule=schedule, **PARTS[parts])
    state, _ = search(path, config, InProcess(World(moody(1)), 3))
    assert state.births > 16
    assert replayed(path) == Replayed(len(state.jobs), 1)


@SCHEDULES
def test_an_interrupted_search_is_chosen_again_over_all_its_processes(fresh, schedule):
    path, config, world = fresh(), make_config(9, schedule=schedule, **PARTS["all"]), World(moody(2))
    for process, events in enumerate((5, 20, 0, 40)):
        with pytest.raises(Killed):
            search(path, config, InProcess(world, process, 1 + process, events))
    assert replayed(path) == Replayed(asked_in(path), 4)
    state, _ = search(path, config, InProcess(world, 9))
    assert replayed(path) == Replayed(len(state.jobs), 5)


@SCHEDULES
def test_failed_jobs_that_were_tried_again_are_no_other_choices(fresh, schedule):
    path, world = fresh(), World(failing_once)
    search(path, make_config(2, schedule=schedule), InProcess(world))
    state, _ = search(path, make_config(4, schedule=schedule), InProcess(world), retry=True)
    assert any(event["event"] == "retry" for event in read_journal(path).events)
    assert replayed(path) == Replayed(len(state.jobs), 2)


def test_a_job_that_was_dropped_before_the_race_was_decided_is_told(fresh):
    path, config = fresh(), make_config(10, seed=0, race=SURE, schedule="steady")
    backend = InProcess(World(noise=1), 0, devices=3)
    search(path, config, backend)
    events = read_events(read_journal(path).events, path)
    dropped = [event.job for event in events if isinstance(event, Dropped)]
    assert dropped == backend.stopped != []
    first = next(place for place, event in enumerate(events) if isinstance(event, Dropped))
    assert replay_events(events, "the record", make).choices == asked_in(path)
    # As if it had been dropped as soon as it was asked for.
    asked = next(
        place for place, event in enumerate(events) if isinstance(event, Asked) and event.job == events[first].job
    )
    earlier = [*events[: asked + 1], events[first]]
    assert refusal(earlier) == (
        f"the record, event {asked + 2}: job {events[first].job} was dropped there as one that nothing depends on, and "
        "is needed now: another version of esr_ray or NumPy made that choice, or the record was changed"
    )


@SCHEDULES
@pytest.mark.parametrize(
    "changed", [{}, {"objectives": ["psnr", "mult_adds"]}, {"promotion": PROMOTION}, {"elite": 1, "mutation_rate": 0.3}]
)
def test_each_process_chose_by_its_own_configuration(fresh, schedule, changed):
    path = fresh()
    search(path, make_config(3, schedule=schedule), InProcess(World()))
    search(path, make_config(7, **{"schedule": schedule, **changed}), InProcess(World(), 4))
    state, _ = search(path, make_config(9, race=RACE), InProcess(World(), 5))
    assert replayed(path) == Replayed(len(state.jobs), 3)


def test_a_length_in_epochs_is_the_one_of_the_record(fresh):
    given = check_config(
        {
            "data": {"hr": "x"},
            "evolution": {"num_generation": 2, **PAPER},
            "fast_training": {"epochs": 3, "batch_size": 4},
        },
        "my",
    )
    config, _ = in_steps(given, 20)
    path = fresh()
    with Journal(path) as journal:
        state = run_search(make(config), prepared(journal, 0, config=given), FirstInFirstOut(World()))
    assert {job.steps for job in state.jobs.values()} == {15}
    assert replayed(path) == Replayed(len(state.jobs), 1)


# What is refused.


@pytest.fixture(scope="module")
def whole(fresh):
    """The events of a search with promotions."""
    path = fresh()
    search(path, make_config(5, schedule="steady", promotion=PROMOTION), FirstInFirstOut(World(), devices=2))
    return read_events(read_journal(path).events, path)


def changed(events, place, **keys):
    return [replace(one, **keys) if number == place else one for number, one in enumerate(events)]


def place_of(events, purpose, number=0):
    places = [place for place, one in enumerate(events) if isinstance(one, Asked) and one.purpose == purpose]
    return places[number]


@pytest.mark.parametrize("number", [0, 2, -1])
@pytest.mark.parametrize("purpose", ["birth", "promotion"])
@pytest.mark.parametrize("keys", [{"seed": 7}, {"steps": STEPS + 1}], ids=["seed", "steps"])
def test_another_seed_or_length_is_told_with_its_event(whole, purpose, number, keys):
    place = place_of(whole, purpose, number)
    line = refusal(changed(whole, place, **keys))
    one = whole[place]
    assert line.startswith(f"the record, event {place + 1}: candidate {one.candidate} (")
    seed, steps = keys.get("seed", one.seed), keys.get("steps", one.steps)
    assert f" for {steps} steps with seed {seed} as {purpose} in batch 0 was chosen there, and candidate " in line
    assert f" for {one.steps} steps with seed {one.seed} as {purpose} in batch 0 is now: another version of " in line


@pytest.mark.parametrize("number", [0, 7, -1])
def test_another_network_is_told_with_its_event(whole, number):
    place = place_of(whole, "birth", number)
    birth = replace(whole[place].birth, genome=((1, "S_2_8_8"),) * 6, arch=("S_2_8_8",) * 6)
    line = refusal(changed(whole, place, birth=birth))
    assert line.startswith(f"the record, event {place + 1}: candidate {whole[place].candidate} (")
    there, _, now = line.partition(" was chosen there, and ")
    assert f": {' '.join(birth.arch)}, {birth.params:,} parameters) for {STEPS} steps" in there
    assert f": {' '.join(whole[place].birth.arch)}, {birth.params:,} parameters) for {STEPS} steps" in now


@pytest.mark.parametrize(
    "keys", [{"purpose": "race"}, {"batch": 1}, {"params": 1}, {"parents": (7,)}, {"operator": "mutant"}]
)
def test_what_is_otherwise_is_in_the_line(whole, keys):
    """Whatever it is, what was chosen there does not read as what is chosen now."""
    place = place_of(whole, "birth", 3)
    one = whole[place]
    about = {key: value for key, value in keys.items() if key in ("purpose", "batch")}
    birth = replace(one.birth, **{key: value for key, value in keys.items() if key not in about})
    line = refusal(changed(whole, place, birth=birth, **about))
    there, _, now = line.partition(" was chosen there, and ")
    assert there.removeprefix(f"the record, event {place + 1}: ") != now.partition(" is now: ")[0]


def test_another_candidate_that_was_promoted_is_told(whole):
    place = place_of(whole, "promotion")
    other = (whole[place].candidate + 1) % 3
    assert refusal(changed(whole, place, candidate=other)).startswith(
        f"the record, event {place + 1}: candidate {other} ("
    )


def test_a_job_beyond_the_end_is_told(whole):
    job = max(one.job for one in whole if isinstance(one, Asked)) + 1
    more = replace(whole[place_of(whole, "promotion")], job=job)
    line = refusal([*whole, more])
    assert line.startswith(f"the record, event {len(whole) + 1}: candidate {more.candidate} (")
    assert " was chosen there, and nothing is now: " in line


def test_results_that_were_told_otherwise_lead_to_other_choices(whole):
    """The first candidates were bad, and become parents all the same."""
    events = [replace(one, psnr_y=1.0 if one.job % 2 else 99.0) if isinstance(one, Finished) else one for one in whole]
    assert " was chosen there, and candidate " in refusal(events)


def test_a_promotion_of_a_candidate_that_was_never_asked_for_is_damage(whole):
    place = place_of(whole, "promotion")
    assert refusal(changed(whole, place, candidate=99)) == (
        f"the record, event {place + 1}: job {whole[place].job} is of candidate 99, which was never asked for; the "
        "record is damaged"
    )


def test_a_result_of_a_job_that_is_not_under_way_is_damage(whole):
    place = next(place for place, one in enumerate(whole) if isinstance(one, Finished))
    line = refusal(changed(whole, place, job=999))
    assert line.startswith(f"the record, event {place + 1}: cannot follow on those before it: job 999 is not under way")


def test_a_job_before_the_run_began_is_damage(whole):
    assert isinstance(whole[0], RunBegan)
    assert refusal(whole[1:]) == (
        "the record, event 1: a job was asked for before the run began; the record is damaged"
    )


def test_a_configuration_that_does_not_read_is_told_with_its_event(whole):
    broken = {**whole[0].config, "evolution": {"num_elitism": 9, "num_individual": 4}}
    line = refusal(changed(whole, 0, config=broken))
    assert line.startswith("the record, event 1: evolution: num_elitism (9) is greater than num_individual (4)")


@pytest.mark.parametrize("networks", [[], [["S_1_4_4"]]])
def test_a_record_of_no_search_is_told(networks):
    keys = {"networks": networks, "pipeline": ["full_training"]} if networks else {}
    config = check_config({"data": {"hr": "x"}, **keys}, "my.yml").model_dump(mode="json")
    assert refusal([RunBegan(0, config=config)]) == (
        "the record: is the record of no search: nothing was asked for in it"
    )


def test_a_journal_of_the_format_before_is_told_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    monkeypatch.setattr("esr_ray.runs.journal.FORMAT", 1)
    with Journal(path) as journal:
        journal.append("run", {"seed": 0})
    monkeypatch.undo()
    with pytest.raises(UserError) as caught:
        replayed(path)
    assert str(caught.value) == (
        f"{path}: begins in format 1, of the search before this one, whose choices cannot be made again; it can be "
        "gone on with (--resume)"
    )


# The command.


@pytest.fixture
def run(case):
    """The folder of a run whose search is done."""
    case.set("evolution.num_generation", 6)
    folder = case.run_folder()
    config = absolute_paths(check_config(case.content, "my.yml"))
    space = space_of(config)
    search(folder.journal, config, InProcess(World()), space)
    return folder


def test_the_command_says_how_many_choices_were_made_again(run, case, capsys):
    content = run.journal.read_bytes()
    assert main(["--replay", str(run.path)]) == 0
    assert capsys.readouterr().out == f"{run.path}: 12 choices made again: all the same; nothing was trained\n"
    # It goes on for longer, and in another space.
    case.set("evolution.num_generation", 7).set("space.node_num", 4)
    config = absolute_paths(check_config(case.content, "my.yml"))
    search(run.journal, config, InProcess(World()), make_space(config.space, 2))
    assert main(["--replay", str(run.path)]) == 0
    assert capsys.readouterr().out == (
        f"{run.path}: 14 choices made again, over 2 beginnings and resumptions: all the same; nothing was trained\n"
    )
    assert run.journal.read_bytes().startswith(content)


def test_the_command_replays_with_the_users_own_blocks(case, capsys, block_types):
    text = (
        'LETTER = "R"\n'
        "def cost(convs, growth, out, in_channels):\n    return 9 * in_channels * out + out, 9 * in_channels * out\n"
        "def build(convs, growth, out, in_channels):\n    raise NotImplementedError\n"
    )
    block = case.path / "mine.py"
    block.write_text(text)
    case.set("space.user_blocks", [str(block)]).set("space.block_types", ["S", "R"])
    folder = case.run_folder()
    folder.blocks.mkdir()
    (folder.blocks / "mine.py").write_text(text)
    # The original may be gone since.
    block.unlink()
    load_user_block(folder.blocks / "mine.py")
    config = absolute_paths(check_config(case.content, "my.yml"))
    state, _ = search(folder.journal, config, InProcess(World()), make_space(config.space, 2))
    assert any(name.startswith("R") for one in state.candidates.values() for name in one.arch)
    assert main(["--replay", str(folder.path)]) == 0
    assert "4 choices made again: all the same" in capsys.readouterr().out


def test_the_command_refuses_a_damaged_record_in_one_line(run, fails):
    lines = run.journal.read_text().splitlines()
    good = lines[4]
    lines[4] = good[: len(good) // 2]
    run.journal.write_text("\n".join(lines) + "\n")
    assert fails("--replay", run.path).startswith(f"{run.journal}, line 5: is damaged, or not the one that followed")
    # A line that reads, and whose content was changed.
    lines[4] = json.dumps({**json.loads(good), "seed": 5})
    run.journal.write_text("\n".join(lines) + "\n")
    assert fails("--replay", run.path).startswith(f"{run.journal}, line 5: is damaged, or ")


def test_the_command_refuses_a_folder_that_is_no_run(fails, tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        assert fails("--replay", path) == (
            f"{path}: is not a run folder (it has no config.yml); give the folder of a run"
        )


def test_replay_goes_alone(run, case, fails):
    for others in ([case.write()], ["--resume", run.path], ["--set", "seed=1"], ["--seed-from", run.path]):
        assert fails("--replay", run.path, *others).startswith("--replay RUN_DIR goes alone: ")
