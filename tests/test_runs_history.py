"""What a journal says of a run, made by replay, and the population file and closing line that are made from it."""

import ast
import json
from dataclasses import asdict

import pytest
from strategies import small_space
from worlds import PAPER

from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.metrics import Quality
from esr_ray.runs.events import (
    Asked,
    Closed,
    Dropped,
    Failed,
    Finished,
    Lost,
    Reported,
    Resumed,
    Retried,
    RunBegan,
    Started,
    TrainingBegan,
    TrainingEnded,
    Validated,
    decode,
    encode,
)
from esr_ray.runs.history import replay
from esr_ray.runs.journal import Journal
from esr_ray.runs.population import front_json, population_lines
from esr_ray.runs.record import Record, read_events, read_history
from esr_ray.runs.result import closing_line, networks_json, report_rows, result_json
from esr_ray.search.events import Birth
from esr_ray.search.job import Candidate, Outcome
from esr_ray.search.make import make_algorithm
from esr_ray.space.genome import Genome
from esr_ray.training.result import DeviceCost, Seconds

SECONDS = Seconds(1.0, 2.0, 0.5)


def block(number):
    return f"S_1_8_{number + 1}"


def candidate(number):
    genome = Genome((True, False, True), ("S_1_4_4", block(number), "C_1_4_8"))
    return Candidate(number, genome, ("S_1_4_4", "C_1_4_8"), "random", (), 12_345, 6_789_000)


def asked(job, number=None, steps=5, **more):
    """A first job of a candidate where `number` is not given, else a further one."""
    about = {"job": job, "candidate": job if number is None else number, "steps": steps, "seed": 3, "batch": 0, **more}
    if number is not None:
        return Asked(**{"purpose": "promotion", **about})
    genome = ((1, "S_1_4_4"), (0, block(job)), (1, "C_1_4_8"))
    birth = Birth(genome, ("S_1_4_4", "C_1_4_8"), "random", (), 12_345, 6_789_000)
    return Asked(purpose="birth", birth=birth, **about)


def finished(job, psnr=30.0, number=None, cost=None):
    about = {} if cost is None else {"cost": cost}
    of = job if number is None else number
    return Finished(job, of, psnr, psnr - 1, 0.9, SECONDS, ((1, 0.5),), "plain", "core 0", "here", **about)


def started(job):
    return Started(job, "core 0", "here", 1)


def births(count):
    return [asked(job) for job in range(count)]


def test_candidates_and_jobs_come_back_as_they_were():
    events = [asked(0), asked(1), finished(0), asked(2, 0, steps=15, batch=2)]
    history = replay(decode(json.loads(json.dumps(encode(one)))) for one in events)
    assert history.state.candidates == {0: candidate(0), 1: candidate(1)}
    assert {job: (one.candidate.id, one.steps) for job, one in history.state.jobs.items()} == {
        0: (0, 5),
        1: (1, 5),
        2: (0, 15),
    }
    assert history.state.jobs[2].purpose == "promotion"
    assert history.state.jobs[2].batch == 2
    assert history.state == replay(events).state


EVERY_KIND = [
    RunBegan(3, "here", {"ray": "2"}, {"cpu": "x"}, "abc", {"seed": 3}),
    asked(0),
    asked(1, 0),
    started(0),
    finished(0),
    finished(1, cost=DeviceCost(0.1, 0.01, 5.0), number=0),
    Failed(2, "raised"),
    Lost(2, "died"),
    Dropped(3),
    Retried(2),
    Resumed(True),
    TrainingBegan(5, 2, "front_01"),
    Validated(5, 30.0, 29.0, 0.9),
    TrainingEnded(None, ("S_1_4_4",), {"steps": 3}, "checkpoints/final.ckpt", SECONDS, ((1, 0.5),), "plain"),
    Reported([{"name": "Set5"}], 2.0, [{"name": "test"}]),
    Closed("error", "the disk is full"),
]


def test_every_kind_of_event_comes_back_from_the_journal_as_it_was(tmp_path):
    with Journal(tmp_path / "j") as journal:
        for event in EVERY_KIND:
            content = encode(event)
            journal.append(content.pop("event"), content, sync=False)
    with Journal(tmp_path / "j") as journal:
        assert [decode(line) for line in journal.found] == EVERY_KIND


def test_what_a_later_version_adds_to_an_event_passes():
    content = {**encode(finished(0)), "more": 1}
    content["seconds"]["more"] = 2
    assert decode(content) == finished(0)


@pytest.mark.parametrize("by", ["score", "loss", "", "event", None, ["psnr_y"]])
def test_a_result_that_is_judged_by_a_figure_that_it_does_not_have_is_none(by):
    with pytest.raises(ValueError, match="by"):
        decode({**encode(finished(0)), "by": by})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_result_that_is_no_number_is_none(value):
    with pytest.raises(ValueError, match=r"psnr_y: .* is not a finite number"):
        decode({**encode(finished(0)), "psnr_y": value})


