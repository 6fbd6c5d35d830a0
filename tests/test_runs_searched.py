"""Networks are taken from run folders and from the reference's arch.txt, the best in fitness."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.runs.events import RunBegan
from esr_ray.runs.folder import RunFolder, create
from esr_ray.runs.journal import Journal
from esr_ray.runs.record import Record
from esr_ray.runs.searched import is_run, run_experiment_config, searched_networks
from esr_ray.search.events import Finished, asked_event
from esr_ray.search.job import Candidate, Job
from esr_ray.space.genome import Genome
from esr_ray.training.result import DeviceCost, Seconds
from esr_ray.user_source import source_digest

ARCHS = [("S_1_4_4",), ("G_2_4_8", "S_1_8_8"), ("C_1_4_8",)]
REFERENCE = """\
Population Iteration: 1
36.5,516.3,0.0,"['G_8_16_24', 'C_8_16_16']"
37.1,500.0,0.0,"['S_4_16_24', 'G_4_16_24']"
Population Iteration: 2
37.0,501.0,0.0,"['S_8_16_16']"
37.1,500.0,0.0,"['S_4_16_24', 'G_4_16_24']"
"""


def a_run(path, fitness, networks=(), evolution=None, latencies=()):
    folder = RunFolder(path)
    content = {"data": {"hr": "sample:scikit-image"}, "space": {"node_num": 3, "min_active": 1}}
    # It holds ARCHS.
    content["space"] |= {"conv_num": [1, 2], "growth_rate": [4, 8]}
    content["evolution"] = evolution or {}
    if networks:
        content |= {"networks": networks, "pipeline": ["full_training"]}
    create(folder, check_config(content, "test"), {})
    with Journal(folder.journal) as journal:
        record = Record(journal)
        for index, psnr in enumerate(fitness):
            ask(record, Candidate(index, Genome((True,) * len(ARCHS[index]), ARCHS[index]), ARCHS[index], "", (), 1, 1))
            if psnr is not None:
                finish(record, index, psnr, latencies[index] if latencies else None)
    return path


def ask(record, candidate, steps=5):
    record.append(asked_event(Job(record.state.next_job, candidate, steps, 0), record.state.candidates))


def finish(record, job, psnr, latency=None):
    candidate = record.state.jobs[job].candidate.id
    cost = DeviceCost() if latency is None else DeviceCost(latency_s=latency)
    record.append(Finished(job, candidate, psnr, psnr, 0.9, Seconds(0, 0, 0), (), "plain", "core 0", "here", cost))


def test_the_best_of_a_run(tmp_path):
    run = a_run(tmp_path / "a", [30.0, 31.0, None])
    assert is_run(run)
    assert searched_networks(run, 1) == [ARCHS[1]]
    assert searched_networks(run, 5) == [ARCHS[1], ARCHS[0]]


def test_the_best_of_a_run_with_a_limit_are_those_within_it(tmp_path):
    limit = {"max_latency_ms": 5}
    run = a_run(tmp_path / "a", [30.0, 32.0, 31.0], evolution=limit, latencies=[0.001, 0.009, 0.003])
    assert searched_networks(run, 3) == [ARCHS[2], ARCHS[0], ARCHS[1]]


def test_the_best_of_a_run_is_by_the_longest_evidence_there_is(tmp_path):
    """The one that was best after a short training was trained for longer, and is not any more."""
    run = a_run(tmp_path / "a", [30.0, 31.0, 30.9])
    with Journal(RunFolder(run).journal) as journal:
        record = Record(journal)
        for one, psnr in ((1, 31.2), (2, 32.5)):
            ask(record, record.state.candidates[one], steps=50)
            finish(record, record.state.next_job - 1, psnr)
    assert searched_networks(run, 1) == [ARCHS[2]]


def test_of_equals_the_one_that_was_asked_for_first(tmp_path):
    assert searched_networks(a_run(tmp_path / "a", [30.0, 31.0, 31.0]), 3) == [ARCHS[1], ARCHS[2], ARCHS[0]]


def test_the_best_of_each_run_in_a_folder(tmp_path):
    a_run(tmp_path / "a", [30.0, 31.0])
    a_run(tmp_path / "b", [30.0, 29.0, 31.0])
    (tmp_path / "notes").mkdir()
    assert searched_networks(tmp_path, 1) == [ARCHS[1], ARCHS[2]]


def test_networks_that_a_run_was_given(tmp_path):
    assert searched_networks(a_run(tmp_path / "a", [], networks=ARCHS[:2]), 1) == ARCHS[:2]


@pytest.mark.parametrize("of_folder", [False, True])
def test_the_references_file(tmp_path, of_folder):
    path = tmp_path / "arch.txt"
    path.write_text(REFERENCE)
    given = tmp_path if of_folder else path
    assert searched_networks(given, 1) == [("S_4_16_24", "G_4_16_24")]
    assert searched_networks(given, 9) == [("S_4_16_24", "G_4_16_24"), ("S_8_16_16",), ("G_8_16_24", "C_8_16_16")]


@pytest.mark.parametrize(
    "text",
    [
        "['G_8_16_24', 'C_8_16_16']\n",
        "['G_8_16_24',\n 'C_8_16_16']\n",
        "[G_8_16_24, C_8_16_16]",
        "\"['G_8_16_24', 'C_8_16_16']\"\n",
        "  ['G_8_16_24', 'C_8_16_16']  \n\n",
    ],
)
def test_a_network_as_the_references_documentation_prints_it(tmp_path, text):
    path = tmp_path / "net.txt"
    path.write_text(text)
    assert searched_networks(path, 9) == [("G_8_16_24", "C_8_16_16")]


def test_networks_without_a_fitness_come_in_their_order_after_those_that_have_one(tmp_path):
    path = tmp_path / "arch.txt"
    path.write_text("['S_1_4_4']\n['C_1_4_8']\n30.5,1,2,\"['G_2_4_8']\"\n")
    assert searched_networks(path, 9) == [("G_2_4_8",), ("S_1_4_4",), ("C_1_4_8",)]


@pytest.mark.parametrize("of_folder", [False, True])
@pytest.mark.parametrize("with_text", [False, True])
def test_a_file_of_numpy_is_named_and_never_unpickled(tmp_path, of_folder, with_text):
    """Its array is of objects here, whose unpickling would write a file."""
    path = tmp_path / "selected_arch.npy"
    written = tmp_path / "unpickled"
    np.save(path, np.array([Unpickled(str(written))], dtype=object), allow_pickle=True)
    if with_text:
        (tmp_path / "arch.txt").write_text(REFERENCE)
    if with_text and of_folder:
        assert len(searched_networks(tmp_path, 9)) == 3
    else:
        with pytest.raises(UserError, match=r"selected_arch\.npy: is an array of the reference's genes") as told:
            searched_networks(tmp_path if of_folder else path, 9)
        instead = f"give {tmp_path / 'arch.txt'}," if with_text else "give the arch.txt that the same search wrote"
        assert instead in str(told.value)
    assert not written.exists()


def test_a_file_of_numpy_is_known_by_what_it_begins_with(tmp_path):
    path = tmp_path / "arch.txt"
    with path.open("wb") as file:
        np.save(file, np.zeros((4, 20, 2), int))
    with pytest.raises(UserError, match="is an array of the reference's genes"):
        searched_networks(path, 1)


class Unpickled:
    """An object whose unpickling makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "none", "there is no such run folder or arch.txt"),
        (lambda path: path, "holds neither run folders nor an arch.txt"),
        (lambda path: a_run(path / "a", [None]), "no candidate of this search has finished yet"),
        (lambda path: (path / "arch.txt").write_text("nothing\n") and path, "names no network"),
        (lambda path: (path / "arch.txt").write_text("best,1,2,['S_1_4_4']\n") and path, "line 1: begins with 'best'"),
        (lambda path: (path / "arch.txt").write_text("nan,1,2,['S_1_4_4']\n") and path, "line 1: begins with 'nan'"),
        # A word of any length, in which no block is, is passed over in no time; a line of any length is refused.
        (lambda path: (path / "arch.txt").write_text("G" + "a_1" * 30_000) and path, "names no network"),
        (
            lambda path: (path / "arch.txt").write_text("x\n" + "G" * 100_001) and path,
            "line 2: has 100,001 characters; a row has at most 100,000",
        ),
        (
            lambda path: (path / "arch.txt").write_text('1,"' + ("aaa\n" * 70_000) + '"') and path,
            "is no file of the reference's: field larger than field limit",
        ),
        *(
            (
                lambda path, listed=listed: (path / "arch.txt").write_text(f'33.1,1,2,"{listed}"\n') and path,
                "line 1: does not end in a list of blocks",
            )
            for listed in ("['S_2_8_16', 'G_4_8", "['S_2_8_16', 'G_4_8']", "['S_2_8_16', 'Gx4_8_16']", "S_2_8_16", "[]")
        ),
    ],
)
def test_what_holds_no_network_is_told(tmp_path, make, message):
    # MindSpore lifts Python's own limit for the process that imports it.
    csv.field_size_limit(131_072)
    with pytest.raises(UserError, match=message):
        searched_networks(make(tmp_path), 1)


