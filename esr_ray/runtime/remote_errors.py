"""What a user should read of an error that was raised in another process."""

from __future__ import annotations

_OURS = "esr_ray.errors.UserError: "


def says_what_to_do(error: Exception) -> bool:
    """Whether it was raised as something that the user can mend."""
    return _last_line(error).startswith(_OURS)


def reason_of(error: Exception) -> str:
    """The last line of a remote exception: its type and message. What the user can mend needs no name of a class."""
    return _last_line(error).removeprefix(_OURS)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
