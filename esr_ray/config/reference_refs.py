"""Reads the values of a file in the reference's layout: follows its `ref:`, records which were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from esr_ray.errors import UserError

Path = tuple[str, ...]


_KINDS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "int": ("a whole number", int),
    "float": ("a number", (int, float)),
    "bool": ("true or false", bool),
    "str": ("text", str),
}


@dataclass(frozen=True)
class Leaf:
    """A value that is not a section (a list is a value), and where the file has it: elsewhere, if it came by a ref."""

    value: Any
    origin: Path


def dotted(path: Path) -> str:
    """A key path as messages name it."""
    return ".".join(path)


def read_leaves(content: Mapping[str, Any], where: str) -> dict[Path, Leaf]:
    """All leaves of a file, with the refs of direct children of a step followed; local keys win.

    Raises UserError where a ref names nothing, a value instead of a section, or, in the end, itself.
    """
    leaves = {path: Leaf(value, path) for path, value in _flatten(content, ())}
    places = [path for path in leaves if len(path) == 3 and path[2] == "ref" and path[0] != "general"]
    refs: dict[Path, Any] = {path[:2]: leaves[path].value for path in places}
    followed: set[Path] = set()
    for child in refs:
        _follow(child, (), refs, leaves, followed, where)
    return leaves


def _flatten(section: Mapping[Any, Any], above: Path) -> list[tuple[Path, Any]]:
    leaves: list[tuple[Path, Any]] = []
    for key, value in section.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            leaves += _flatten(value, path)
        else:
            leaves.append((path, value))
    return leaves


def _follow(
    child: Path,
    trail: tuple[Path, ...],
    refs: dict[Path, Any],
    leaves: dict[Path, Leaf],
    followed: set[Path],
    where: str,
) -> None:
    """Merge into `leaves` what `child` refers to; what that in turn refers to comes first."""
    if child in followed:
        return
    said = f"{where}: {dotted(child)}.ref: {refs[child]}"
    if child in trail:
        circle = " -> ".join(dotted(one) for one in (*trail[trail.index(child) :], child))
        raise UserError(f"{said} leads back to itself ({circle}); write the section out in one of these places")
    if not isinstance(refs[child], str):
        raise UserError(f"{said} is not a key path; write one such as nas.dataset")
    target = tuple(refs[child].split("."))
    for other in refs:
        shared = min(len(other), len(target))
        if other[:shared] == target[:shared]:
            _follow(other, (*trail, child), refs, leaves, followed, where)
    if target in leaves:
        raise UserError(f"{said} is a value, not a section; refer to the section that holds it")
    depth = len(target)
    found = {path[depth:]: leaf for path, leaf in leaves.items() if path[:depth] == target}
    if not found:
        raise UserError(f"{said} is not in this file; correct the path or write the section out")
    leaves.pop((*child, "ref"))
    for tail, leaf in found.items():
        path = (*child, *tail)
        # An empty section holds nothing that could win.
        for end in range(len(child), len(path)):
            if (empty := leaves.get(path[:end])) is not None and empty.value == {}:
                del leaves[path[:end]]
        # Of two leaves of one tree neither is above the other: a clash is with what the step says itself.
        if not any(path[: len(own)] == own or own[: len(path)] == path for own in leaves):
            leaves[path] = leaf
    followed.add(child)


@dataclass(frozen=True)
class ReferenceFile:
    """A file being translated: its leaves after refs; of them, by origin, the unread; what is to be said of it."""

    where: str
    leaves: dict[Path, Leaf]
    unread: dict[Path, None]
    warnings: list[str] = field(default_factory=list)
    defaults: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, path: Path, text: str) -> UserError:
        """The error to raise for what is at a path, or should be."""
        return UserError(f"{self.where}: {dotted(self._written(path))}: {text}")

    def warn(self, path: Path, text: str) -> None:
        """Say something of a value, once, under the key where it was written."""
        line = f"{dotted(self._written(path))}: {text}"
        if line not in self.warnings:
            self.warnings.append(line)

    def _written(self, path: Path) -> Path:
        return self.leaves[path].origin if path in self.leaves else path

    def has(self, path: Path) -> bool:
        """Whether there is a value or a section at a path."""
        return any(key[: len(path)] == path for key in self.leaves)

    def take(self, path: Path, kind: str | None) -> Any:
        """The value at a path, which from now on counts as read, or None where there is none."""
        leaf = self.leaves.get(path)
        if leaf is None:
            if kind is not None and self.has(path):
                raise self.fault(path, f"must be {_KINDS[kind.removesuffix('s')][0]}, not a section")
            return None
        self.unread.pop(leaf.origin, None)
        if leaf.value is None or kind is None:
            return leaf.value
        listed = kind.endswith("s")
        name, types = _KINDS[kind.removesuffix("s")]
        values = leaf.value if listed and isinstance(leaf.value, list) else [leaf.value]
        wrong = [v for v in values if not isinstance(v, types) or (isinstance(v, bool) and types is not bool)]
        if wrong or listed != isinstance(leaf.value, list):
            raise self.fault(path, f"must be {'a list, each ' if listed else ''}{name}, got {leaf.value!r}")
        return leaf.value

    def get(self, path: Path, kind: str, default: Any, source: str = "the reference's defaults") -> Any:
        """The value at a path, or the default, which is then said; without a default the key must be there."""
        value = self.take(path, kind)
        if value is not None:
            return value
        if default is None:
            raise self.fault(path, "is missing; give it")
        self.defaults.setdefault(source, []).append(f"{dotted(path)} = {default}")
        return default


def key_path(step: str, key: str) -> Path:
    """The path of a dotted key within a step."""
    return (step, *key.split("."))


def warn_if_other(file: ReferenceFile, path: Path, ours: Any, does: str) -> None:
    """Where a number is given again elsewhere, only one of both can count, and that is said."""
    value = file.take(path, "int")
    if value is not None and value != ours:
        file.warn(path, f"{value} is ignored, {ours} is used: {does}")
