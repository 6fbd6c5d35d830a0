"""A file in the reference's layout while it is translated: its values, which were read, and what is to be said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from esr_ray.config.reference_refs import Leaf, Path, dotted, read_leaves
from esr_ray.errors import UserError

_KINDS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "int": ("a whole number", int),
    "float": ("a number", (int, float)),
    "bool": ("true or false", bool),
    "str": ("text", str),
}

_LONGEST = 1000
"""Characters of a fault."""


@dataclass(frozen=True)
class ReferenceFile:
    """A file being translated: its leaves after refs; of them, by origin, the unread; what is to be said of it.

    A fault does not end the translation, so that all faults of a file are told at once. A value that is at fault is
    None from there on, and what is compared with it is not judged. `broken` are sections whose ref is at fault.
    """

    where: str
    leaves: dict[Path, Leaf]
    unread: dict[Path, None]
    broken: set[Path] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    defaults: dict[str, dict[Path, Any]] = field(default_factory=dict)

    def fault(self, path: Path, text: str) -> None:
        """Note what is wrong with what is at a path, or should be."""
        line = f"{self.where}: {dotted(self._written(path))}: {text}"
        if line not in self.faults:
            self.faults.append(line)

    def raise_faults(self) -> None:
        """Raise UserError with all faults, a line each, if there are any."""
        if self.faults:
            raise UserError("\n".join(map(one_line, self.faults)))

    def warn(self, path: Path, text: str) -> None:
        """Say something of a value, once, under the key where it was written."""
        line = one_line(f"{dotted(self._written(path))}: {text}")
        if line not in self.warnings:
            self.warnings.append(line)

    def _written(self, path: Path) -> Path:
        return self.leaves[path].origin if path in self.leaves else path

    def has(self, path: Path) -> bool:
        """Whether there is a value or a section at a path."""
        return any(key[: len(path)] == path for key in self.leaves)

    def take(self, path: Path, kind: str | None) -> Any:
        """The value at a path, which from now on counts as read, or None where there is none or it is at fault."""
        leaf = self.leaves.get(path)
        if leaf is None:
            if kind is not None and self.has(path):
                self.fault(path, f"must be {_KINDS[kind.removesuffix('s')][0]}, not a section")
            return None
        self.unread.pop(leaf.origin, None)
        if leaf.value is None or kind is None:
            return leaf.value
        listed = kind.endswith("s")
        name, types = _KINDS[kind.removesuffix("s")]
        values = [_whole(v, types) for v in (leaf.value if listed and isinstance(leaf.value, list) else [leaf.value])]
        wrong = [v for v in values if not isinstance(v, types) or (isinstance(v, bool) and types is not bool)]
        if wrong or listed != isinstance(leaf.value, list):
            quoted = types is not str and any(isinstance(v, str) and _is_number(v) for v in wrong)
            hint = "; write it without quotes" if quoted else ""
            self.fault(path, f"must be {'a list, each ' if listed else ''}{name}, got {leaf.value!r}{hint}")
            return None
        return values if listed else values[0]

    def require(self, path: Path, kind: str, what: str) -> Any:
        """The value at a path that must be there; `what` is to be given. None where it is missing or at fault."""
        before = len(self.faults)
        value = self.take(path, kind)
        if value is not None and value != "":
            return value
        # Where the section's ref is at fault, that was told already.
        if len(self.faults) == before and path[:2] not in self.broken:
            self.fault(path, f"is missing; give {what}")
        return None

    def get(self, path: Path, kind: str, default: Any, source: str = "the reference's defaults") -> Any:
        """The value at a path, or the default, which is then said; without a default the key must be there.

        None where the value is at fault: a default never takes the place of a value that is given.
        """
        if default is None:
            return self.require(path, kind, "it")
        before = len(self.faults)
        value = self.take(path, kind)
        if value is not None or len(self.faults) > before:
            return value
        self.defaults.setdefault(source, {})[path] = default
        return default


def open_file(content: dict[str, Any], where: str) -> ReferenceFile:
    """The file with refs followed and older names read as today's; its faults so far are in it."""
    found = read_leaves(content, where)
    # Nothing (`~`) and an empty section say nothing that could be passed over.
    unread = {leaf.origin: None for leaf in found.leaves.values() if leaf.value is not None and leaf.value != {}}
    return ReferenceFile(where, found.leaves, unread, found.broken, found.faults)


def key_path(step: str, key: str) -> Path:
    """The path of a dotted key within a step."""
    return (step, *key.split("."))


def warn_if_other(file: ReferenceFile, path: Path, ours: Any, does: str) -> None:
    """Where a number is given again elsewhere, only one of both can count, and that is said."""
    value = file.take(path, "int")
    if value is not None and ours is not None and value != ours:
        file.warn(path, f"{value} is ignored, {ours} is used: {does}")


def one_line(text: str) -> str:
    """A fault in one line whatever the keys and values that it shows."""
    text = text.replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _whole(value: Any, types: Any) -> Any:
    """10e3 is a float to YAML, and where a whole number is wanted it is one."""
    return int(value) if types is int and isinstance(value, float) and value.is_integer() else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
