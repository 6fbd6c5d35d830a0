"""What a journal says of a run, made by replay, and the population file and closing line that are made from it."""

import ast
import json

import pytest

from esr_ray.evolution.population import Candidate, Individual
from esr_ray.metrics import Quality
from esr_ray.runs.history import Outcome, candidate_event, candidate_from_event, replay
from esr_ray.runs.population import population_lines
from esr_ray.runs.result import closing_line, report_rows, result_json
from esr_ray.space.genome import Genome


def candidate(number, generation=0, same_as=None):
    genome = Genome((True, False, True), ("S_1_4_4", f"S_1_8_{number + 1}", "C_1_4_8"))
    parents = () if generation == 0 else (0, 1)
    return Candidate(number, generation, genome, ("S_1_4_4", "C_1_4_8"), "random", parents, 12_345, 6_789_000, same_as)


def asked(one):
    return {"event": "asked", **candidate_event(one)}


def finished(number, psnr=30.0):
    figures = {"psnr_y": psnr, "psnr_rgb": psnr - 1, "ssim_y": 0.9, "params": 12_345, "mult_adds": 6_789_000}
    seconds = {"compile": 1.0, "steps": 2.0, "evaluation": 0.5}
    return {"event": "finished", "id": number, **figures, "seconds": seconds, "curve": [[1, 0.5]]}


def started(number):
    return {"event": "started", "id": number, "device": "core 0", "node": "here", "attempt": 1}


def failed(number, reason="raised"):
    return {"event": "failed", "id": number, "reason": reason}


def lost(number):
    return {"event": "lost", "id": number, "reason": "died"}


def test_candidates_come_back_as_they_were():
    for one in (candidate(0), candidate(7, 2, same_as=3)):
        event = json.loads(json.dumps(candidate_event(one)))
        assert candidate_from_event(event) == one
    history = replay([asked(candidate(0)), asked(candidate(1, 1))])
    assert history.candidates == {0: candidate(0), 1: candidate(1, 1)}


def test_outcomes_are_those_of_each_end():
    history = replay([finished(0, 31.5), failed(1, "diverged"), failed(2), finished(2)])
    assert history.attempts(0) == [Outcome(Quality(31.5, 30.5, 0.9))]
    assert history.attempts(1) == [Outcome(None, "diverged")]
    assert [one.fitness for one in history.attempts(2)] == [None, 30.0]
    assert history.attempts(3) == []
    assert history.failed == [1]
    assert set(history.finished) == {0, 2}


def test_under_way_is_what_began_and_did_not_end():
    events = [started(0), started(1), started(2), started(3), finished(0), failed(1), lost(2), started(2)]
    history = replay(events)
    assert history.under_way == {2, 3}
    assert history.starts == {0: 1, 1: 1, 2: 2, 3: 1}
    assert replay([*events, lost(2)]).under_way == {3}


def test_lost_is_no_end():
    assert replay([started(0), lost(0)]).attempts(0) == []


def test_retries_are_kept_in_order():
    events = [{"event": "retry", "id": 4, "before_generation": 2}, {"event": "retry", "id": 1, "before_generation": 3}]
    assert replay(events).retries == [(4, 2), (1, 3)]


def test_next_generation_is_the_first_that_was_not_asked():
    assert replay([]).next_generation == 0
    assert replay([asked(candidate(0)), asked(candidate(1, 2))]).next_generation == 3


def test_run_is_open_again_once_it_was_resumed():
    closed = {"event": "closed", "reason": "stopped"}
    assert replay([closed]).closed == closed
    assert replay([closed, {"event": "resumed"}]).closed is None


def test_run_and_trained_are_kept():
    run, trained = {"event": "run", "seed": 3}, {"event": "trained", "id": 1, "sets": []}
    history = replay([run, trained])
    assert (history.run, history.trained) == (run, {"final": trained})


def test_kinds_of_later_versions_pass():
    assert replay([{"event": "something", "id": 1}]) == replay([])


# The population.


def individuals(*events):
    return [json.loads(line) for line in population_lines(replay(events)).decode().splitlines()]


def test_population_says_of_each_what_became_of_it():
    lines = individuals(
        asked(candidate(2)), asked(candidate(0)), asked(candidate(1)), finished(1, 29.0), failed(0, "diverged")
    )
    assert [(one["id"], one["state"]) for one in lines] == [(0, "failed"), (1, "finished"), (2, "asked")]
    assert lines[0]["reason"] == "diverged"
    assert (lines[1]["psnr_y"], lines[1]["psnr_rgb"], lines[1]["ssim_y"]) == (29.0, 28.0, 0.9)
    assert lines[1]["seconds"]["steps"] == 2.0
    assert "psnr_y" not in lines[0]
    assert lines[2]["genome"] == [[1, "S_1_4_4"], [0, "S_1_8_3"], [1, "C_1_4_8"]]
    assert all(one["params"] == 12_345 and one["mult_adds"] == 6_789_000 for one in lines)