def test_an_event_that_is_unknown_is_told_in_one_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    with pytest.raises(UserError) as caught:
        read_events([{"v": 3, "event": "fin\nished\r\u2028"}], path)
    assert str(caught.value).startswith(f"{path}, event 1: is not one that this version knows: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"event": "something"}, r"'something': .*'asked'"),
        ({"psnr_y": "x"}, r"'finished': finished\.psnr_y: "),
        ({"seconds": None}, r"'finished': finished\.seconds: "),
    ],
)
def test_what_is_no_event_of_this_version_is_told_in_one_line(tmp_path, change, told):
    """It may decide what the search does next: read past, the state would be another one than was recorded."""
    content = {**encode(finished(0)), **change}
    with Journal(tmp_path / "j") as journal:
        journal.append("run", {"seed": 3})
        journal.append(content.pop("event"), content)
    with pytest.raises(UserError, match=r"j, event 2: is not one that this version knows: " + told) as caught:
        read_history(tmp_path / "j")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "event",
    [finished(0), Failed(1, "raised"), Dropped(1), Retried(0), asked(2, 7)],
    ids=["ended before", "never asked for", "never asked for, dropped", "has not failed", "of no candidate"],
)
def test_an_event_that_cannot_follow_is_told_in_one_line(tmp_path, event):
    with Journal(tmp_path / "j") as journal:
        record = Record(journal)
        for one in (asked(0), finished(0)):
            record.append(one)
        content = encode(event)
        journal.append(content.pop("event"), content)
    with pytest.raises(
        UserError, match=r"j, event 3: cannot follow on those before it: .*; restore the file"
    ) as caught:
        read_history(tmp_path / "j")
    assert "\n" not in str(caught.value)
    with Journal(tmp_path / "j") as journal, pytest.raises(UserError, match="event 3"):
        Record(journal)


def test_a_record_goes_on_where_it_was_left(tmp_path):
    events = [RunBegan(3), *births(2), started(0), started(1), finished(0)]
    for event in events:
        with Journal(tmp_path / "j") as journal:
            record = Record(journal)
            record.append(event)
    assert record.history.state == replay(events).state == read_history(tmp_path / "j").state
    assert (record.attempts(0), record.attempts(1), record.attempts(2)) == (1, 1, 0)
    assert record.history.under_way == {1}


def test_outcomes_are_those_of_each_end():
    events = [*births(4), finished(0, 31.5), Failed(1, "diverged"), Failed(2, "raised"), Retried(2), finished(2)]
    state = replay(events).state
    assert state.outcomes == {
        0: Outcome(0, Quality(31.5, 30.5, 0.9)),
        1: Outcome(1, reason="diverged"),
        2: Outcome(2, Quality(30.0, 29.0, 0.9)),
    }
    assert state.failed == {1}
    assert state.pending == {3}


def test_outcomes_are_in_the_order_in_which_they_were_told():
    assert list(replay([*births(3), finished(2), finished(0), Failed(1, "raised")]).state.outcomes) == [2, 0, 1]


def test_what_a_network_costs_on_its_device_is_kept():
    cost = DeviceCost(0.02, 0.001, 40.0)
    state = replay([*births(1), decode(json.loads(json.dumps(encode(finished(0, cost=cost)))))]).state
    assert state.outcomes[0].cost == cost


def test_a_dropped_job_has_ended_without_a_result_and_has_not_failed():
    state = replay([*births(1), Dropped(0)]).state
    assert (state.pending, state.failed, state.outcomes[0].quality) == (frozenset(), frozenset(), None)


def test_under_way_is_what_began_and_did_not_end():
    events = [*births(5), *map(started, range(5)), finished(0), Failed(1, "raised"), Lost(2, "died"), Dropped(4)]
    history = replay([*events, started(2)])
    assert history.under_way == {2, 3}
    assert history.starts == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    assert replay([*events, started(2), Lost(2, "died")]).under_way == {3}


def test_lost_is_no_end():
    history = replay([*births(1), started(0), Lost(0, "died")])
    assert history.state.outcomes == {}
    assert history.state.pending == {0}


def test_run_is_open_again_once_it_was_resumed():
    closed = Closed("stopped")
    assert replay([closed]).closed == closed
    assert replay([closed, Resumed()]).closed is None


def test_run_and_trained_are_kept():
    history = replay([RunBegan(3), TRAINED])
    assert (history.run, history.trained) == (RunBegan(3), {"final": TRAINED})


# The population.


def individuals(*events):
    return [json.loads(line) for line in population_lines(replay(events)).decode().splitlines()]


