"""A user's Python file is run from its text, and from nothing beside it."""

import importlib.util
import os
import py_compile
import sys

import pytest

from esr_ray.errors import UserError
from esr_ray.private import private_folder
from esr_ray.tasks.pictures import default_cache_dir
from esr_ray.user_source import run_source


def test_bytecode_beside_a_file_is_neither_read_nor_written(tmp_path):
    """Bytecode that says it was made of the file, and was not, would be run in its place."""
    path = tmp_path / "mine.py"
    path.write_text("VALUE = 1\n")
    forged = tmp_path / "forged.py"
    forged.write_text("VALUE = 2\n")
    os.utime(forged, (path.stat().st_atime, path.stat().st_mtime))
    cached = importlib.util.cache_from_source(str(path))
    py_compile.compile(str(forged), cfile=cached)
    assert run_source(path, "key", "mine").VALUE == 1
    os.unlink(cached)
    run_source(path, "key", "mine")
    assert not os.path.exists(cached)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"raise SystemExit(0)\n", r"mine\.py: could not be imported: SystemExit: 0"),
        (b"import sys; sys.exit('bye')\n", r"mine\.py: could not be imported: SystemExit: bye"),
        ("NAME = 'é'".encode("latin-1"), r"mine\.py: is not in UTF-8 \(byte 8\); save it in that encoding"),
        (b"a = 1\x00\n", r"mine\.py: could not be imported: \w+: .*null"),
        (b"(" * 500, r"mine\.py: could not be imported: (SyntaxError|MemoryError|RecursionError)"),
    ],
)
def test_a_file_that_cannot_be_run_is_one_error(tmp_path, content, message):
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        run_source(path, "space.user_blocks", "mine_that_fails")
    assert "\n" not in str(caught.value)
    assert "mine_that_fails" not in sys.modules


def test_what_is_no_python_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"task\.file: .*none\.py is not a file"):
        run_source(tmp_path / "none.py", "task.file", "none")
    (tmp_path / "notes.txt").write_text("a = 1")
    with pytest.raises(UserError, match=r"notes\.txt: is not a Python file"):
        run_source(tmp_path / "notes.txt", "task.file", "none")


# Private folders.


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_a_private_folder_is_this_users_alone(temporary):
    folder = private_folder("user", "block-1")
    assert folder == temporary / f"esr_ray-{os.getuid()}" / "user" / "block-1"
    assert private_folder("user", "block-1") == folder
    for one in (folder, folder.parent, folder.parent.parent):
        assert one.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["link", "file", "open", "group"])
@pytest.mark.parametrize("where", ["", "cores"])
def test_what_others_could_have_put_there_is_refused(temporary, what, where):
    root = temporary / f"esr_ray-{os.getuid()}"
    place = root / where if where else root
    if where:
        root.mkdir(mode=0o700)
    if what == "link":
        (temporary / "theirs").mkdir()
        place.symlink_to(temporary / "theirs")
    elif what == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777 if what == "open" else 0o770)
    with pytest.raises(UserError, match=r"is not a folder that only you may write in|cannot be made") as caught:
        private_folder("cores")
    assert str(place) in str(caught.value)


def test_a_folder_of_another_user_is_refused(temporary, monkeypatch):
    private_folder("cores")
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    (temporary / f"esr_ray-{real}").rename(temporary / f"esr_ray-{real + 1}")
    with pytest.raises(UserError, match=r"is not a folder that only you may write in; remove it, or set TMPDIR"):
        private_folder("cores")


def test_temporary_files_that_cannot_be_written_are_told(temporary, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(temporary / "none"))
    with pytest.raises(UserError, match=r"cannot be made .*; set TMPDIR to a folder that can be written"):
        private_folder("cores")


# Where decoded pictures are kept.


@pytest.mark.parametrize("home", [None, "/proc/none", "file"])
def test_without_a_home_pictures_are_kept_among_the_temporary_files(temporary, monkeypatch, home):
    """A user without an entry in passwd, as containers have it, or a home that cannot be written in."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if home is None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    else:
        (temporary / "file").touch()
        monkeypatch.setenv("HOME", str(temporary / "file") if home == "file" else home)
    assert default_cache_dir() == temporary / f"esr_ray-{os.getuid()}" / "cache"


def test_with_a_home_they_are_kept_there(temporary, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(temporary))
    assert default_cache_dir() == temporary / ".cache" / "esr_ray"
    monkeypatch.setenv("XDG_CACHE_HOME", str(temporary / "elsewhere"))
    assert default_cache_dir() == temporary / "elsewhere" / "esr_ray"
