"""Text from outside, such as the names of files, as a terminal may be given it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything a terminal would obey, or could not show, written out: an escape as `\\x1b`.

    Names of files may hold such characters, and bytes that are no UTF-8, which Python has as lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _written_out(one) for one in text)


def _written_out(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:
        # A byte of a name that is no UTF-8.
        return f"\\x{code - 0xDC00:02x}"
    return one.encode("unicode_escape", "surrogatepass").decode("ascii")
