"""Which files of a folder are pictures, and the name that stands for the sample photographs."""

from __future__ import annotations

from pathlib import Path

from esr_ray.errors import UserError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})

SAMPLE_NAME = "sample:scikit-image"
"""Given for a folder: the photographs inside scikit-image's package, see `esr_ray.data.samples`."""


DIV2K = (
    "DIV2K is to be had from its authors (Agustsson and Timofte, NTIRE 2017): unpack DIV2K_train_HR, DIV2K_valid_HR "
    "and the LR folders DIV2K_train_LR_bicubic and DIV2K_valid_LR_bicubic beside each other, and give their place"
)


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder (not of its subfolders) sorted by name; UserError where there are none."""
    if not folder.exists():
        advice = (
            DIV2K
            if any("DIV2K" in part for part in folder.parts[-2:])
            else "check the path (relative paths start at the current directory)"
        )
        raise UserError(f"{folder}: no such folder; {advice}")
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; give the folder that holds the pictures")
    # Hidden files: macOS leaves "._0001.png" beside what it copies.
    try:
        found = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
        ]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check who may read it") from None
    pictures = sorted(found, key=lambda path: path.name)
    if not pictures:
        kinds = ", ".join(sorted(kind[1:] for kind in EXTENSIONS))
        raise UserError(f"{folder}: holds no pictures ({kinds}); pictures in subfolders are not looked at")
    return pictures
