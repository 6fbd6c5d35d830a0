"""What happens to the machine around a run, and is no other file's: its clock, its pictures, its folder."""

import errno
import itertools
import shutil
import time

import pytest
from driven import Mortal, Run, results
from worlds import records

from esr_ray import durable


@pytest.fixture
def run(case, monkeypatch):
    case.set("evolution.num_generation", 2).set("evolution.num_individual", 3)
    return Run(case, monkeypatch)


@pytest.fixture
def wanted(run):
    """What comes of the run where nothing happens; its folder is gone again."""
    assert run.drive(durable.Disk(), False).kind == "finished"
    found = results(run.folder)
    shutil.rmtree(run.folder.path)
    return found


def begun(run):
    """The process of a run died on the way; results of some candidates are there."""
    assert run.drive(Mortal(45), False) is None
    assert run.folder.journal.read_text().count('"finished"') > 0


def test_a_clock_that_is_set_back_changes_nothing(run, wanted, monkeypatch):
    begun(run)
    # An hour, at each look.
    monkeypatch.setattr(time, "time", map(float, itertools.count(2_000_000_000, -3600)).__next__)
    assert run.drive(durable.Disk(), True).kind == "finished"
    assert results(run.folder) == wanted


def test_a_picture_that_is_gone_is_told_and_the_run_goes_on_when_it_is_back(run, wanted):
    begun(run)
    picture = run.case.path / "photos" / "3.png"
    picture.rename(run.case.path / "elsewhere.png")
    before = records(run.folder.journal)
    outcome = run.drive(durable.Disk(), True)
    assert outcome.kind == "error"
    assert "the pictures are not those that this run began with; bring them back" in outcome.message
    assert records(run.folder.journal) == before
    (run.case.path / "elsewhere.png").rename(picture)
    assert run.drive(durable.Disk(), True).kind == "finished"
    assert results(run.folder) == wanted


class ReadOnly(durable.Disk):
    """A file system that became read-only, as one does whose disk has errors."""

    def _refuse(self, path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    def write(self, file, content):
        self._refuse(file.name)

    def truncate(self, file, size):
        self._refuse(file.name)

    def replace(self, old, new):
        self._refuse(new)


def test_a_folder_that_became_read_only_is_one_line_and_the_run_goes_on_when_it_is_not(run, wanted):
    begun(run)
    outcome = run.drive(ReadOnly(), True)
    assert outcome.kind == "error"
    assert "Read-only file system; mend it, then go on with --resume" in outcome.message
    assert run.drive(durable.Disk(), True).kind == "finished"
    assert results(run.folder) == wanted
