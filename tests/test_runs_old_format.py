"""Journals of the format before, of generations and one training each, are read as what they would be now."""

import pytest
from strategies import small_space
from worlds import PAPER

from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.metrics import Quality
from esr_ray.runs.journal import Journal
from esr_ray.runs.population import population_lines
from esr_ray.runs.record import Record, read_history
from esr_ray.search.events import asked_event
from esr_ray.search.job import Outcome
from esr_ray.search.make import make_algorithm
from esr_ray.space.genome import Genome
from esr_ray.training.result import NOT_MEASURED, Seconds

NAMES = ("S_1_4_8", "S_1_8_8", "C_1_4_8", "C_2_4_8")


def asked(number, generation=0, same_as=None):
    """As format 1 had it: a candidate and its one training are the same."""
    name = NAMES[(number if same_as is None else same_as) % len(NAMES)]
    about = {"operator": "random", "parents": [], "params": 12_345, "mult_adds": 6_789_000, "same_as": same_as}
    genome = [[1, name], [1, name], [0, "S_1_4_4"], [1, name], [0, name], [0, name]]
    return "asked", {"id": number, "generation": generation, "genome": genome, "arch": [name] * 3, **about}


def started(number, attempt=1):
    return "started", {"id": number, "device": "core 0", "node": "here", "attempt": attempt}


def finished(number, psnr=30.0, **more):
    figures = {"psnr_y": psnr, "psnr_rgb": psnr - 1, "ssim_y": 0.9, "params": 12_345, "mult_adds": 6_789_000}
    seconds = {"compile": 1.0, "steps": 2.0, "evaluation": 0.5, "start": 0.0}
    where = {"kernels": "plain", "device": "core 0", "node": "here"}
    return "finished", {"id": number, **figures, "seconds": seconds, "curve": [[20, 0.5], [40, 0.4]], **where, **more}


