"""The command on what a search is asked for, beginning with the networks of another run, and going on in another space.

What is wrong is one line with status 2, before Ray starts, and a run that cannot go on stays as it was.
"""

from contextlib import nullcontext
from dataclasses import replace

import pytest
from worlds import InProcess, World, search

from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.plan import check_experiment
from esr_ray.runs.folder import RunFolder, create
from esr_ray.runs.searched import searched_networks
from esr_ray.search.__main__ import main
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.space.space import make_space
from esr_ray.training.result import DeviceCost

KNOWN = "'psnr', 'ssim', 'params', 'mult_adds', 'latency' or 'memory'"
DRY = pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["", "dry-run"])


def config_of(case):
    return absolute_paths(check_config(case.content, "my.yml"))


class Measuring(World):
    """Each network is also measured on its device."""

    def trained(self, job, wrong=0):
        return replace(super().trained(job, wrong), cost=DeviceCost(0.1, 0.01, 20.0))


def run_of(case, name="first", world=None):
    """A run of the case's configuration whose search is done."""
    case.set("output.name", name)
    config = config_of(case)
    folder = RunFolder(case.path / "runs" / name)
    create(folder, config, {})
    search(folder.journal, config, InProcess(world or World()), make_space(config.space, 2))
    return folder


def content_of(folder):
    """All that lies in a run folder."""
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture
def started(monkeypatch):
    """What the command would begin or go on with: its configuration and what checking that has found."""
    found = []

    def run(planned, address, dry_run, console):
        found.append((planned.config, check_experiment(planned.config, planned.folder, True, planned.resume)))
        return 0

    monkeypatch.setattr("esr_ray.search.__main__.run_planned", run)

    def command(*arguments):
        assert main([str(one) for one in arguments]) == 0
        return found[-1]

    return command


# What the search is asked for.


@DRY
@pytest.mark.parametrize("which", ["best2", "front:0", "front:", "knees"])
def test_networks_to_train_that_are_none_of_the_three_are_told(fails, case, which, options):
    case.set("full_training.networks", which)
    line = fails(case.write(), *options)
    assert line.startswith(f"{case.file}: full_training.networks: ")
    assert which in line


@DRY
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"objectives": ["psnr", "latncy"]},
            f"evolution.objectives.1: must be {KNOWN}, got 'latncy'; did you mean latency?",
        ),
        (
            {"objectives": ["psnr", "beauty"]},
            f"evolution.objectives.1: must be {KNOWN}, got 'beauty'",
        ),
        ({"objectives": ["psnr", "params", "psnr"]}, "evolution: objectives: psnr stands twice"),
        (
            {"objectives": ["params", "mult_adds"]},
            "evolution: objectives: give psnr or ssim among them, or the smallest network wins",
        ),
        ({"objectives": []}, "evolution: objectives: give psnr or ssim among them, or the smallest network wins"),
        (
            {"promotion": {"lengths": [1]}},
            "evolution.promotion: lengths has one length, there is nothing to promote to: give two, or promotion: null",
        ),
        (
            {"promotion": {"lengths": [2, 4]}},
            "evolution.promotion: lengths must begin with 1 and ascend, got [2.0, 4.0]",
        ),
        ({"promotion": {"lengths": []}}, "evolution.promotion: lengths must begin with 1 and ascend, got []"),
        (
            {"promotion": {"lengths": [1, 3, 2]}},
            "evolution.promotion: lengths must begin with 1 and ascend, got [1.0, 3.0, 2.0]",
        ),
        ({"promotion": {"keep": 1.0}}, "evolution.promotion.keep: must be less than 1, got 1.0"),
        (
            {"num_elitism": 3, "num_individual": 2},
            "evolution: num_elitism (3) is greater than num_individual (2): the first generation could not fill the "
            "elite",
        ),
        ({"race": {"share": 1.0}}, "evolution.race.share: must be less than 1, got 1.0"),
        ({"race": {"share": 0}}, "evolution.race.share: must be greater than 0, got 0"),
        ({"race": {"confidence": 0.5}}, "evolution.race.confidence: must be greater than 0.5, got 0.5"),
        ({"predictor": "rigde"}, "evolution.predictor: must be 'ridge', got 'rigde'; did you mean ridge?"),
        (
            {"schedule": "stedy"},
            "evolution.schedule: must be 'steady' or 'generational', got 'stedy'; did you mean steady?",
        ),
    ],
)
def test_what_cannot_be_searched_for_is_told(fails, case, keys, expected, options):
    for key, value in keys.items():
        case.set(f"evolution.{key}", value)
    assert fails(case.write(), *options) == f"{case.file}: {expected}"