def test_population_says_of_each_what_became_of_it():
    lines = individuals(*births(4), finished(1, 29.0), Failed(0, "diverged"), Dropped(3))
    assert [(one["id"], one["state"]) for one in lines] == [
        *((0, "failed"), (1, "finished"), (2, "asked")),
        (3, "stopped"),
    ]
    ((failed,), (training,), (waits,), _) = (one["trainings"] for one in lines)
    assert failed["reason"] == "diverged"
    assert (training["psnr_y"], training["psnr_rgb"], training["ssim_y"]) == (29.0, 28.0, 0.9)
    assert training["seconds"] == asdict(SECONDS)
    assert (training["steps"], training["seed"], training["purpose"]) == (5, 3, "birth")
    assert "psnr_y" not in failed
    assert "psnr_y" not in waits
    assert lines[2]["genome"] == [[1, "S_1_4_4"], [0, "S_1_8_3"], [1, "C_1_4_8"]]
    assert all(one["params"] == 12_345 and one["mult_adds"] == 6_789_000 for one in lines)


def test_population_has_a_training_of_each_length_and_seed():
    (line,) = individuals(
        *(asked(0), finished(0, 29.0), asked(1, 0, steps=15), finished(1, 30.0, 0)),
        *(asked(2, 0, steps=15, purpose="race", seed=4), Failed(2, "diverged")),
    )
    assert [(one["job"], one["steps"], one["seed"], one["purpose"], one["state"]) for one in line["trainings"]] == [
        *((0, 5, 3, "birth", "finished"), (1, 15, 3, "promotion", "finished")),
        (2, 15, 4, "race", "failed"),
    ]
    assert [one.get("psnr_y") for one in line["trainings"]] == [29.0, 30.0, None]
    # It has results, whatever became of one more.
    assert line["state"] == "finished"


def test_population_has_the_last_end_of_what_was_tried_again():
    (line,) = individuals(asked(0), Failed(0, "raised"), Retried(0), finished(0, 31.0))
    (training,) = line["trainings"]
    assert (line["state"], training["psnr_y"]) == ("finished", 31.0)
    (line,) = individuals(asked(0), Failed(0, "raised"), Retried(0), Failed(0, "again"))
    (training,) = line["trainings"]
    assert (line["state"], training["reason"]) == ("failed", "again")


def test_files_for_others_have_null_for_what_is_no_number():
    """SSIM of a picture that is too small for its window."""
    nothing = float("nan")
    events = [asked(0), Finished(0, 0, 30.0, 29.0, nothing, SECONDS, ((1, 0.5),), "plain", "core 0", "here")]
    ((training,),) = (one["trainings"] for one in individuals(*events))
    assert (training["psnr_y"], training["ssim_y"]) == (30.0, None)
    figures = {"psnr_y": 30.0, "ssim_y": nothing}
    sets = [{"name": "test", "network": figures, "baseline": figures, "pictures": []}]
    history = replay([*events, TRAINED, Reported([], 1.0, sets)])
    texts = [networks_json({"final": (1, 2)}, history), front_json(algorithm(), history.state)]
    assert "NaN" not in "".join(texts)
    assert json.loads(texts[0])["networks"]["final"]["params"] == 1


def test_population_of_nobody_is_an_empty_file():
    assert population_lines(replay([])) == b""


def test_validations_are_those_up_to_where_a_training_went_on():
    def validated(*steps):
        return [Validated(step, 30.0 + step, 0.0, 0.0) for step in steps]

    begun = [TrainingBegan(step, 1) for step in (0, 20)]
    other = Validated(5, 1.0, 0.0, 0.0, "network_01")
    first = [begun[0], *validated(10, 20, 30), other]
    assert replay(first).validated == {"final": {10: 40.0, 20: 50.0, 30: 60.0}, "network_01": {5: 1.0}}
    assert replay([*first, begun[1]]).validated["final"] == {10: 40.0, 20: 50.0}
    assert replay([*first, begun[1], *validated(30)]).validated["final"] == {10: 40.0, 20: 50.0, 30: 60.0}
    assert replay([*first, begun[0]]).validated == {"final": {}, "network_01": {5: 1.0}}


# The closing line and the result.

FIGURES = {"psnr_y": 31.0, "psnr_rgb": 29.0, "ssim_y": 0.91}
BICUBIC = {"psnr_y": 28.5, "psnr_rgb": 27.0, "ssim_y": 0.85}
TRAINED = TrainingEnded(
    0, ("S_1_4_4", "C_1_4_8"), {"steps": 3}, "checkpoints/final.ckpt", Seconds(1.0, 2.0, 0.0), ((3, 0.5),)
)
REPORTED = Reported(
    [],
    1.0,
    [
        {
            "name": "test",
            "network": FIGURES,
            "bicubic": BICUBIC,
            "pictures": [{"name": "cat", "network": FIGURES, "bicubic": BICUBIC}],
        }
    ],
)