def test_a_run_that_cannot_be_read_is_told(tmp_path):
    run = a_run(tmp_path / "a", [30.0, 31.0])
    lines = RunFolder(run).journal.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "job": 7})
    RunFolder(run).journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="journal"):
        searched_networks(run, 1)


# The user's files of a run.


@pytest.fixture
def run_with_a_block(tmp_path):
    """A run that began with a block type of a file."""
    block = tmp_path / "mine.py"
    block.write_text("LETTER = 'R'\n")
    keys = {"data": {"hr": "photos"}, "space": {"user_blocks": [str(block)]}}
    folder = RunFolder(tmp_path / "run")
    create(folder, check_config(keys, "my.yml"), {"blocks/mine.py": block.read_text()})
    with Journal(folder.journal) as journal:
        Record(journal).append(RunBegan(0, files={"blocks/mine.py": source_digest(block.read_text())}))
    return folder


def test_files_that_lie_in_a_run_and_are_not_named_are_not_taken(run_with_a_block):
    folder = run_with_a_block
    (folder.blocks / "planted.py").write_text("raise SystemExit('run')\n")
    assert run_experiment_config(folder.path).space.user_blocks == (str(folder.blocks / "mine.py"),)


def test_a_copy_that_was_changed_is_not_run(run_with_a_block):
    copy = run_with_a_block.blocks / "mine.py"
    copy.write_text("LETTER = 'Q'\n")
    with pytest.raises(
        UserError, match=r"mine\.py: is not the file that this run began with, so it is not run"
    ) as told:
        run_experiment_config(run_with_a_block.path)
    assert str(copy) in str(told.value)