@DRY
def test_lengths_that_are_the_same_in_steps_are_told_before_ray_starts(fails, case, options):
    case.set("fast_training.steps", 4).set("evolution.promotion", {"lengths": [1, 2.9, 3.1]})
    assert fails(case.write(), *options) == (
        f"{case.file}: evolution.promotion.lengths: [1.0, 2.9, 3.1] times fast_training.steps (4) are [4, 12, 12] "
        "steps: two lengths are the same"
    )
    case.set("fast_training.steps", 10)
    config_of(case)


@DRY
@pytest.mark.parametrize(
    "keys", [{"objectives": ["psnr", "latency"]}, {"objectives": ["psnr", "memory"]}, {"max_latency_ms": 20.0}]
)
def test_latency_of_npus_that_are_only_imitated_is_told_before_ray_starts(fails, case, keys, options):
    case.set("runtime.resource", "NPU").set("runtime.target", "cpu")
    config_of(case)
    for key, value in keys.items():
        case.set(f"evolution.{key}", value)
    assert fails(case.write(), *options) == (
        f"{case.file}: evolution.objectives: latency and memory of NPUs cannot be measured where runtime.target is "
        "cpu: they would be those of this CPU; leave them out (params and mult_adds are exact anywhere), or set "
        "runtime.resource to CPU"
    )
    # On either by itself they can.
    case.set("runtime.resource", "CPU")
    config_of(case)
    case.set("runtime.resource", "NPU").set("runtime.target", "auto")
    config_of(case)


# Beginning with the networks of another run.


def test_a_search_begins_with_the_best_of_another_run(case, started):
    case.set("evolution.num_generation", 4)
    other = run_of(case, "other")
    best = searched_networks(other.path, 2)
    case.set("output.name", "second").set("evolution.schedule", "steady")
    config, checked = started(case.write(), "--seed-from", other.path)
    assert config.evolution.founders == tuple(best)
    assert checked.search_notes[0] == "2 networks to begin with"
    jobs = make_algorithm(config, checked.space).ask(State(), 4)
    assert [job.candidate.arch for job in jobs[:2]] == best
    assert [job.candidate.operator for job in jobs] == ["founder", "founder", "random", "random"]
    # What a run began with is part of its configuration: it goes on without the other one.
    assert check_config(config.model_dump(mode="json"), "again") == config


def test_founders_of_the_configuration_stand_before_those_of_the_other_run(case, started):
    other = run_of(case, "other")
    case.set("output.name", "second").set("evolution.founders", [["S_2_8_8"]])
    config, _ = started(case.write(), "--seed-from", other.path)
    assert config.evolution.founders == (("S_2_8_8",), *searched_networks(other.path, 2))


def test_networks_of_another_run_that_the_space_does_not_hold_are_left_out_and_said(case, started):
    case.set("evolution.num_individual", 6)
    other = run_of(case, "other")
    archs = searched_networks(other.path, 6)
    case.set("output.name", "second").set("space.node_num", 2)
    held = [arch for arch in archs if len(arch) <= 2]
    assert 0 < len(held) < 6
    config, checked = started(case.write(), "--seed-from", other.path)
    assert checked.search_notes[0] == (
        f"{len(held)} of 6 networks to begin with are in this space; the others are left out"
    )
    jobs = make_algorithm(config, checked.space).ask(State(), 6)
    assert [job.candidate.arch for job in jobs if job.candidate.operator == "founder"] == held


@DRY
def test_networks_none_of_which_the_space_holds_are_an_error(fails, case, options):
    other = run_of(case, "other")
    case.set("output.name", "second").set("space.conv_num", [3])
    assert fails(case.write(), "--seed-from", other.path, *options) == (
        "evolution.founders: none of the 2 networks is in this space (blocks, nodes, budget, base channels); widen the "
        "space, or begin without them"
    )
    assert not (case.path / "runs" / "second").exists()


def test_the_references_list_of_networks_can_be_begun_with(case, started):
    path = case.path / "arch.txt"
    path.write_text("36.5,516.3,0.0,\"['S_1_4_4', 'S_2_8_8']\"\n37.1,500.0,0.0,\"['S_2_4_8']\"\n")
    config, checked = started(case.write(), "--seed-from", path)
    assert config.evolution.founders == (("S_2_4_8",), ("S_1_4_4", "S_2_8_8"))
    assert checked.search_notes[0] == "2 networks to begin with"


def test_beginning_from_a_run_and_going_on_with_one_are_two_things(fails, case):
    folder = run_of(case)
    assert fails("--resume", folder.path, "--seed-from", folder.path) == (
        "--seed-from begins a new run: it does not go with --resume"
    )
    assert fails(case.write(), "--seed-from", case.path / "none") == (
        f"{case.path / 'none'}: there is no such run folder or arch.txt"
    )


# Going on in another space.


def test_what_a_changed_space_does_not_hold_is_said(case, started):
    case.set("evolution.num_individual", 6)
    folder = run_of(case)
    held = [arch for arch in searched_networks(folder.path, 12) if len(arch) <= 2]
    assert 0 < len(held) < 12
    _, checked = started("--resume", folder.path, "--set", "space.node_num=2")
    assert checked.search_notes[0] == f"{12 - len(held)} of 12 trained networks are not in the changed space: left out"
    _, checked = started("--resume", folder.path, "--set", "space.node_num=9")
    assert not any("left out" in note for note in checked.search_notes)


