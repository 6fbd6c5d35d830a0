"""Where the pictures of a set lie: the one reader of folders, in the layouts in which data sets are handed on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from esr_ray.data.pairs import FoundSet, lr_pictures, pair_folders, pair_within
from esr_ray.errors import UserError
from esr_ray.picture_files import EXTENSIONS, check_folder, pictures_in

# EDSR and KAIR (HR), BasicSR (GTmod12, original), RealSR and others.
_HR = ("HR_x{scale}", "HR", "GTmod12", "GTmod{scale}", "GT", "HQ", "original")
_HR_TO_TRAIN = ("DIV2K_train_HR", "train_HR", "trainH", "Flickr2K_HR")
_HR_TO_MEASURE = ("DIV2K_valid_HR", "valid_HR", "testH")
_SELFEXSR = "image_SRF_{scale}"
"""Huang et al.'s: both sizes in one folder, `img_001_SRF_2_HR.png` and `img_001_SRF_2_LR.png`."""

_HR_NAME = re.compile(
    r"^(?P<stem>.*?)[_-]?(?:HR|GT|GTmod\d+|HQ|original|(?-i:H))(?:[_-]?x\d)?(?P<sub>[_-]sub)?$", re.IGNORECASE
)
_LR_REST = re.compile(r"^[_-]?(?P<what>[a-z]*?)(?:[_-]?x(?P<scale>\d))?(?P<sub>[_-]sub)?$", re.IGNORECASE)
_LR_PART = re.compile(r"^x(?P<scale>\d)(?P<sub>[_-]sub)?$", re.IGNORECASE)
_BICUBIC = ("bicubic", "bic", "bi")
_TRACKS = {
    "unknown": "DIV2K's unknown degradation",
    "mild": "DIV2K's mild degradation: blur, noise and shifts",
    "difficult": "DIV2K's difficult degradation: blur, noise and shifts",
    "wild": "DIV2K's wild degradation, four pictures of each",
}
_SCALE_OF_TRACKS = {"mild": 4, "difficult": 4, "wild": 4}


@dataclass(frozen=True)
class _LrFolder:
    path: Path
    what: str
    """How it was made, as its name says; empty where it does not say."""
    scale: int | None
    sub: bool
    """Whether it holds sub-images, as BasicSR cuts them."""

    def is_of(self, scale: int) -> bool:
        return self.scale in (None, scale)


def read_set(name: str, hr: str, lr: str | None, scale: int, with_lr: bool = True, to_train: bool = False) -> FoundSet:
    """Find the pictures of one set: HR, and LR where it is given or known to belong to it. No picture is decoded.

    `hr` is a folder of HR pictures, one that holds HR and LR pictures (`_HR` and `_LR` in their names, or `0001.png`
    and `0001x2.png`), or one of a known layout: `image_SRF_2/`, or `HR/`, `GTmod12/`, `DIV2K_valid_HR/` and the like
    with `LR_bicubic/X2/` or the like beside it. `lr` is a folder of LR pictures, or one that holds them in `X2/`. Other
    LR folders that lie beside HR are not used; a note says so. `with_lr` false is for tasks that are given none: only
    HR pictures count then. `to_train` takes `DIV2K_train_HR` rather than `DIV2K_valid_HR` where both are there. `name`
    is the configuration's key, or the set's name, for messages. UserError where a folder is missing or holds nothing of
    this, and where LR and HR do not match.
    """
    folder = _absolute(hr)
    check_folder(folder)
    inner, notes = _hr_folder(folder, scale, to_train)
    files = pictures_in(inner)
    if lr is not None:
        if _absolute(lr).resolve() == folder.resolve():
            raise UserError(f"{name}: hr and lr are the same folder ({hr}); give LR pictures a folder of their own")
        low = _lr_folder(_absolute(lr), scale)
        high = [pair.hr for pair in pair_within(name, inner, files, scale, with_lr=False).pairs]
        return FoundSet(pair_folders(name, high, inner, lr_pictures(pictures_in(low)), low, scale).pairs, tuple(notes))
    within = pair_within(name, inner, files, scale, with_lr)
    notes += within.notes
    if not with_lr or any(pair.lr is not None for pair in within.pairs):
        return FoundSet(within.pairs, tuple(notes))
    beside = [one for one in _lr_beside(inner) if one.is_of(scale)]
    if inner != folder and (known := [one for one in beside if one.what in (*_BICUBIC, "")]):
        used = min(known, key=lambda one: one.what == "")
        high = [pair.hr for pair in within.pairs]
        pairs = pair_folders(name, high, inner, lr_pictures(pictures_in(used.path)), used.path, scale).pairs
        return FoundSet(pairs, tuple(notes))
    notes += [_not_used(one, inner) for one in beside]
    return FoundSet(within.pairs, tuple(notes))


