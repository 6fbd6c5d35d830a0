"""Which files of a folder are pictures, and the name that stands for the sample photographs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from esr_ray.errors import UserError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
"""What a picture may be inside, as Pillow names it, whatever its name says: of others, such as EPS, Pillow starts
programs."""

SAMPLE_NAME = "sample:scikit-image"
"""Given for a folder: the photographs inside scikit-image's package, see `esr_ray.data.samples`."""


DIV2K = (
    "DIV2K is to be had from its authors (Agustsson and Timofte, NTIRE 2017): unpack DIV2K_train_HR, DIV2K_valid_HR "
    "and the LR folders DIV2K_train_LR_bicubic and DIV2K_valid_LR_bicubic beside each other, and give their place"
)


def is_picture(path: Path, kinds: Collection[str] = EXTENSIONS) -> bool:
    """Whether it is a file whose ending is one of `kinds` (lower case, with the dot)."""
    # Hidden files: macOS leaves "._0001.png" beside what it copies.
    return path.suffix.lower() in kinds and not path.name.startswith(".") and path.is_file()


def pictures_in(folder: Path, kinds: Collection[str] = EXTENSIONS) -> list[Path]:
    """The pictures of a folder (not of its subfolders) sorted by name, perhaps none; UserError where it cannot be
    read."""
    try:
        found = [path for path in folder.iterdir() if is_picture(path, kinds)]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check who may read it") from None
    return sorted(found, key=lambda path: path.name)


def check_folder(folder: Path) -> None:
    """Raise UserError where it is no folder."""
    if not folder.exists():
        advice = (
            DIV2K
            if any("DIV2K" in part for part in folder.parts[-2:])
            else "check the path (relative paths start at the current directory)"
        )
        raise UserError(f"{folder}: no such folder; {advice}")
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; give the folder that holds the pictures")


def list_pictures(folder: Path, kinds: Collection[str] = EXTENSIONS) -> list[Path]:
    """As `pictures_in`, but UserError where there is no such folder, or no picture in it."""
    check_folder(folder)
    pictures = pictures_in(folder, kinds)
    if not pictures:
        known = ", ".join(sorted(kind[1:] for kind in kinds))
        raise UserError(f"{folder}: holds no pictures ({known}); pictures in subfolders are not looked at")
    return pictures