def test_duplicates_have_the_figures_of_what_they_are_the_same_as():
    lines = individuals(
        *(asked(candidate(0)), asked(candidate(1)), asked(candidate(2, 1, 0)), asked(candidate(3, 1, 1))),
        *(finished(0, 31.0), failed(1, "raised")),
    )
    assert (lines[2]["state"], lines[2]["psnr_y"], lines[2]["same_as"], lines[2]["id"]) == ("finished", 31.0, 0, 2)
    assert (lines[3]["state"], lines[3]["reason"]) == ("failed", "raised")


def test_population_has_the_last_end_of_what_was_tried_again():
    (line,) = individuals(asked(candidate(0)), failed(0), finished(0, 31.0))
    assert (line["state"], line["psnr_y"]) == ("finished", 31.0)
    (line,) = individuals(asked(candidate(0)), failed(0), failed(0, "again"))
    assert (line["state"], line["reason"]) == ("failed", "again")


def test_population_of_nobody_is_an_empty_file():
    assert population_lines(replay([])) == b""


def test_validations_are_those_up_to_where_a_training_went_on():
    def validated(*steps):
        return [{"event": "validated", "network": "final", "step": step, "psnr_y": 30.0 + step} for step in steps]

    begun = [{"event": "begun", "network": "final", "step": step} for step in (0, 20)]
    other = {"event": "validated", "network": "network_01", "step": 5, "psnr_y": 1.0}
    first = [begun[0], *validated(10, 20, 30), other]
    assert replay(first).validated == {"final": {10: 40.0, 20: 50.0, 30: 60.0}, "network_01": {5: 1.0}}
    assert replay([*first, begun[1]]).validated["final"] == {10: 40.0, 20: 50.0}
    assert replay([*first, begun[1], *validated(30)]).validated["final"] == {10: 40.0, 20: 50.0, 30: 60.0}
    assert replay([*first, begun[0]]).validated == {"final": {}, "network_01": {5: 1.0}}


# The closing line and the result.

FIGURES = {"psnr_y": 31.0, "psnr_rgb": 29.0, "ssim_y": 0.91}
BICUBIC = {"psnr_y": 28.5, "psnr_rgb": 27.0, "ssim_y": 0.85}
TRAINED = {
    "event": "trained",
    "id": 0,
    "checkpoint": "checkpoints/final.ckpt",
    "arch": ["S_1_4_4", "C_1_4_8"],
    "seconds": {"compile": 1.0, "steps": 2.0, "evaluation": 0.0},
}
REPORTED = {
    "event": "reported",
    "sets": [
        {
            "name": "test",
            "network": FIGURES,
            "bicubic": BICUBIC,
            "pictures": [{"name": "cat", "network": FIGURES, "bicubic": BICUBIC}],
        }
    ],
}


def test_closing_line_reads_as_that_of_the_reference():
    line = closing_line(Individual(candidate(12), 30.123456789), replay([]))
    values, _, units = line.removeprefix("Best values: ").partition("  (")
    assert line.startswith("Best values: ")
    assert ast.literal_eval(values) == [
        {"worker_id": 12, "performance": {"flops": 0.007, "params": 12.345, "PSNR": 30.123456789}}
    ]
    assert units.startswith("flops: G mult-adds for a 1280x720 output; params: thousands; PSNR: dB on Y")
    assert "\n" not in line


def test_result_holds_the_best_and_the_report():
    best = Individual(candidate(3, 1), 30.5)
    content = json.loads(result_json(best, replay([TRAINED, REPORTED])))
    assert content["best"] == {
        "id": 3,
        "arch": ["S_1_4_4", "C_1_4_8"],
        "params": 12_345,
        "mult_adds_1280x720": 6_789_000,
        "fitness_psnr_y": 30.5,
        "generation": 1,
        "parents": [0, 1],
        "operator": "random",
    }
    assert content["full_training"] == {
        "checkpoint": TRAINED["checkpoint"],
        "seconds": TRAINED["seconds"],
        "sets": REPORTED["sets"],
    }
    assert "full_training" not in json.loads(result_json(best, replay([])))


def test_result_leaves_out_the_report_of_an_older_winner():
    best = Individual(candidate(3, 1), 30.5)
    older = {**TRAINED, "arch": ["S_1_4_4"]}
    assert "full_training" not in json.loads(result_json(best, replay([older, REPORTED])))


def test_a_new_full_training_makes_the_report_void():
    assert replay([TRAINED, REPORTED]).reported == {"final": REPORTED}
    assert replay([TRAINED, REPORTED, TRAINED]).reported == {}


def test_networks_are_told_apart_by_their_labels():
    one, two = ({**event, "network": "network_00"} for event in (TRAINED, REPORTED))
    history = replay([TRAINED, REPORTED, one, two, {**TRAINED, "network": "network_00"}])
    assert set(history.trained) == {"final", "network_00"}
    assert set(history.reported) == {"final"}
    assert report_rows(replay([one, two]), "network_00") == report_rows(replay([TRAINED, REPORTED]))
    assert report_rows(replay([one, two])) == []


@pytest.mark.parametrize("events", [[], [finished(0)]])
def test_report_of_nothing_trained_is_empty(events):
    assert report_rows(replay(events)) == []


def test_report_has_each_picture_and_the_mean():
    assert report_rows(replay([TRAINED, REPORTED])) == [
        ("test", "cat", FIGURES, BICUBIC),
        ("test", "mean", FIGURES, BICUBIC),
    ]
