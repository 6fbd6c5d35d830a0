"""What a user should read of an error that was raised in another process."""

from __future__ import annotations

import re

from ray.exceptions import RayTaskError

from esr_ray.errors import NodeTrouble, UserError

_OURS = f"{UserError.__module__}.{UserError.__qualname__}: "
MOST_CHARACTERS = 300
_FOR_DEVELOPERS = re.compile(r"C\+\+ Call Stack|The Traceback of|\(For framework developers\)")
"""Where MindSpore's own part of a message begins, which says nothing to a user."""
_MARKS = re.compile(r"#\w+#|[-=_*#]{4,}")


def says_what_to_do(error: Exception) -> bool:
    """Whether it was raised as something that the user can mend."""
    return isinstance(_cause(error), UserError) or _last_line(error).startswith(_OURS)


def reason_of(error: Exception) -> str:
    """A remote exception in a line: its type and message. What the user can mend needs no name of a class."""
    cause = _cause(error)
    if cause is not None:
        return in_a_line(cause)
    return _last_line(error).removeprefix(_OURS)


def in_a_line(error: BaseException) -> str:
    """The type and what the message says, in one line of MOST_CHARACTERS at most; without rules and call stacks."""
    lines = []
    for line in str(error).splitlines():
        if _FOR_DEVELOPERS.search(line):
            break
        said = " ".join(_MARKS.sub(" ", line).split())
        if any(letter.isalnum() for letter in said):
            lines.append(said)
    message = " ".join(lines)
    if len(message) > MOST_CHARACTERS:
        message = f"{message[: MOST_CHARACTERS - 1]}…"
    if isinstance(error, UserError | NodeTrouble):
        # The message says all.
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _cause(error: Exception) -> BaseException | None:
    """What was raised there, where Ray could bring it here."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    return cause if isinstance(cause, BaseException) else None


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
