"""Which picture files belong to which set: three folders as they are given, or one that is divided."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from esr_ray.config.schema import DataConfig, SplitConfig
from esr_ray.data.copies import Copy, find_copies
from esr_ray.data.layouts import read_set
from esr_ray.data.pairs import Pair, same_name
from esr_ray.data.samples import sample_files
from esr_ray.errors import UserError
from esr_ray.picture_files import SAMPLE_NAME

# What tells apart two views or two parts of one photo: a stereo pair, crops as DIV2K's tools number them (0001_s001).
_PART = re.compile(r"[_-](?:left|right|l|r|s\d{2,}|(?:crop|part|patch|tile)[_-]?\d+)$", re.IGNORECASE)
_NAMES_IN_NOTE = 3


@dataclass(frozen=True)
class PictureSets:
    """Three sets without a common file, and lines that say how they came about."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    notes: tuple[str, ...]


def resolve_sets(
    data: DataConfig,
    scale: int,
    seed: int,
    with_lr: bool = True,
    cache_dir: Path | None = None,
    by_content: bool = True,
) -> PictureSets:
    """Find the files of the train, validation and test sets, each folder as `esr_ray.data.layouts.read_set` does.

    One folder is divided by `split_pairs`; copies of one photo, which `esr_ray.data.copies` finds, stay in one set (not
    where `by_content` is false, which is how it was before). Copies in sets that are given are noted. What is learnt of
    the pictures for that is kept in `cache_dir`. UserError where a folder is missing or empty, where LR and HR do not
    match, where a folder is too small to be divided, or where two sets hold the same file.
    """
    notes: list[str] = []
    if data.hr == SAMPLE_NAME:
        if data.lr is not None:
            raise UserError(f"data.lr: {SAMPLE_NAME} has no LR pictures; remove data.lr, they are made from HR")
        found = {name: tuple(Pair(p.stem, p, None) for p in paths) for name, paths in sample_files().items()}
        notes.append(f"{SAMPLE_NAME}: fixed sets, {_counts(found)}")
    elif data.hr is not None:
        whole = read_set("data", data.hr, data.lr, scale, with_lr, to_train=True)
        copies = find_copies([pair.hr for pair in whole.pairs], cache_dir) if by_content else []
        found = split_pairs(whole.pairs, data.split, seed, data.hr, copies)
        notes.append(
            f"{data.hr} divided by name and seed {seed}: {_counts(found)}; views and copies of one photo stay in one "
            "set, as far as names and pixels tell (rescaled or compressed crops do not)"
        )
        if by_content:
            notes += _noted(whole.pairs, copies)
        notes += whole.notes
    else:
        found = {}
        for name in ("train", "validation", "test"):
            folder = getattr(data, name)
            part = read_set(f"data.{name}", folder.hr, folder.lr, scale, with_lr, to_train=name == "train")
            found[name] = part.pairs
            notes += part.notes
        notes.insert(0, f"sets as given: {_counts(found)}")
    _check_disjoint(found)
    if data.hr is None:
        notes += _in_two_sets(found, cache_dir)
    train = found["train"]
    if data.training_sizes != (1.0,):
        train = at_sizes(train, data.training_sizes)
        notes.append(f"training pictures at {len(data.training_sizes)} sizes: {len(train)} of {len(found['train'])}")
    return PictureSets(train, found["validation"], found["test"], tuple(notes))


def at_sizes(pairs: Sequence[Pair], sizes: Sequence[float]) -> tuple[Pair, ...]:
    """Each picture at each of `sizes` (parts of its width and height), named for it where that is not 1.

    Raises UserError where LR pictures lie beside the HR pictures: they cannot be reduced alike.
    """
    for pair in pairs:
        if pair.lr is not None:
            raise UserError(
                f"data.training_sizes: {pair.hr} has an LR picture, {pair.lr}, which cannot be reduced alike; remove "
                "training_sizes, or give a folder of HR pictures alone"
            )
    return tuple(
        replace(pair, name=pair.name if size == 1 else f"{pair.name}@{size:g}", size=size)
        for pair in pairs
        for size in sizes
    )


def group_name(stem: str) -> str:
    """Return the name of the photo that a file is a view or a part of: `0001_s003` -> `0001`, `bike_left` -> `bike`."""
    base = re.sub(r"_hr$", "", stem, flags=re.IGNORECASE)
    while (shorter := _PART.sub("", base)) and shorter != base:
        base = shorter
    return base.lower()


