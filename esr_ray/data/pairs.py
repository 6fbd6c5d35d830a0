"""Which LR picture belongs to which HR picture, told by their names: in two folders, or in one that holds both."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.data.images import read_size
from esr_ray.errors import UserError

# 0001_HR, 0001_GT, baby_HR_x2, img_001_SRF_2_HR.
_HR_MARK = re.compile(r"^(?P<base>.+?)(?:[_-]SRF[_-](?P<srf>\d))?[_-](?:HR|GT|HQ)(?:[_-]?x\d)?$", re.IGNORECASE)
# 0001_LR, 0001_LRx2, baby_LRBI_x2, baby_bicLRx4, Canon_001_LR2, img_001_SRF_2_LR.
_LR_MARK = re.compile(
    r"^(?P<base>.+?)(?:[_-]SRF[_-](?P<srf>\d))?[_-](?:LR|LQ|bicLR|LRbic|LRBI|LRBD|LRDN)[_-]?(?:x?(?P<scale>\d))?$",
    re.IGNORECASE,
)
# DIV2K: 0001x2, its sub-images 0001x2_s001, and its tracks mild, difficult and wild (four a photo): 0001x4m, 0001x4w3.
_SCALED = re.compile(r"^(?P<base>.+?)_?x(?P<scale>\d)(?:m|d|w\d?)?(?P<part>_s\d+)?$", re.IGNORECASE)
_NAMES_IN_NOTE = 3


@dataclass(frozen=True)
class Pair:
    """One picture: its name (the HR file's, without extension), its HR file, and its LR file where one is given.

    With a `size` below 1 it is the HR picture reduced to that part of its width and height.
    """

    name: str
    hr: Path
    lr: Path | None
    size: float = 1.0


@dataclass(frozen=True)
class FoundSet:
    """The pictures of one set, sorted by name, and lines that say what was taken and what was not."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Lr:
    base: str
    scale: int | None
    """None where the name does not say it."""
    path: Path


def same_name(name: str) -> str:
    """The form in which names are compared: with composed accents, as Linux and Windows write them (macOS does not)."""
    return unicodedata.normalize("NFC", name)


def pair_folders(name: str, high: Sequence[Path], hr: Path, low: Sequence[Path], lr: Path, scale: int) -> FoundSet:
    """Give each HR picture (files `high` of folder `hr`) its LR picture of `low`.

    The LR picture of `0001.png` is `0001`, `0001x2` or `0001_x2` (for scale 2), with any extension; `0001_HR.png` or
    `0001x2.png` also match `0001`, `0001_LR` and these with the suffix; so do the names of BasicSR, RealSR and of
    DIV2K's other tracks (`0001_bicLRx4`, `0001_LR4`, `0001x4m`). `name` is the configuration's key, for messages.
    UserError where one has no partner in the other folder, or more than one.
    """
    by_name = _by_stem(low)
    pairs, lonely = [], []
    for stem, path in _by_stem(high).items():
        partners = [by_name[candidate] for candidate in _lr_stems(stem, scale) if candidate in by_name]
        if len(partners) > 1:
            raise UserError(
                f"{name}: {path} could belong to {partners[0].name} or {partners[1].name} in {lr}; remove one of them"
            )
        if partners:
            pairs.append(Pair(path.stem, path, partners[0]))
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
    orphans = [path for path in low if path not in used]
    if orphans:
        raise UserError(f"{name}: {_first(orphans)} no HR picture in {hr}; remove LR pictures without HR")
    return FoundSet(tuple(pairs))


def pair_within(name: str, folder: Path, files: Sequence[Path], scale: int, with_lr: bool) -> FoundSet:
    """The HR pictures of one folder, each with its LR picture where both lie in it, as Huang et al. hand Urban100 on.

    What is LR is told by names (`_HR` and `_LR` and the like), or, for names such as `0001.png` and `0001x2.png`, also
    by the size in the header: an enlargement beside its original is HR too. With `with_lr` false LR pictures are left
    out. UserError where some HR pictures have an LR picture and others none, where an LR picture has no HR picture, and
    where all are LR.
    """
    high, low, other = _divided(files)
    high, of_others = _of_scale(high, scale)
    notes = [] if not other else [f"{folder}: {_names(other)} not taken: the name ends neither in _HR nor in _LR"]
    if of_others:
        notes.append(f"{folder}: {_names(of_others)} not taken: of another scale")
    if files and not high:
        raise UserError(f"{name}: {folder}: holds no pictures whose names end in _HR, only LR; give the HR pictures")
    if not low:
        return FoundSet(tuple(Pair(path.stem, path, None) for path in _by_stem(high).values()), tuple(notes))
    bases = _by_base(name, high)
    orphans = [one.path for one in low if one.base not in bases and one.scale in (None, scale)]
    # Of HR pictures that were left out for their scale the LR pictures are left out too.
    orphans = orphans if not of_others else []
    if orphans and with_lr:
        raise UserError(f"{name}: {_first(orphans)} no HR picture in {folder}; remove it, or rename it if it is HR")
    partners: dict[str, list[Path]] = {}
    for one in low:
        if with_lr and one.scale in (None, scale):
            partners.setdefault(one.base, []).append(one.path)
    if twice := next((base for base in bases if len(partners.get(base, ())) > 1), None):
        first, second = partners[twice][:2]
        raise UserError(f"{name}: {bases[twice]} could belong to {first.name} or {second.name}; remove one of them")
    pairs = tuple(Pair(base, path, partners.get(base, [None])[0]) for base, path in bases.items())
    lonely = [pair.hr for pair in pairs if pair.lr is None]
    if lonely and len(lonely) < len(pairs):
        raise UserError(f"{name}: {_first(lonely)} no LR picture of x{scale} in {folder}, and others have one")
    if lonely and with_lr:
        notes.append(f"{folder}: {_names([one.path for one in low])} not used: not of x{scale}; LR is made by bicubic")
    return FoundSet(pairs, tuple(notes))


def lr_pictures(files: Sequence[Path]) -> list[Path]:
    """The LR pictures of a folder that was given for them: without HR pictures, where names say that both lie in it."""
    marked = [path for path in files if _LR_MARK.match(same_name(path.stem))]
    high = [path for path in files if _HR_MARK.match(same_name(path.stem))]
    return [path for path in files if not (marked and path in high)]


def _divided(files: Sequence[Path]) -> tuple[list[Path], list[_Lr], list[Path]]:
    """HR pictures, LR pictures, and others."""
    marked = {path for path in files if _HR_MARK.match(same_name(path.stem))}
    low = {path: one for path in files if (one := _marked_lr(path)) is not None}
    if not low:
        # Nothing is called LR; but 0001.png may lie beside 0001x2.png, and 0001.png beside 0001_HR.png.
        by_base = {_base(path): path for path in files if path in marked}
        by_base = {same_name(path.stem): path for path in files if path not in marked} | by_base
        low = {path: one for path in files if (one := _smaller(path, by_base)) is not None}
        return [path for path in files if path not in low], list(low.values()), []
    high = [path for path in files if path not in low and (path in marked or not marked)]
    return high, list(low.values()), [path for path in files if path not in low and path not in high]


def _marked_lr(path: Path) -> _Lr | None:
    found = _LR_MARK.match(same_name(path.stem))
    if found is None:
        return None
    scale = found["scale"] or found["srf"]
    return _Lr(found["base"], None if scale is None else int(scale), path)


def _smaller(path: Path, by_base: dict[str, Path]) -> _Lr | None:
    """The file as the LR picture of another, where its name may be that of one and its size is."""
    stem = same_name(path.stem)
    found = _SCALED.match(stem)
    candidates = [(stem, by_base.get(stem))]
    if found is not None:
        base = found["base"] + (found["part"] or "")
        candidates.append((base, by_base.get(base)))
    for base, whole in candidates:
        if whole is None or whole == path:
            continue
        size, of_whole = read_size(path), read_size(whole)
        for scale in (2, 3, 4, 8):
            if size == (of_whole[0] // scale, of_whole[1] // scale):
                return _Lr(base, scale, path)
    return None


def _of_scale(high: list[Path], scale: int) -> tuple[list[Path], list[Path]]:
    """HR pictures for this scale, and those for others, where names tell: SRF_2 and SRF_4 are one photo cropped to a
    multiple of 2 and of 4."""
    scales = {path: int(found["srf"]) for path in high if (found := _HR_MARK.match(path.stem)) and found["srf"]}
    if len(set(scales.values())) < 2:
        return high, []
    wanted = scale if scale in scales.values() else min(scales.values())
    others = [path for path in high if scales.get(path, wanted) != wanted]
    return [path for path in high if path not in others], others


def _base(path: Path) -> str:
    stem = same_name(path.stem)
    found = _HR_MARK.match(stem)
    return stem if found is None else found["base"]


def _by_base(name: str, high: Sequence[Path]) -> dict[str, Path]:
    bases: dict[str, Path] = {}
    for path in high:
        other = bases.setdefault(_base(path), path)
        if other != path:
            raise UserError(f"{name}: {other} and {path.name} are both HR pictures of {_base(path)}; remove one")
    return bases


def _lr_stems(stem: str, scale: int) -> list[str]:
    bases = [stem]
    shorter = re.sub(rf"_?x{scale}$", "", stem, flags=re.IGNORECASE)
    shorter = re.sub(r"_(?:hr|gt)$", "", shorter, flags=re.IGNORECASE)
    if shorter and shorter != stem:
        bases.append(shorter)
    bases.append(f"{shorter}_LR")
    stems = [base + suffix for base in bases for suffix in ("", f"x{scale}", f"_x{scale}")]
    stems += [f"{shorter}_{mark}x{scale}" for mark in ("bicLR", "LRbic", "LRBI_", "LRBD_", "LRDN_")]
    stems += [f"{shorter}_LR{scale}", f"{shorter}_LQ"]
    if scale == 4:
        stems += [f"{shorter}x4{track}" for track in ("m", "d", "w", "w1", "w2", "w3", "w4")]
    if part := re.match(r"^(.+)(_s\d+)$", stem):
        stems.append(f"{part[1]}x{scale}{part[2]}")
    if whole := re.match(r"^((.+)_SRF_\d)_HR$", stem):
        stems += [f"{whole[1]}_LR", whole[2]]
    return list(dict.fromkeys(stems))


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        stem = same_name(path.stem)
        if stem in found:
            raise UserError(f"{found[stem]} and {path.name} have the same name; remove or rename one of them")
        found[stem] = path
    return found


def _first(paths: Sequence[Path]) -> str:
    return f"{paths[0]} has" if len(paths) == 1 else f"{len(paths)} pictures, the first {paths[0]}, have"


def _names(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMES_IN_NOTE])
    if len(paths) > _NAMES_IN_NOTE:
        names += f" and {len(paths) - _NAMES_IN_NOTE} more"
    return f"{names} {'is' if len(paths) == 1 else 'are'}"
