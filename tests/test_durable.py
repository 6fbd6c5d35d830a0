"""Files that are whole or not there, files that only grow, and locks between processes."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from esr_ray import durable
from esr_ray.durable import AppendedFile, atomic_file, lock, replace_file, sweep, write_atomically
from esr_ray.errors import DiskFull

HOLD = """
import sys
from pathlib import Path
from esr_ray.durable import lock
held = lock(Path(sys.argv[1]))
print(held is not None, flush=True)
sys.stdin.read()
"""


def failing(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


def test_files_are_replaced_as_a_whole(tmp_path):
    path = tmp_path / "result.json"
    for content in (b"old", b"new and longer", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["write", "sync", "replace"])
@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, OSError)]
)
def test_failed_write_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, call, number, error):
    path = tmp_path / "result.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(durable.disk, call, failing(number))
    with pytest.raises(error) as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    if error is DiskFull:
        assert str(caught.value).startswith(f"{path}: the disk is full; make room")


def test_a_file_whose_writer_gives_up_is_not_there(tmp_path):
    def give_up():
        with atomic_file(tmp_path / "a") as file:
            file.write(b"part")
            raise KeyError

    with pytest.raises(KeyError):
        give_up()
    assert not list(tmp_path.iterdir())


def test_content_and_name_are_on_the_disk_in_this_order(tmp_path, monkeypatch):
    """The name must not be there before the content, nor be lost after the return."""
    calls = []
    for name in ("sync", "replace", "sync_folder"):
        real = getattr(durable.disk, name)
        monkeypatch.setattr(
            durable.disk, name, lambda *given, name=name, real=real: (calls.append((name, given[-1])), real(*given))
        )
    write_atomically(tmp_path / "a", b"content")
    (tmp_path / "b").touch()
    replace_file(tmp_path / "a", tmp_path / "b")
    assert [name for name, _ in calls] == ["sync", "replace", "sync_folder", "replace", "sync_folder"]
    assert [given for _, given in calls[1:]] == [tmp_path / "a", tmp_path, tmp_path / "b", tmp_path]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_cannot_sync_a_folder_serve_too(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", failing(number))
    durable.disk.sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        durable.disk.sync_folder(tmp_path)


def test_sweeping_takes_only_what_was_half_written(tmp_path):
    names = (".a.json.12.tmp", ".b.u8.7.tmp", "a.json", ".lock", "b.tmp")
    for name in names:
        (tmp_path / name).touch()
    assert sweep(tmp_path, "b.*") == 1
    assert {path.name for path in tmp_path.iterdir()} == set(names) - {".b.u8.7.tmp"}
    assert sweep(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ".lock", "b.tmp"}


def test_a_record_is_appended_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "records"
    file = AppendedFile(path)
    file.append(b"one\n", sync=True)
    monkeypatch.setattr(durable.disk, "write", lambda file, content: file.write(content[:2]))
    with pytest.raises(OSError, match="no space") as caught:
        file.append(b"two\n", sync=True)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    file.append(b"three\n", sync=False)
    file.close()
    assert path.read_bytes() == b"one\nthree\n"
    # What lies behind the good part is cut off.
    path.write_bytes(b"one\nthree\nfo")
    file = AppendedFile(path, 10)
    file.append(b"four\n", sync=True)
    file.close()
    assert path.read_bytes() == b"one\nthree\nfour\n"


@pytest.fixture
def holder(tmp_path):
    """A lock, and another process that has it."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    yield path, process
    process.kill()
    process.communicate()


def test_a_lock_is_one_processs_until_it_ends(holder):
    path, process = holder
    assert lock(path) is None
    process.communicate("")
    held = lock(path)
    # Nor does this process get it twice.
    assert lock(path) is None
    held.release()
    lock(path).release()


def test_a_killed_process_has_no_lock(holder):
    path, process = holder
    process.send_signal(signal.SIGKILL)
    held = lock(path, patience_s=30)
    assert held is not None
    held.release()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def acquire(self, **options):
        raise NotImplementedError("FileSystem does not appear to support flock; use SoftFileLock instead")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(OSError, match="its file system has no locks"):
        lock(tmp_path / "lock")