RUN = ("run", {"seed": 7, "host": "here", "pictures": "abc", "config": {"fast_training": {"steps": 40}}})
WHOLE = [
    RUN,
    *(asked(number) for number in range(3)),
    *(started(0), started(1), ("lost", {"id": 1, "reason": "died"}), finished(0, 30.0), started(1, 2)),
    *(("failed", {"id": 1, "reason": "diverged"}), started(2), finished(2, 31.0)),
    # The second is the network of the first generation's first.
    *(asked(3, 1), asked(4, 1, 0)),
    ("closed", {"reason": "stopped", "message": ""}),
    ("resumed", {"restarted": False, "host": "here"}),
    ("retry", {"id": 1, "before_generation": 2}),
    *(started(3), finished(3, 29.0), started(1, 3), finished(1, 30.5)),
    ("begun", {"network": "final", "step": 0, "devices": 2}),
    ("validated", {"network": "final", "step": 5, "psnr_y": 31.5, "psnr_rgb": 30.0, "ssim_y": 0.9}),
    (
        "trained",
        {
            "network": "final",
            "id": 2,
            "arch": ["C_1_4_8"] * 3,
            "settings": {"steps": 9},
            "kernels": "plain",
            "checkpoint": "checkpoints/final.ckpt",
            "curve": [[9, 0.4]],
            "seconds": {"compile": 1.0, "steps": 2.0, "evaluation": 0.0, "start": 0.0},
        },
    ),
    ("reported", {"network": "final", "benchmarks": [], "seconds": 1.0, "sets": []}),
    ("closed", {"reason": "finished"}),
]


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Writes a journal of format 1."""

    def write(events, name="journal.jsonl"):
        with monkeypatch.context() as patch:
            patch.setattr("esr_ray.runs.journal.FORMAT", 1)
            with Journal(tmp_path / name) as journal:
                for kind, content in events:
                    journal.append(kind, content, sync=False)
        return tmp_path / name

    return write


def test_a_candidate_is_one_job_of_the_lengths_that_all_had(old):
    state = read_history(old(WHOLE)).state
    assert sorted(state.jobs) == sorted(state.candidates) == [0, 1, 2, 3]
    for number, job in state.jobs.items():
        assert (job.id, job.candidate.id, job.steps, job.seed, job.purpose) == (number, number, 40, 7, "birth")
    assert [state.jobs[number].batch for number in range(4)] == [0, 0, 0, 1]
    name = NAMES[2]
    assert state.candidates[2].genome == Genome(
        (True, True, False, True, False, False), (name, name, "S_1_4_4", *3 * (name,))
    )
    assert state.candidates[2].arch == (name,) * 3
    assert (state.candidates[2].params, state.candidates[2].mult_adds) == (12_345, 6_789_000)
    assert state.births == 4


def test_ends_are_those_that_were_told_with_what_was_tried_again(old):
    history = read_history(old(WHOLE))
    quality = {number: Quality(psnr, psnr - 1, 0.9) for number, psnr in enumerate((30.0, 30.5, 31.0, 29.0))}
    assert history.state.outcomes == {one: Outcome(one, quality[one], NOT_MEASURED) for one in range(4)}
    assert history.state.pending == history.state.failed == frozenset()
    assert history.starts == {0: 1, 1: 3, 2: 1, 3: 1}
    assert history.under_way == set()
    assert history.seconds[0] == Seconds(1.0, 2.0, 0.5, 0.0)


def test_what_is_not_of_the_search_is_read_too(old):
    history = read_history(old(WHOLE))
    assert history.run is not None
    assert history.run.seed == 7
    assert history.trained["final"].settings == {"steps": 9}
    assert history.validated == {"final": {5: 31.5}}
    assert history.reported["final"].sets == []
    assert history.closed is not None
    assert history.closed.reason == "finished"


def test_the_length_is_the_configured_one_where_nothing_has_finished(old):
    state = read_history(old([RUN, asked(0)])).state
    assert state.jobs[0].steps == 40
    assert state.pending == {0}


def test_the_length_is_that_of_the_trainings_where_it_was_given_in_epochs(old):
    run = ("run", {"seed": 7, "config": {"fast_training": {"steps": 1000, "epochs": 2}}})
    assert read_history(old([run, asked(0), finished(0)])).state.jobs[0].steps == 40


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        (2, {"genome": 3}, r"event 3: .*'asked'"),
        (2, {"id": None}, r"event 3: .*'asked'"),
        (2, {"id": [1]}, r"event 3: .*'asked'"),
        (2, {"parents": [[]]}, r"event 3: .*'asked'"),
        (7, {"curve": 3}, r"event 2: .*'asked'"),
        (7, {"curve": [[]]}, r"event 2: .*'asked'"),
        (0, {"config": {"fast_training": 3}}, r"event 1: .*'run'|event 2: .*'asked'"),
    ],
)
def test_what_is_no_line_of_format_1_is_told_with_its_place(old, place, change, told):
    events = [
        (kind, {**content, **(change if number == place else {})}) for number, (kind, content) in enumerate(WHOLE)
    ]
    if place == 0:
        # Where nothing has finished the configuration has the length.
        events = [one for one in events if one[0] != "finished"]
    path = old(events)
    with pytest.raises(UserError, match=told) as caught:
        read_history(path)
    assert str(caught.value).startswith(f"{path}, event ")


def test_duplicates_are_left_out(old):
    assert len(population_lines(read_history(old(WHOLE))).splitlines()) == 4


def test_a_search_goes_on_from_it(old):
    path = old(WHOLE)
    space = {"node_num": 6, "min_active": 3, "base_channels": 8, "conv_num": [1, 2], "growth_rate": [4, 8]}
    evolution = {"num_generation": 4, "num_individual": 3, "num_elitism": 1, **PAPER}
    config = check_config(
        {"seed": 7, "data": {"hr": "x"}, "space": space, "evolution": evolution, "fast_training": {"steps": 40}}, "test"
    )
    algorithm = make_algorithm(config, small_space())
    with Journal(path) as journal:
        record = Record(journal)
        verdict = algorithm.verdict(record.state)
        assert verdict is not None
        assert verdict.winner.candidate.id == 2
        (job,) = algorithm.ask(record.state, 1)
        # Ids of networks that were duplicates are free, those of others are not.
        assert job.id not in record.state.jobs
        assert job.candidate.arch not in record.state.known
        record.append(asked_event(job, record.state.candidates))
    state = read_history(path).state
    assert state.pending == {job.id}
    assert state.jobs[job.id] == job


def test_parents_that_were_duplicates_are_those_that_were_trained(old):
    """The ids of duplicates are nobody's now."""
    kind, child = asked(5, 2)
    path = old([RUN, *(asked(number) for number in range(3)), asked(4, 1, 1), (kind, {**child, "parents": [2, 4]})])
    state = read_history(path).state
    assert state.candidates[5].parents == (2, 1)
