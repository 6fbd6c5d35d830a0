"""Names from outside reach neither the terminal as orders nor the disk as other places."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from esr_ray.command import run_command
from esr_ray.errors import UserError
from esr_ray.inference.files import PictureSaver, write_file
from esr_ray.inference.measure import Measured
from esr_ray.metrics import Quality
from esr_ray.printable import printable
from esr_ray.view import make_console, print_line


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("naïve 写真 😀.png", "naïve 写真 😀.png"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\x08c\x9bd", r"a\rb\x08c\x9bd"),
        # Right-to-left override: a name that shows as another one.
        ("photo\u202egnp.exe", r"photo\u202egnp.exe"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, seen):
    assert printable(text) == seen
    seen.encode()


def test_lines_and_errors_of_commands_are_printable(capsys):
    name = os.fsdecode(b"\x1b[31m\xff")

    def command():
        print_line(make_console(), f"a picture: {name}")
        raise UserError(f"{name}: is no picture")

    assert run_command(command) == 2
    said = capsys.readouterr()
    assert said.out == "a picture: \\x1b[31m\\xff\n"
    assert said.err == "error: \\x1b[31m\\xff: is no picture\n"


def test_a_folder_whose_name_is_no_utf_8_is_evaluated(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9\x1b[31m"
    os.mkdir(folder)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with open(folder + b"/a\xe9.png", "wb") as file:
        Image.fromarray(picture).save(file, "PNG")
    command = [sys.executable, "-m", "esr_ray.evaluate", "--scale", "2", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*command, "--data", b"X=" + folder], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"bicubic" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr


# Where output goes.


def test_a_link_is_followed_and_a_device_written_through(tmp_path):
    target, link = tmp_path / "results" / "table.md", tmp_path / "latest.md"
    target.parent.mkdir()
    link.symlink_to(target)
    write_file(link, b"one")
    write_file(link, b"two")
    assert link.is_symlink()
    assert target.read_bytes() == b"two"
    device = tmp_path / "null"
    device.symlink_to(os.devnull)
    write_file(device, b"nothing")
    assert not os.path.isfile(os.devnull)
    assert device.is_symlink()


def test_a_pipe_is_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = "import sys; sys.stdout.write(open(sys.argv[1]).read())"
    reader = subprocess.Popen([sys.executable, "-c", code, str(pipe)], stdout=subprocess.PIPE, text=True)
    write_file(pipe, b"a table")
    assert reader.communicate(timeout=60) == ("a table", None)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("network", "name", "place"),
    [
        ("run/front_01", "Set5", "run/front_01/Set5"),
        ("../../net", "../x", "__/__/net/.._x"),
        ("net", "..", "net/__"),
        ("/etc", "/tmp", "_/etc/_tmp"),
    ],
)
def test_pictures_are_saved_where_the_user_said(tmp_path, network, name, place):
    folder = tmp_path / "deep" / "out"
    saver = PictureSaver(folder)
    picture = np.zeros((4, 4, 3), np.uint8)
    saver.save(network, name, [Measured("../a", Quality(1, 1, 1), picture)])
    assert saver.failure is None
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [folder / place / ".._a.png"]
