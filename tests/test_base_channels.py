"""Several base channels (G0): a search chooses among them, and each network names its own."""

from dataclasses import replace

import pytest
from strategies import small_space
from worlds import PROMOTION, RACE, FirstInFirstOut, InProcess, World, events_of, make_config, records, search

from esr_ray.api.planned import new_search, new_training
from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.errors import UserError
from esr_ray.plan import check_experiment
from esr_ray.runs.folder import RunFolder, check_same_experiment, create
from esr_ray.runs.replay import replay_run
from esr_ray.runs.searched import searched_networks
from esr_ray.search.growing import growing
from esr_ray.search.make import make_algorithm
from esr_ray.search.objectives import OBJECTIVES
from esr_ray.space.genome import decode
from esr_ray.space.space import make_space
from esr_ray.space.spec import NetworkSpec, split_frame
from esr_ray.tasks.make import network_spec
from esr_ray.training.result import DeviceCost

FRAMES = [8, 4, 12]
SPACE = small_space(base_channels=tuple(FRAMES))
BLOCKS = ("S_1_4_8", "S_2_8_8")
PARTS = {"promotion": PROMOTION, "race": RACE, "predictor": "ridge", "objectives": ["psnr", "mult_adds"]}


def config_of(case, base_channels, **keys):
    case.set("space.base_channels", base_channels)
    for key, value in keys.items():
        case.set(key.replace("__", "."), value)
    return absolute_paths(check_config(case.content, "my.yml"))


def run_of(case, base_channels, name):
    """A run whose search is done."""
    config = config_of(case, base_channels, output__name=name)
    folder = RunFolder(case.path / "runs" / name)
    create(folder, config, {})
    search(folder.journal, config, InProcess(World()), make_space(config.space, 2))
    return folder


# The search.


@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_a_search_tries_all_and_is_the_same_if_it_is_interrupted_or_replayed(fresh, schedule):
    config = make_config(generations=8, individuals=6, schedule=schedule, **PARTS)
    whole = fresh()
    expected, _ = search(whole, config, FirstInFirstOut(World(noise=4), devices=2), SPACE)
    candidates = expected.candidates.values()
    assert {one.genome.frame for one in candidates} == set(FRAMES)
    assert all(SPACE.holds(one.arch) and decode(one.genome) == one.arch for one in candidates)
    assert all(one.params == SPACE.cost(one.arch).params for one in candidates)
    assert len({one.arch for one in candidates}) == len(candidates)
    lines = whole.read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines), 7):
        path = fresh()
        path.write_bytes(b"".join(lines[:count]))
        state, _ = search(path, config, FirstInFirstOut(World(noise=4), devices=2), SPACE)
        assert records(path) == records(whole), count
        assert state == expected, count
    replayed = replay_run(whole, lambda config: make_algorithm(config, SPACE))
    assert replayed.choices == len(events_of(whole, "asked"))


def test_latency_is_predicted_by_the_blocks_alone(fresh):
    state, _ = search(fresh(), make_config(generations=4), InProcess(World()), SPACE)
    giga = {job: state.jobs[job].candidate.mult_adds / 1e9 for job in state.outcomes}
    measured = list(giga)[:10]
    told = {
        job: replace(one, cost=DeviceCost(giga[job])) if job in measured else one for job, one in state.outcomes.items()
    }
    wanted = [job for job in giga if job not in measured]
    ids = tuple(state.jobs[job].candidate.id for job in wanted)
    predicted = OBJECTIVES["latency"].values(replace(state, outcomes=growing(told)), ids)
    assert predicted == pytest.approx([giga[job] for job in wanted], rel=0.2)


# Networks by their names.


def test_a_network_is_made_with_the_channels_that_it_names(case):
    fixed, several = config_of(case, 8), config_of(case, FRAMES)
    assert network_spec(("G0_12", *BLOCKS), several) == NetworkSpec(BLOCKS, 12, 2, "nearest")
    # A network of another run is what it was there.
    assert network_spec(("G0_12", *BLOCKS), fixed) == NetworkSpec(BLOCKS, 12, 2, "nearest")
    assert network_spec(BLOCKS, fixed) == NetworkSpec(BLOCKS, 8, 2, "nearest")


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (["S_1_4_8"], "networks[0]: names no base channels, and space.base_channels has several; put them before the "
         "blocks, such as G0_8"),
        (["G0_8"], "networks[0]: G0_8: has no blocks"),
        (["G0_10", "S_1_4_8"], "networks[0]: G0_10: 10 must be divisible by 4 for scale 2: the upsampler has 3/4 of "
         "it"),
        (["G0_9000", "S_1_4_8"], "networks[0]: G0_9000: 9000 must be from 4 to 4,096"),
    ],
)  # fmt: skip
def test_networks_to_train_say_their_channels(case, fails, arch, message):
    config_of(case, FRAMES, pipeline=["full_training"], networks=[arch])
    assert fails("--dry-run", case.write()) == message


def test_a_search_begins_with_those_of_its_frames(case):
    founders = [["G0_12", *BLOCKS], ["G0_16", *BLOCKS], list(BLOCKS), ["G0_4", *BLOCKS]]
    config = config_of(case, FRAMES, evolution__founders=founders)
    algorithm = make_algorithm(config, make_space(config.space, 2))
    assert [decode(one) for one in algorithm.founders] == [("G0_12", *BLOCKS), ("G0_4", *BLOCKS)]
    folder = RunFolder(case.path / "new")
    (note,) = check_experiment(config, folder, False, False).search_notes
    assert note == "2 of 4 networks to begin with are in this space; the others are left out"
    # Where there is but one number they are called without it.
    config = config_of(case, 12)
    algorithm = make_algorithm(config, make_space(config.space, 2))
    assert [decode(one) for one in algorithm.founders] == [BLOCKS]