def algorithm(**evolution):
    """With a space of its own: candidates are those of `births`, three nodes of which two are active."""
    space = {"node_num": 3, "min_active": 1, "block_types": ["S", "C"], "conv_num": [1], "growth_rate": [4, 8]}
    content = {"data": {"hr": "x"}, "space": space, "fast_training": {"steps": 5}, "evolution": PAPER | evolution}
    config = check_config(content, "test")

    class Whatever:
        """Holds every genome: what is legal is for others to test."""

        def __getattr__(self, name):
            return getattr(small_space(), name)

        def holds(self, genome):
            return True

    return make_algorithm(config, Whatever())


def result_of(history, labels=None):
    made = algorithm()
    return json.loads(result_json(made, made.verdict(history.state), labels or {}, history))


def test_closing_line_reads_as_that_of_the_reference():
    verdict = algorithm().verdict(replay([*births(13), finished(12, 30.123456789)]).state)
    line = closing_line(verdict)
    values, _, units = line.removeprefix("Best values: ").partition("  (")
    assert line.startswith("Best values: ")
    assert ast.literal_eval(values) == [
        {"worker_id": 12, "performance": {"flops": 0.007, "params": 12.345, "PSNR": 30.123456789}}
    ]
    assert units.startswith("flops: G mult-adds for a 1280x720 output; params: thousands; PSNR: dB on Y")
    assert "\n" not in line


def test_result_holds_the_best_and_the_report():
    events = [*births(4), finished(3, 30.5), finished(1, 29.5), finished(0, 29.0)]
    content = result_of(replay([*events, TRAINED, REPORTED]), {"final": 3})
    best = content["best"]
    assert {**best, "estimated_psnr_y": None, "standard_error": None} == {
        "id": 3,
        "arch": ["S_1_4_4", "C_1_4_8"],
        "params": 12_345,
        "mult_adds_1280x720": 6_789_000,
        "fitness_psnr_y": 30.5,
        "estimated_psnr_y": None,
        "standard_error": None,
        "steps": 5,
        "trainings": 1,
        "parents": [],
        "operator": "random",
    }
    assert 29.0 < best["estimated_psnr_y"] < 30.5
    assert best["standard_error"] > 0
    assert [one["id"] for one in content["runners_up"]] == [1, 0]
    assert [one["steps"] for one in content["noise_db"]] == [5]
    assert 0 < content["confidence"] < 1
    assert content["full_training"] == {
        "id": 3,
        "checkpoint": TRAINED.checkpoint,
        "seconds": asdict(TRAINED.seconds),
        "sets": REPORTED.sets,
    }
    assert "full_training" not in result_of(replay(events))


def test_result_has_the_reports_of_several_networks_by_their_labels():
    labels = {"front_00": 1, "front_01": 0}
    trained = [
        TrainingEnded(one, TRAINED.arch, {}, f"checkpoints/{label}.ckpt", SECONDS, (), network=label)
        for label, one in labels.items()
    ]
    content = result_of(replay([*births(2), finished(0), finished(1, 31.0), *trained]), labels)
    assert "full_training" not in content
    assert {label: (one["id"], one["checkpoint"]) for label, one in content["full_trainings"].items()} == {
        "front_00": (1, "checkpoints/front_00.ckpt"),
        "front_01": (0, "checkpoints/front_01.ckpt"),
    }


def test_result_leaves_out_the_report_of_an_older_winner():
    older = TrainingEnded(0, ("S_1_4_4",), {}, "checkpoints/final.ckpt", SECONDS, ())
    content = result_of(replay([*births(4), finished(3), older, REPORTED]), {"final": 3})
    assert "full_training" not in content


def test_a_new_full_training_makes_the_report_void():
    assert replay([TRAINED, REPORTED]).reported == {"final": REPORTED}
    assert replay([TRAINED, REPORTED, TRAINED]).reported == {}


def of_network(label):
    return [decode({**encode(event), "network": label}) for event in (TRAINED, REPORTED)]


def test_networks_are_told_apart_by_their_labels():
    one, two = of_network("network_00")
    history = replay([TRAINED, REPORTED, one, two, one])
    assert set(history.trained) == {"final", "network_00"}
    assert set(history.reported) == {"final"}
    assert report_rows(replay([one, two]), "network_00") == report_rows(replay([TRAINED, REPORTED]))
    assert report_rows(replay([one, two])) == []


@pytest.mark.parametrize("events", [[], [*births(1), finished(0)]])
def test_report_of_nothing_trained_is_empty(events):
    assert report_rows(replay(events)) == []


def test_report_has_each_picture_and_the_mean():
    assert report_rows(replay([TRAINED, REPORTED])) == [
        ("test", "cat", FIGURES, BICUBIC),
        ("test", "mean", FIGURES, BICUBIC),
    ]
