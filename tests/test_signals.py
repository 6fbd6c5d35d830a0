"""Ctrl-C, SIGTERM and SIGHUP ask a command to stop, at any moment; its exit status says which it was."""

import os
import signal
import subprocess
import sys
import time

import pytest
from commands import as_from_a_terminal

from esr_ray import signals
from esr_ray.__main__ import COMMANDS
from esr_ray.command import run_command
from esr_ray.view import make_console, print_line, watching


@pytest.fixture(autouse=True)
def heard():
    """The tests may run where signals are ignored, as in the background of a script."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in signals.ASKING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SLOW = "import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n"


def stopped_while_importing(tmp_path, command, number):
    """A command that is asked to stop while it imports a library: its status and what it said."""
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text(SLOW)
    # Whichever is the first.
    (tmp_path / "numpy.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        preexec_fn=as_from_a_terminal,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_importing_ends_in_one_line(tmp_path, name):
    module = COMMANDS[name][0].removesuffix(".__main__")
    assert stopped_while_importing(tmp_path, ["-m", module], signal.SIGINT) == (130, "interrupted\n")


@pytest.mark.parametrize("number", signals.ASKING)
def test_so_does_the_one_name_for_all_and_its_scripts(tmp_path, number):
    script = "import sys; from esr_ray.__main__ import search; sys.exit(search())"
    for place, command in (("a", ["-m", "esr_ray", "search"]), ("b", ["-c", script])):
        (tmp_path / place).mkdir()
        assert stopped_while_importing(tmp_path / place, command, number) == (128 + number, "interrupted\n")


@pytest.mark.parametrize("number", signals.ASKING)
def test_a_command_that_is_asked_to_stop_says_so_by_its_status(capsys, number):
    before = [signal.getsignal(one) for one in signals.ASKING]

    def command():
        os.kill(os.getpid(), number)
        time.sleep(60)

    assert run_command(command) == 128 + number
    assert capsys.readouterr().err == "interrupted\n"
    assert [signal.getsignal(one) for one in signals.ASKING] == before


def test_what_is_ignored_stays_ignored(capsys):
    """As nohup and the background jobs of shells have it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        def command():
            os.kill(os.getpid(), signal.SIGHUP)
            return 7

        assert run_command(command) == 7
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_wait_for_the_end_of_what_must_not_be_left():
    done = []

    def command():
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            # What Ray does while it starts.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            done.append("held")
        done.append("after")

    assert run_command(command) == 143
    assert done == ["held"]

    def twice():
        with signals.held():
            signal.signal(signal.SIGTERM, lambda *given: done.append("another handler"))
        os.kill(os.getpid(), signal.SIGTERM)

    assert run_command(twice) == 143
    assert done == ["held"]


def test_without_a_command_nothing_is_held_back():
    def work():
        with signals.held():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        work()


# A terminal that is gone.

READER_GONE = """
import sys
from esr_ray.runs.status import Status
from esr_ray.view import make_console, watching
with watching(make_console()) as show:
    for number in range(5000):
        show(Status(lines=(f"line {number}",)))
print("last line", flush=True)
print("went on to its end", file=sys.stderr)
"""


def test_output_that_nobody_reads_does_not_end_a_run():
    """As in `python -m esr_ray.search my.yml | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER_GONE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    assert process.stderr.read() == "went on to its end\n"
    assert process.wait(timeout=60) == 0


def test_a_terminal_that_was_closed_does_not_end_a_run():
    code = READER_GONE.replace('print("last line", flush=True)', "")
    terminal, end = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=end, stdout=end, stderr=subprocess.PIPE, text=True)
    os.close(end)
    assert os.read(terminal, 1)
    os.close(terminal)
    assert process.stderr.read() == "went on to its end\n"
    assert process.wait(timeout=60) == 0


def test_lines_are_printed_as_they_are(capsys):
    with watching(make_console()) as show:
        assert show is not None
    print_line(make_console(), "[bold]a[/bold] :smile: " + "x" * 300)
    assert capsys.readouterr().out == "[bold]a[/bold] :smile: " + "x" * 300 + "\n"