def split_pairs(
    pairs: Sequence[Pair], split: SplitConfig, seed: int, folder: str, copies: Sequence[Copy] = ()
) -> dict[str, tuple[Pair, ...]]:
    """Divide pictures into train, validation and test, by name, seed and `copies` (indices into `pairs`) alone.

    Photos (groups of files by `group_name`, and those that copies join, called by the first of their names) are sorted
    by SHA-256 of (seed, name); the first `split.test` of them, at least one, go to test, the next `split.validation`,
    at least one, to validation. UserError below three photos.
    """
    named: dict[str, list[Pair]] = {}
    for pair in pairs:
        named.setdefault(same_name(group_name(pair.name)), []).append(pair)
    joined = {group: group for group in named}

    def first_of(group: str) -> str:
        while joined[group] != group:
            group = joined[group]
        return group

    for copy in copies:
        one, other = (first_of(same_name(group_name(pairs[index].name))) for index in (copy.first, copy.second))
        joined[max(one, other)] = min(one, other)
    groups: dict[str, list[Pair]] = {}
    for group, inside in named.items():
        groups.setdefault(first_of(group), []).extend(inside)
    # By the name as it is written, which decided before names were compared in one form.
    groups = {min(group_name(pair.name) for pair in named[group]): inside for group, inside in groups.items()}
    if len(groups) < 3:
        raise UserError(
            f"{folder}: {len(pairs)} pictures of {len(groups)} photos cannot be divided into train, validation and "
            "test; at least 3 photos are needed (views, crops and copies of one photo count once)"
        )
    order = sorted(groups, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    tests = min(max(1, round(split.test * len(order))), len(order) - 2)
    validations = min(max(1, round(split.validation * len(order))), len(order) - tests - 1)
    parts = {
        "train": order[tests + validations :],
        "validation": order[tests : tests + validations],
        "test": order[:tests],
    }
    return {
        name: tuple(sorted((pair for group in part for pair in groups[group]), key=lambda pair: pair.name))
        for name, part in parts.items()
    }


def _noted(pairs: Sequence[Pair], copies: Sequence[Copy]) -> list[str]:
    """What to say of copies that names did not tell."""
    groups = [same_name(group_name(pair.name)) for pair in pairs]
    # Each picture once, with the first that it is a copy of.
    first_of: dict[int, int] = {}
    for copy in copies:
        if groups[copy.first] != groups[copy.second]:
            first_of.setdefault(copy.second, copy.first)
    unlike = [f"{pairs[second].hr.name} with {pairs[first].hr.name}" for second, first in first_of.items()]
    if not unlike:
        return []
    return [f"pictures of one photo by their pixels, which stay in one set: {_some(unlike)}"]


def _in_two_sets(found: dict[str, tuple[Pair, ...]], cache_dir: Path | None) -> list[str]:
    flat = [(name, pair) for name, pairs in found.items() for pair in pairs]
    between: dict[tuple[str, str], list[str]] = {}
    for copy in find_copies([pair.hr for _, pair in flat], cache_dir):
        (one, first), (other, second) = flat[copy.first], flat[copy.second]
        if one != other:
            between.setdefault((one, other), []).append(f"{first.hr} and {second.hr}")
    return [
        f"warning: {one} and {other} share photos, rescaled, compressed or cut, so that figures on {other} come out "
        f"too good: {_some(names)}; remove them from one of the two"
        for (one, other), names in between.items()
    ]


def _some(names: Sequence[str]) -> str:
    more = "" if len(names) <= _NAMES_IN_NOTE else f" and {len(names) - _NAMES_IN_NOTE} more"
    return ", ".join(names[:_NAMES_IN_NOTE]) + more


def _counts(found: dict[str, tuple[Pair, ...]]) -> str:
    return ", ".join(f"{len(pairs)} {name}" for name, pairs in found.items())


def _check_disjoint(found: dict[str, tuple[Pair, ...]]) -> None:
    seen: dict[Path, tuple[str, Path]] = {}
    for name, pairs in found.items():
        for pair in pairs:
            real = pair.hr.resolve()
            if real in seen and seen[real][0] != name:
                other, path = seen[real]
                same = f"{pair.hr}" if path == pair.hr else f"{path} and {pair.hr}"
                raise UserError(f"data: {same} is in both {other} and {name}; sets must not share pictures, remove one")
            seen[real] = (name, pair.hr)
