"""Where a benchmark's pictures lie: the folder layouts in which Set5, Set14, B100, Urban100, DIV2K are handed on."""

from __future__ import annotations

import re
from pathlib import Path

from esr_ray.data.sets import Pair, resolve_folder
from esr_ray.errors import UserError
from esr_ray.picture_files import EXTENSIONS, list_pictures

_HR = ("HR_x{scale}", "HR", "GTmod12", "GTmod{scale}", "GT", "original", "DIV2K_valid_HR", "valid_HR")
_LR = (
    "LR_bicubic/X{scale}",
    "LR_bicubic/x{scale}",
    "LRbicx{scale}",
    "LR_x{scale}",
    "LR/X{scale}",
    "LR",
    "DIV2K_valid_LR_bicubic/X{scale}",
    "valid_LR_bicubic/X{scale}",
)
_SELFEXSR = "image_SRF_{scale}"
"""Huang et al.'s: both sizes in one folder, `img_001_SRF_2_HR.png` and `img_001_SRF_2_LR.png`."""


def benchmark_pairs(name: str, folder: Path, scale: int) -> tuple[Pair, ...]:
    """The pictures of a benchmark's folder, whatever its layout: HR, and LR where it is there.

    Known are `image_SRF_2/`, `HR/` or `GTmod12/` and the like with `LR_bicubic/X2/` or the like beside them, and a
    folder that holds HR pictures itself. Raises UserError where there is none of these.
    """
    if not folder.is_dir():
        raise UserError(f"{name}: {folder}: there is no such folder")
    both = _found(folder, (_SELFEXSR,), scale)
    if both is not None:
        return _selfexsr(name, both)
    hr = _found(folder, _HR, scale)
    if hr is None:
        if not any(path.suffix.lower() in EXTENSIONS for path in folder.iterdir()):
            known = ", ".join(part.format(scale=scale) for part in _HR)
            raise UserError(f"{name}: {folder}: holds no pictures, and none of the folders {known}")
        return resolve_folder(name, str(folder), None, scale)
    lr = _found(folder, _LR, scale)
    return resolve_folder(name, str(hr), None if lr is None else str(lr), scale)


def benchmarks_in(folder: Path, scale: int) -> list[tuple[str, tuple[Pair, ...]]]:
    """Every benchmark of a folder of such folders, by name. Raises UserError where there is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    parts = [part for part in sorted(folder.iterdir()) if part.is_dir() and _is_benchmark(part, scale)]
    if not parts:
        raise UserError(f"{folder}: holds no benchmark for x{scale}; it should have folders such as Set5/HR")
    return [(part.name, benchmark_pairs(part.name, part, scale)) for part in parts]


def _is_benchmark(folder: Path, scale: int) -> bool:
    return _found(folder, (_SELFEXSR, *_HR), scale) is not None


def _found(folder: Path, layouts: tuple[str, ...], scale: int) -> Path | None:
    """The first of these subfolders that is there, upper and lower case alike."""
    for layout in layouts:
        here: Path | None = folder
        for part in layout.format(scale=scale).split("/"):
            inside = sorted(here.iterdir()) if here is not None and here.is_dir() else []
            here = next((one for one in inside if one.is_dir() and one.name.lower() == part.lower()), None)
        if here is not None:
            return here
    return None


def _selfexsr(name: str, folder: Path) -> tuple[Pair, ...]:
    files = {path.stem: path for path in list_pictures(folder)}
    pairs = []
    for stem, path in files.items():
        if re.search(r"_HR$", stem) is None:
            continue
        lr = files.get(re.sub(r"_HR$", "_LR", stem))
        pairs.append(Pair(re.sub(r"_SRF_\d+_HR$", "", stem), path, lr))
    if not pairs:
        raise UserError(f"{name}: {folder}: holds no pictures whose names end in _HR")
    return tuple(pairs)