def benchmarks_in(folder: Path, scale: int, with_lr: bool = True) -> list[tuple[str, FoundSet]]:
    """Every benchmark of a folder of such folders, by name. Raises UserError where there is none."""
    check_folder(folder)
    parts = [part for part in _subfolders(folder) if _is_benchmark(part, scale)]
    if not parts:
        raise UserError(f"{folder}: holds no benchmark for x{scale}; it should have folders such as Set5/HR")
    return [(part.name, read_set(part.name, str(part), None, scale, with_lr)) for part in parts]


def _is_benchmark(folder: Path, scale: int) -> bool:
    return bool(_found(folder, (_SELFEXSR, *_HR, *_HR_TO_MEASURE), scale))


def _hr_folder(folder: Path, scale: int, to_train: bool) -> tuple[Path, list[str]]:
    """The folder itself, or the one in it that holds HR pictures, and what to say of others."""
    layouts = (_SELFEXSR, *_HR, *(_HR_TO_TRAIN if to_train else ()), *_HR_TO_MEASURE)
    own = pictures_in(folder)
    found = _found(folder, layouts, scale)
    if own:
        others = [one.name for one in found if _holds_pictures(one)]
        note = f"{folder}: the pictures of the folder itself are taken, not those of {', '.join(others)} in it"
        return folder, [note] if others else []
    if not found:
        kinds = ", ".join(sorted(kind[1:] for kind in EXTENSIONS))
        known = ", ".join(layout.format(scale=scale) for layout in layouts)
        raise UserError(f"{folder}: holds no pictures ({kinds}), and none of the folders {known}")
    others = [one.name for one in found[1:] if _holds_pictures(one)]
    note = f"{folder}: {found[0].name} is taken, not {', '.join(others)} beside it"
    if not pictures_in(found[0]):
        raise UserError(f"{found[0]}: holds no pictures; give the folder of HR pictures")
    return found[0], [note] if others else []


def _found(folder: Path, layouts: tuple[str, ...], scale: int) -> list[Path]:
    """Those of these subfolders that are there, in this order, upper and lower case alike."""
    inside = {one.name.lower(): one for one in _subfolders(folder)}
    names = [layout.format(scale=scale).lower() for layout in layouts]
    return [inside[name] for name in names if name in inside]


def _lr_beside(hr: Path) -> list[_LrFolder]:
    """The folders of LR pictures beside a folder of HR pictures that belong to it by their names."""
    of_hr = _HR_NAME.match(hr.name)
    # Of a folder of another name, such as photos, those that begin with it: photos_LR, photos_bicLRx4.
    stem = hr.name if of_hr is None else of_hr["stem"]
    sub = of_hr is not None and of_hr["sub"] is not None
    prefixes = [rf"{re.escape(stem)}[_-]?(?:LR|LQ)", rf"{re.escape(hr.name)}[_-](?:bicLR|LR)"]
    # KAIR: trainH and trainL.
    prefixes += [] if of_hr is None else [rf"(?-i:{re.escape(stem)}L$)"]
    found = []
    for folder in _subfolders(hr.parent):
        matches = [re.match(rf"(?:{prefix})(?P<rest>.*)$", folder.name, re.IGNORECASE) for prefix in prefixes]
        rests = [_LR_REST.match(match["rest"]) for match in matches if match is not None and folder != hr]
        rest = next((match for match in rests if match is not None), None)
        if rest is None:
            continue
        what = rest["what"].lower() or ("bicubic" if "biclr" in folder.name.lower() else "")
        scale = int(rest["scale"]) if rest["scale"] else _SCALE_OF_TRACKS.get(what)
        if _holds_pictures(folder):
            found.append(_LrFolder(folder, what, scale, rest["sub"] is not None))
        found += [
            _LrFolder(inner, what, int(part["scale"]), part["sub"] is not None)
            for inner in _subfolders(folder)
            if (part := _LR_PART.match(inner.name)) is not None and _holds_pictures(inner)
        ]
    return [one for one in found if one.sub == sub]


def _subfolders(folder: Path) -> list[Path]:
    """Sorted; none where the folder may not be read."""
    try:
        return sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError:
        return []


def _holds_pictures(folder: Path) -> bool:
    try:
        return bool(pictures_in(folder))
    except UserError:
        return False


def _lr_folder(folder: Path, scale: int) -> Path:
    """The folder of LR pictures that is given, or X2 in it."""
    check_folder(folder)
    if pictures_in(folder):
        return folder
    inside = _found(folder, ("x{scale}",), scale)
    if not inside or not pictures_in(inside[0]):
        raise UserError(f"{folder}: holds no pictures, and no folder X{scale} that does; give the LR pictures")
    return inside[0]


def _not_used(one: _LrFolder, hr: Path) -> str:
    shown = one.path.relative_to(hr.parent)
    kind = _TRACKS.get(one.what) or ("made by bicubic" if one.what in _BICUBIC else one.what)
    return (
        f"{hr}: {shown}{f' ({kind})' if kind else ''} lies beside and is not used: LR is made by bicubic; give "
        "it as lr to use it"
    )


def _absolute(folder: str) -> Path:
    # Absolute: a worker process may have another current directory.
    return Path(folder).expanduser().absolute()
