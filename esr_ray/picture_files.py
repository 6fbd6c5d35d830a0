"""Which files of a folder are pictures, how one is opened, and the name that stands for the sample photographs."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from esr_ray.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
"""What a picture may be inside, as Pillow names it, whatever its name says: of others, such as EPS, Pillow starts
programs."""

PLAIN_PIXELS = 64_000_000
"""So many pixels are decoded whatever the size of their file; decoding takes some 12 bytes for each."""
PIXELS_PER_BYTE = 32
"""Of larger pictures: photographs, however they are compressed, have a quarter of a bit for a pixel, and more."""

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


@contextmanager
def open_image(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[Image]:
    """A picture of which the head was read, and that may be decoded.

    Raises UserError for one that would take far more memory than its file has bytes, and what Pillow raises for one
    that is missing, damaged or of another format.
    """
    from PIL import Image as pillow

    with warnings.catch_warnings():
        # Pillow tells of pictures that are large, which is normal here, and of damaged parts that it does without.
        warnings.simplefilter("ignore")
        try:
            # Not by its name: Pillow would map the pixels of some TIFFs into memory, those of turned ones wrongly.
            with _Present(path) as file, pillow.open(file, formats=formats) as image:
                _check_pixels(image, file.size, path)
                yield image
        except pillow.DecompressionBombError as error:
            pixels = int((re.findall(r"\d+", str(error)) or ["0"])[0])
            raise UserError(
                f"{path}: has {pixels / 1e6:,.0f} million pixels, and {2 * (pillow.MAX_IMAGE_PIXELS or 0) / 1e6:,.0f} "
                "million are the most that are decoded; cut it into parts, or make it smaller"
            ) from None


class _Present(io.BufferedReader):
    """A file of which no more is read than there is: Python makes room for all that is asked for, and a head may ask
    for gigabytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, max(0, self.size - self.tell())))


def _check_pixels(image: Image, size: int, path: Path) -> None:
    """Raise UserError for a picture that would take far more memory than its file, of `size`, has bytes."""
    width, height = image.size
    # Of 16 bits each pixel takes twice as much.
    weight = 2 if any(";16" in str(tile[-1]) for tile in getattr(image, "tile", [])) else 1
    if weight * width * height > max(PLAIN_PIXELS, PIXELS_PER_BYTE * size):
        raise UserError(
            f"{path}: has {width:,} x {height:,} pixels in {size / 1e3:,.0f} KB, as no photograph has; they are not "
            f"decoded, for they would take gigabytes: cut it into parts of up to {PLAIN_PIXELS / weight / 1e6:.0f} "
            "million pixels, or make it smaller"
        )


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