@pytest.mark.parametrize(("before", "after"), [(8, FRAMES), (FRAMES, 4), (FRAMES, [8, 4]), (8, 8)])
def test_a_search_begins_with_the_networks_of_another_run_whichever_way_they_are_named(case, before, after):
    first = run_of(case, before, "first")
    config_of(case, after, output__name="second")
    planned = new_search(case.write(), [], pytest.fail, first.path)
    space = make_space(planned.config.space, 2)
    found = [split_frame(arch) for arch in searched_networks(first.path, 2, framed=True)]
    kept = [(frame, blocks) for frame, blocks in found if frame in planned.config.space.frames]
    # Of the two best of several base channels, one has 4 and one has not.
    assert len(kept) == (1 if before == FRAMES else 2)
    begun = [decode(one) for one in make_algorithm(planned.config, space).founders]
    assert [space.parts(arch) for arch in begun] == kept


def test_the_best_of_a_run_are_trained_as_they_are(case):
    first = run_of(case, FRAMES, "first")
    planned = new_training(None, [], pytest.fail, sources=[first.path], best=2)
    assert list(planned.config.networks) == searched_networks(first.path, 2)
    assert all(split_frame(arch)[0] in FRAMES for arch in planned.config.networks)


@pytest.mark.parametrize(("before", "after"), [(8, 12), (8, [8, 12]), (FRAMES, 12), (FRAMES, [12, 16])])
def test_beside_another_configuration_networks_of_a_run_are_what_they_were_there(case, before, after):
    first = run_of(case, before, "first")
    built = {network_spec(arch, config_of(case, before)) for arch in searched_networks(first.path, 3)}
    config = config_of(case, after)
    given = case.write()
    planned = new_training(given, [], pytest.fail, sources=[first.path], best=3)
    assert {network_spec(arch, config) for arch in planned.config.networks} == built
    check_experiment(planned.config, planned.folder, False, False)


def test_one_network_of_two_names_is_trained_once(case):
    config_of(case, 8)
    planned = new_training(case.write(), [], pytest.fail, [("G0_8", *BLOCKS), BLOCKS, ("G0_12", *BLOCKS)])
    assert planned.config.networks == (BLOCKS, ("G0_12", *BLOCKS))
    config = config_of(case, 8, evolution__founders=[["G0_8", *BLOCKS], list(BLOCKS)])
    (note,) = check_experiment(config, RunFolder(case.path / "new"), False, False).search_notes
    assert note == "1 networks to begin with"


def test_a_list_of_the_references_may_name_base_channels(case, tmp_path):
    path = tmp_path / "arch.txt"
    path.write_text("30.5,1,2,['G0_12', 'S_1_4_8', 'S_2_8_8']\n29.0,1,2,['S_1_4_8']\n31.0,1,2,['G0_12']\n")
    with pytest.raises(UserError, match="line 3: does not end in a list of blocks"):
        searched_networks(path, 2)
    path.write_text("30.5,1,2,['G0_12', 'S_1_4_8', 'S_2_8_8']\n29.0,1,2,['S_1_4_8']\n")
    assert searched_networks(path, 2) == [("G0_12", *BLOCKS), ("S_1_4_8",)]
    config = config_of(case, FRAMES, evolution__founders=[["S_1_4_8"]])
    with pytest.raises(UserError, match="they name no base channels: put them first, such as G0_8"):
        check_experiment(config, RunFolder(case.path / "new"), False, False)


# Going on.


def test_of_several_others_may_be_given_on_resume(case):
    folder = RunFolder(case.path / "first")
    several = config_of(case, FRAMES)
    check_same_experiment(several, config_of(case, [8, 16]), folder)
    check_same_experiment(config_of(case, 8), config_of(case, [8]), folder)
    for before, after in ((FRAMES, 8), (FRAMES, [8]), (8, FRAMES), (8, 12)):
        with pytest.raises(UserError, match=r"space\.base_channels is .* may become another list where both have two"):
            check_same_experiment(config_of(case, before), config_of(case, after), folder)


def test_networks_of_channels_that_are_no_more_there_are_left_out(case):
    folder = run_of(case, FRAMES, "first")
    config = config_of(case, [4, 16], output__name="first")
    (note,) = check_experiment(config, folder, False, True).search_notes
    assert note.endswith("trained networks are not in the changed space: left out")
    state, _ = search(folder.journal, config, InProcess(World()), make_space(config.space, 2))
    view = make_algorithm(config, make_space(config.space, 2)).view(state)
    assert {split_frame(state.candidates[one].arch)[0] for one in view.ids} <= {4, 16}
    # What is taken from the run is what counts there now.
    create(folder, config, {})
    assert {split_frame(arch)[0] for arch in searched_networks(folder.path, 20)} == {4}
    config = config_of(case, [16, 20], output__name="first")
    with pytest.raises(UserError, match="has trained is in the changed space; begin a new run"):
        check_experiment(config, folder, False, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "space: base_channels: must be 1 to 16 different numbers"),
        ([8, 8], "space: base_channels: must be 1 to 16 different numbers"),
        (
            list(range(4, 72, 4)),
            "space: base_channels: must be 1 to 16 different numbers",
        ),
        ("8", "space.base_channels: must be a valid integer or a list, got '8'"),
        ([8, "a"], "space.base_channels: must be a valid integer, got [8, 'a']"),
    ],
)
def test_what_is_no_choice_is_one_line(case, given, message):
    with pytest.raises(UserError) as caught:
        config_of(case, given)
    assert str(caught.value) == f"my.yml: {message}"