def test_networks_that_a_run_began_with_need_not_be_in_the_space_in_which_it_goes_on(case, started):
    case.set("evolution.founders", [["S_1_4_4", "S_1_4_4", "S_1_4_4"]]).set("evolution.num_individual", 6)
    folder = run_of(case)
    _, checked = started("--resume", folder.path, "--set", "space.node_num=2")
    assert checked.search_notes[0] == "0 of 1 networks to begin with are in this space; the others are left out"
    assert "trained networks are not in the changed space: left out" in checked.search_notes[1]


def test_latency_is_measured_with_pictures_of_one_size_throughout_a_run(case, fails, started):
    case.set("evolution.objectives", ["psnr", "latency"])
    folder = run_of(case, world=Measuring())
    before = content_of(folder)
    change = "evolution.latency_size=[64, 80]"
    assert fails("--resume", folder.path, "--set", change) == (
        f"evolution.latency_size: networks of {folder.path} were measured with [180, 320], and others cannot be "
        "compared with them at [64, 80]; leave it, or begin a new run (--seed-from)"
    )
    assert content_of(folder) == before
    # Where nothing was measured yet it may be any.
    other = run_of(case, "other")
    more = ("--set", "evolution.num_generation=9")
    assert started("--resume", other.path, "--set", change, *more)[0].evolution.latency_size == (64, 80)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("evolution.objectives=[psnr, latency]", "latency"),
        ("evolution.max_latency_ms=20", "latency"),
        ("evolution.max_memory_mb=20", "memory"),
    ],
)
def test_a_finished_run_can_be_gone_on_with_for_latency_only_where_some_will_be_measured(
    case, fails, started, change, name
):
    folder = run_of(case)
    before = content_of(folder)
    assert fails("--resume", folder.path, "--set", change) == (
        f"evolution: {name} was measured of no network of {folder.path}, and no training is left in which it would be; "
        "raise evolution.num_generation"
    )
    assert content_of(folder) == before
    _, checked = started("--resume", folder.path, "--set", change, "--set", "evolution.num_generation=9")
    assert checked.search_notes == (
        f"{name} was measured of no network yet: it is of those that are trained from now on",
    )
    measured = run_of(case, "measured", Measuring())
    assert started("--resume", measured.path, "--set", change)[1].search_notes == ()


def test_the_run_is_told_what_was_found_and_not_only_a_dry_run(case, monkeypatch):
    case.set("evolution.num_individual", 6)
    folder = run_of(case)
    begun = []

    def begin(setup):
        begun.append(setup)
        raise KeyboardInterrupt

    monkeypatch.setattr("esr_ray.runtime.client.start_driver", begin)
    monkeypatch.setattr("esr_ray.runtime.client.connection", lambda address: nullcontext())
    assert main(["--resume", str(folder.path), "--set", "space.node_num=2"]) == 130
    (note,) = begun[0].notes
    assert note.endswith("of 12 trained networks are not in the changed space: left out")


@DRY
@pytest.mark.parametrize("change", ["space.conv_num=[3]", "space.block_types=[C]"])
def test_a_space_that_leaves_nothing_is_an_error_and_the_run_stays_as_it_was(fails, case, change, options):
    folder = run_of(case)
    before = content_of(folder)
    assert fails("--resume", folder.path, "--set", change, *options) == (
        f"space: none of the 4 networks that {folder.path} has trained is in the changed space; begin a new run"
    )
    assert content_of(folder) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("space.base_channels=16", "space.base_channels is 8 there and 16 here"),
        ("space.global_skip=none", "space.global_skip is 'nearest' there and 'none' here"),
        ("space.user_blocks=[/mine.py]", "space.user_blocks is [] there and ['/mine.py'] here"),
    ],
)
def test_what_would_make_other_networks_of_the_same_blocks_may_not_change(fails, case, change, told):
    folder = run_of(case)
    before = content_of(folder)
    line = fails("--resume", folder.path, "--set", change)
    assert line.startswith(f"{folder.path}: is a run of another configuration: {told}; only ")
    assert content_of(folder) == before


def test_a_run_that_goes_on_is_checked_before_anything_is_written(fails, case):
    """Each of what may change on resume, and is wrong."""
    folder = run_of(case)
    before = content_of(folder)
    for change in (
        "space.min_active=9",
        "space.max_params=10",
        "evolution.objectives=[psnr, psnr]",
        "evolution.num_elitism=9",
        "space.block_types=[Q]",
        "benchmarks=[{name: Set5, hr: /none}]",
        "output.dir=",
    ):
        fails("--resume", folder.path, "--set", change)
        assert content_of(folder) == before, change
