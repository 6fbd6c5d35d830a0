"""The values of a file in the reference's layout: under today's names, with its `ref:` followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from esr_ray.config.reference_names import todays_name, without_overlay

Path = tuple[str, ...]


@dataclass(frozen=True)
class Leaf:
    """A value that is not a section (a list is a value), and where the file has it: elsewhere, if it came by a ref."""

    value: Any
    origin: Path


@dataclass(frozen=True)
class Leaves:
    """All leaves of a file, what is wrong with its refs and names, and the sections whose ref is wrong."""

    where: str
    leaves: dict[Path, Leaf]
    faults: list[str] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)
    followed: set[Path] = field(default_factory=set)


def dotted(path: Path) -> str:
    """A key path as messages name it."""
    return ".".join(path)


def read_leaves(content: Mapping[str, Any], where: str) -> Leaves:
    """All leaves of a file under today's names, with the refs of direct children of a step followed; local keys win.

    A fault is a ref that names nothing, a value instead of a section, or, in the end, itself; and a value that is given
    under its old name and its new one, and differs.
    """
    found = Leaves(where, {})
    flat = dict(_flatten(content, ()))
    for origin, path in without_overlay(list(flat)).items():
        _add(found, todays_name(path), Leaf(flat[origin], origin))
    leaves = found.leaves
    places = [path for path in leaves if len(path) == 3 and path[2] == "ref" and path[0] != "general"]
    refs: dict[Path, Any] = {path[:2]: leaves[path].value for path in places}
    for child in refs:
        _follow(child, (), refs, found)
    _spread_common(leaves)
    return found


def _flatten(section: Mapping[Any, Any], above: Path) -> list[tuple[Path, Any]]:
    leaves: list[tuple[Path, Any]] = []
    for key, value in section.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            leaves += _flatten(value, path)
        else:
            leaves.append((path, value))
    return leaves


def _add(found: Leaves, path: Path, leaf: Leaf) -> None:
    other = found.leaves.setdefault(path, leaf)
    if other.value != leaf.value:
        found.faults.append(
            f"{found.where}: {dotted(leaf.origin)}: {leaf.value!r} is not {other.value!r}, as {dotted(other.origin)} "
            "has it, which is another release's name of the same; remove one"
        )


def _follow(child: Path, trail: tuple[Path, ...], refs: dict[Path, Any], found: Leaves) -> None:
    """Merge into the leaves what `child` refers to; what that in turn refers to comes first."""
    if child in found.followed:
        return
    leaves = found.leaves
    target = todays_name(tuple(refs[child].split("."))) if isinstance(refs[child], str) else ()
    problem = ""
    if child in trail:
        circle = " -> ".join(dotted(one) for one in (*trail[trail.index(child) :], child))
        problem = f"leads back to itself ({circle}); write the section out in one of these places"
    elif not target:
        problem = "is not a key path; write one such as nas.dataset"
    else:
        for other in refs:
            shared = min(len(other), len(target))
            if other[:shared] == target[:shared]:
                _follow(other, (*trail, child), refs, found)
                if other in found.broken:
                    found.broken.add(child)
        if child in found.followed:
            return  # part of a circle, which was told
        if target in leaves:
            problem = "is a value, not a section; refer to the section that holds it"
        elif child not in found.broken and not any(path[: len(target)] == target for path in leaves):
            problem = "is not in this file; correct the path or write the section out"
    leaves.pop((*child, "ref"), None)
    if problem:
        found.faults.append(f"{found.where}: {dotted(child)}.ref: {refs[child]} {problem}")
        found.broken.update((child, *trail))
        # Each member of a circle would tell of it.
        found.followed.update(trail[trail.index(child) :] if child in trail else (child,))
        return
    depth = len(target)
    for tail, leaf in {path[depth:]: leaf for path, leaf in leaves.items() if path[:depth] == target}.items():
        path = (*child, *tail)
        # An empty section holds nothing that could win.
        for end in range(len(child), len(path)):
            if (empty := leaves.get(path[:end])) is not None and empty.value == {}:
                del leaves[path[:end]]
        # Of two leaves of one tree neither is above the other: a clash is with what the step says itself.
        if not any(path[: len(own)] == own or own[: len(path)] == path for own in leaves):
            leaves[path] = leaf
    found.followed.add(child)


def _spread_common(leaves: dict[Path, Leaf]) -> None:
    """What a dataset says in `common` holds for each of its splits that says nothing else."""
    for path, leaf in list(leaves.items()):
        if path[1:3] != ("dataset", "common") or len(path) < 4:
            continue
        splits = [(*path[:2], split) for split in ("train", "val", "test")]
        # The reference measures on `test` where a dataset has no `val`.
        used = [one for one in splits if one[2] != "val" or any(other[:3] == one for other in leaves)]
        for split in used:
            leaves.setdefault((*split, *path[3:]), leaf)
        del leaves[path]
