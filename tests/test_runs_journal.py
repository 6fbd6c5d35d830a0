"""The journal: what is written is read, a torn end is dropped, and damage is never read as something else."""

import errno
import json
import math
import os
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr_ray import durable
from esr_ray.errors import UserError
from esr_ray.runs.journal import FORMAT, Journal, read_journal

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contents = st.dictionaries(
    st.text().filter(lambda key: key not in ("v", "event", "time", "crc")), json_values, max_size=4
)
SOME = [
    ("run", {"seed": 1}),
    ("asked", {"job": 0, "candidate": 0, "birth": {"arch": ["S_4_8_8"]}}),
    ("finished", {"job": 0, "psnr_y": 30.25, "é": "ü\n"}),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file that each example of a property begins anew."""
    return tmp_path_factory.mktemp("journal") / "journal.jsonl"


def write(path, events):
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        return [journal.append(kind, content, sync=False) for kind, content in events]


def without_time(events):
    return [{key: value for key, value in one.items() if key != "time"} for one in events]


def plain(events):
    return [{"v": FORMAT, "event": kind, **content} for kind, content in events]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(), contents), max_size=5))
def test_what_is_written_is_read(file, events):
    written = write(file, events)
    assert without_time(written) == plain(events)
    found = read_journal(file)
    assert (found.events, found.size) == (written, file.stat().st_size)
    with Journal(file) as journal:
        assert journal.found == written


def test_figures_that_json_has_not_are_read_back(file):
    write(file, [("finished", {"psnr_y": math.inf, "ssim_y": math.nan})])
    (event,) = read_journal(file).events
    assert event["psnr_y"] == math.inf
    assert math.isnan(event["ssim_y"])


def test_events_are_on_the_disk_when_append_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(durable.disk, "sync", lambda file: synced.append((tmp_path / "j").read_bytes().count(b"\n")))
    with Journal(tmp_path / "j") as journal:
        journal.append("finished", {"job": 0})
        journal.append("started", {"job": 1}, sync=False)
        assert synced == [1]
        assert len(read_journal(tmp_path / "j").events) == 2
        journal.sync()
    assert synced == [1, 2]


def test_line_torn_at_any_byte_is_dropped_and_the_journal_goes_on(file):
    before = write(file, SOME)
    whole = file.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole)):
        file.write_bytes(whole[:end])
        # Only the line's end is missing: the event is there.
        kept = 3 if end == len(whole) - 1 else 2
        found = read_journal(file)
        assert (found.events, found.size) == (before[:kept], end if kept == 3 else last)
        with Journal(file) as journal:
            assert journal.found == before[:kept]
            journal.append("closed", {"reason": "x"}, sync=False)
        found = read_journal(file)
        assert without_time(found.events) == plain([*SOME[:kept], ("closed", {"reason": "x"})])
        assert found.size == file.stat().st_size


def test_journal_torn_in_its_first_line_begins_anew(file):
    write(file, SOME[:1])
    file.write_bytes(file.read_bytes()[:5])
    with Journal(file) as journal:
        assert journal.found == []
    assert file.read_bytes() == b""


@settings(deadline=None)
@given(st.integers(1, 2), st.floats(0, 1), st.integers(1, 255))
def test_flipped_byte_before_the_last_line_is_an_error_that_names_the_line(file, line, place, flip):
    before = write(file, [*SOME, ("closed", {"reason": "finished"})])
    lines = file.read_bytes().splitlines(keepends=True)
    damaged = bytearray(lines[line - 1])
    damaged[round(place * (len(damaged) - 1))] ^= flip
    lines[line - 1] = bytes(damaged)
    file.write_bytes(b"".join(lines))
    try:
        events = read_journal(file).events
    except UserError as error:
        told = str(error)
    else:
        # \\u00e9 and \\u00E9 are the same.
        assert events == before
        return
    assert told.startswith(f"{file}, line {line}: is damaged, or not the one that followed")
    size = file.stat().st_size
    with pytest.raises(UserError, match="is damaged"):
        Journal(file)
    assert file.stat().st_size == size


def test_damage_is_never_cut_off_behind_a_torn_line(file):
    write(file, SOME)
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([lines[0], lines[1][:-3], lines[2][:10]]))
    with pytest.raises(UserError, match="line 2: is damaged"):
        read_journal(file)


@pytest.mark.parametrize(
    "line", [b"[]", b"3", b"null", b'"text"', b"{}", b"\xff\xfe", b"", b"[" * 100_000, b"9" * 5_000]
)
def test_lines_that_are_no_events_are_damage(file, line):
    write(file, SOME)
    file.write_bytes(line + b"\n" + file.read_bytes())
    with pytest.raises(UserError, match="line 1: is damaged"):
        read_journal(file)


def test_another_format_is_told(file, monkeypatch):
    monkeypatch.setattr("esr_ray.runs.journal.FORMAT", 7)
    write(file, SOME)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"line 1: has format 7, this version reads 1 to 3$"):
        read_journal(file)


def test_journals_of_the_format_before_are_read_and_go_on_in_this_one(file, monkeypatch):
    monkeypatch.setattr("esr_ray.runs.journal.FORMAT", 1)
    write(file, SOME)
    monkeypatch.undo()
    with Journal(file) as journal:
        assert [one["v"] for one in journal.found] == [1, 1, 1]
        journal.append("closed", {"reason": "finished"})
    assert [one["v"] for one in read_journal(file).events] == [1, 1, 1, FORMAT]
    assert FORMAT == 3


def test_a_line_that_is_missing_doubled_or_elsewhere_shows(file):
    """Whichever line it is. Of lines that are cut off at the end nothing is left to tell."""
    many = [("started", {"job": 1})] * 6
    write(file, many)
    lines = file.read_bytes().splitlines(keepends=True)
    for at in range(len(lines)):
        changed = {
            "missing": (lines[:at] + lines[at + 1 :], at + 1),
            "doubled": (lines[: at + 1] + lines[at:], at + 2),
            "swapped": (lines[:at] + lines[at : at + 2][::-1] + lines[at + 2 :], at + 1),
        }
        for kind, (content, told) in changed.items():
            if at == len(lines) - 1 and kind != "doubled":
                continue
            # A damaged last line would count as one that was being written.
            file.write_bytes(b"".join([*content, b"{}\n{}\n"]))
            with pytest.raises(UserError, match=rf"line {told}: is damaged, or not the one that followed") as caught:
                read_journal(file)
            assert "restore the file from a copy, or cut it off before this line" in str(caught.value)


def test_a_line_of_an_older_format_after_a_newer_one_is_damage(file, monkeypatch):
    write(file, SOME)
    newer = file.read_bytes()
    monkeypatch.setattr("esr_ray.runs.journal.FORMAT", 2)
    file.unlink()
    write(file, SOME)
    monkeypatch.undo()
    file.write_bytes(newer + file.read_bytes())
    with pytest.raises(UserError, match="line 4: is damaged"):
        read_journal(file)


def test_missing_journal_is_told(tmp_path):
    with pytest.raises(UserError, match=r"journal\.jsonl: could not be read .*is this a run folder\?"):
        read_journal(tmp_path / "journal.jsonl")


def test_full_disk_keeps_what_was_written_and_is_told(tmp_path):
    """The system itself refuses: a limit on the size of files, in a process of its own."""
    path = tmp_path / "run" / "journal.jsonl"
    path.parent.mkdir()
    code = f"""
        import resource, signal
        from pathlib import Path
        from esr_ray.errors import UserError
        from esr_ray.runs.journal import Journal, read_journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(Path({str(path)!r}))
        journal.append("finished", {{"job": 0}})
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        for number in (1, 2):
            try:
                journal.append("finished", {{"job": number, "curve": [0.5] * 200}})
            except UserError as error:
                print(error)
        journal.append("closed", {{"reason": "error"}})
        assert [one["event"] for one in read_journal(Path({str(path)!r})).events] == ["finished", "closed"]
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = f"{path}: the disk is full; make room, then go on with --resume {path.parent} "
    told += "(nothing that was finished is lost)"
    assert done.stdout.splitlines() == [told, told]
    found = read_journal(path)
    assert [one["event"] for one in found.events] == ["finished", "closed"]
    assert found.size == path.stat().st_size


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_that_fills_up_while_syncing_is_told(tmp_path, monkeypatch, number):
    def fail(fd):
        raise OSError(number, os.strerror(number))

    with Journal(tmp_path / "j") as journal:
        journal.append("finished", {"job": 0})
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(UserError, match="the disk is full"):
            journal.append("finished", {"job": 1})
    assert [one["job"] for one in read_journal(tmp_path / "j").events] == [0]


def test_other_errors_are_not_told_as_a_full_disk(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "input/output error")

    with Journal(tmp_path / "j") as journal:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="input/output error"):
            journal.append("finished", {"job": 1})


def test_lines_are_json_that_other_tools_read(file):
    write(file, SOME)
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [one["event"] for one in events] == ["run", "asked", "finished"]
    assert all(one["v"] == FORMAT and len(one["crc"]) == 8 for one in events)
