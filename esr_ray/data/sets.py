"""Which picture files belong to which set: pairing LR with HR by name, and dividing one folder into three sets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.config.schema import DataConfig, SplitConfig
from esr_ray.data.samples import sample_files
from esr_ray.errors import UserError
from esr_ray.picture_files import SAMPLE_NAME, list_pictures

# What tells apart two views or two parts of one photo: a stereo pair, crops as DIV2K's tools number them (0001_s001).
_PART = re.compile(r"[_-](?:left|right|l|r|s\d{2,}|(?:crop|part|patch|tile)[_-]?\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """One picture: its name (the HR file's, without extension), its HR file, and its LR file where one is given."""

    name: str
    hr: Path
    lr: Path | None


@dataclass(frozen=True)
class PictureSets:
    """Three sets without a common file, and lines that say how they came about."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    notes: tuple[str, ...]


def resolve_sets(data: DataConfig, scale: int, seed: int) -> PictureSets:
    """Find the files of the train, validation and test sets; no picture is opened.

    One folder is divided by `split_pairs`. UserError where a folder is missing or empty, where LR and HR do not match,
    where a folder is too small to be divided, or where two sets hold the same file.
    """
    if data.hr == SAMPLE_NAME:
        if data.lr is not None:
            raise UserError(f"data.lr: {SAMPLE_NAME} has no LR pictures; remove data.lr, they are made from HR")
        found = {name: tuple(Pair(p.stem, p, None) for p in paths) for name, paths in sample_files().items()}
        note = f"{SAMPLE_NAME}: fixed sets, {_counts(found)}"
    elif data.hr is not None:
        found = split_pairs(resolve_folder("data", data.hr, data.lr, scale), data.split, seed, data.hr)
        note = (
            f"{data.hr} divided by name and seed {seed}: {_counts(found)}; views and crops of one photo stay in one set"
        )
    else:
        found = {}
        for name in ("train", "validation", "test"):
            folder = getattr(data, name)
            found[name] = resolve_folder(f"data.{name}", folder.hr, folder.lr, scale)
        note = f"sets as given: {_counts(found)}"
    _check_disjoint(found)
    return PictureSets(found["train"], found["validation"], found["test"], (note,))


def resolve_folder(name: str, hr: str, lr: str | None, scale: int) -> tuple[Pair, ...]:
    """List the pictures of folder `hr`, each with its LR picture in folder `lr` where that is given, sorted by name.

    The LR picture of `0001.png` is `0001`, `0001x2` or `0001_x2` (for scale 2), with any extension; `0001_HR.png` or
    `0001x2.png` also match `0001`, `0001_LR` and these with the suffix. `name` is the configuration's key, for
    messages. UserError where one has no partner in the other folder, or more than one.
    """
    high = _by_stem(list_pictures(_absolute(hr)))
    if lr is None:
        return tuple(Pair(stem, path, None) for stem, path in high.items())
    if _absolute(lr).resolve() == _absolute(hr).resolve():
        raise UserError(f"{name}: hr and lr are the same folder ({hr}); give LR pictures a folder of their own")
    low = _by_stem(list_pictures(_absolute(lr)))
    pairs, lonely = [], []
    for stem, path in high.items():
        partners = [low[candidate] for candidate in _lr_stems(stem, scale) if candidate in low]
        if len(partners) > 1:
            raise UserError(
                f"{name}: {path} could belong to {partners[0].name} or {partners[1].name} in {lr}; remove one of them"
            )
        if partners:
            pairs.append(Pair(stem, path, partners[0]))
        else:
            lonely.append(path)
    if lonely:
        raise UserError(
            f"{name}: {_first(lonely)} no LR picture of x{scale} in {lr}; "
            f"{lonely[0].stem}.png or {lonely[0].stem}x{scale}.png was looked for"
        )
    used: dict[Path, Path] = {}
    for pair in pairs:
        assert pair.lr is not None
        if pair.lr in used:
            raise UserError(f"{name}: {pair.lr} matches both {used[pair.lr].name} and {pair.hr.name}; rename one")
        used[pair.lr] = pair.hr
    orphans = [path for path in low.values() if path not in used]
    if orphans:
        raise UserError(f"{name}: {_first(orphans)} no HR picture in {hr}; remove LR pictures without HR")
    return tuple(pairs)


def group_name(stem: str) -> str:
    """Return the name of the photo that a file is a view or a part of: `0001_s003` -> `0001`, `bike_left` -> `bike`."""
    base = re.sub(r"_hr$", "", stem, flags=re.IGNORECASE)
    while (shorter := _PART.sub("", base)) and shorter != base:
        base = shorter
    return base.lower()


def split_pairs(pairs: Sequence[Pair], split: SplitConfig, seed: int, folder: str) -> dict[str, tuple[Pair, ...]]:
    """Divide pictures into train, validation and test, by name and seed alone.

    Photos (groups of files by `group_name`) are sorted by SHA-256 of (seed, name); the first `split.test` of them, at
    least one, go to test, the next `split.validation`, at least one, to validation. UserError below three photos.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(group_name(pair.name), []).append(pair)
    if len(groups) < 3:
        raise UserError(
            f"{folder}: {len(pairs)} pictures of {len(groups)} photos cannot be divided into train, validation and "
            "test; at least 3 photos are needed (views and crops of one photo count once)"
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


def _lr_stems(stem: str, scale: int) -> list[str]:
    bases = [stem]
    shorter = re.sub(rf"_?x{scale}$", "", stem, flags=re.IGNORECASE)
    shorter = re.sub(r"_hr$", "", shorter, flags=re.IGNORECASE)
    if shorter and shorter != stem:
        bases.append(shorter)
    bases.append(f"{shorter}_LR")
    stems = [base + suffix for base in bases for suffix in ("", f"x{scale}", f"_x{scale}")]
    return list(dict.fromkeys(stems))


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise UserError(f"{found[path.stem]} and {path.name} have the same name; remove or rename one of them")
        found[path.stem] = path
    return found


def _absolute(folder: str) -> Path:
    # Absolute: a worker process may have another current directory.
    return Path(folder).expanduser().absolute()


def _first(paths: Sequence[Path]) -> str:
    return f"{paths[0]} has" if len(paths) == 1 else f"{len(paths)} pictures, the first {paths[0]}, have"


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
