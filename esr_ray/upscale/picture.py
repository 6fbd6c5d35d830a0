"""Pictures as people have them: what a file holds beside its colours is kept, and what had to be changed is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from esr_ray.errors import UserError
from esr_ray.inference.enlarge import enlarging
from esr_ray.inference.load import Loaded
from esr_ray.inference.rows import Rows, bands_of, rows_of, with_alpha, without_alpha
from esr_ray.picture_files import open_image
from esr_ray.tasks.task import Levels
from esr_ray.upscale.deep import begin_deep, in_planes, read_deep

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""Formats that are read and written, by the ending of the name."""
READ = tuple(dict.fromkeys(FORMATS.values()))
_ORIENTATION = 0x0112
_RESOLUTION = (0x011A, 0x011B, 0x0128)
"""EXIF tags: of a row, of a column, and in which unit (3: centimetres)."""
_DESCRIBING = {
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298),
    *range(0x9C9B, 0x9CA0),
}
"""EXIF tags that say what a picture shows, when, with what and by whom: the others of its main part describe how the
file is stored (TIFF has these in one place)."""
_PARTS = (0x8769, 0x8825)
"""Parts of EXIF that are kept: of the camera, and the place."""
_SIZES = (0xA002, 0xA003)
"""Tags of the camera's part that say the picture's size: it is another one now."""


@dataclass(frozen=True)
class Kept:
    """What a file has beside its pixels: the ICC profile, EXIF without how the file is stored, and pixels per inch."""

    icc: bytes | None = None
    exif: Image.Exif | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """A picture that is read row by row: `rows()` begins at the top. If it is equally transparent everywhere, `flat` is
    that level: nothing is to be made up of it then. What is `kept` beside it, and `notes` on what was changed."""

    rows: Callable[[], Rows]
    flat: int | None = None
    kept: Kept = field(default_factory=Kept)
    notes: tuple[str, ...] = ()


@contextmanager
def open_picture(path: Path, first_frame: bool = False, mosaic: bool = False) -> Iterator[Opened]:
    """Read a picture; an EXIF orientation is applied, palettes become colours. Of a `mosaic` the orientation is kept
    instead: turned it would be of another pattern.

    Raises UserError, naming the file, where it is missing, empty, damaged, far larger than its file, of another format
    or without 8 or 16 bits that can be had, and where it is animated, unless only the `first_frame` is wanted.
    """
    opened = None
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path}: is empty")
        with open_image(path, READ) as image:
            opened = picture_of(image, str(path), first_frame, mosaic, lambda: open_image(path, READ))
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except UnidentifiedImageError:
        raise UserError(f"{path}: is no picture in one of the formats {', '.join(READ)}") from None
    except Exception as error:
        # Pillow's decoders raise nearly anything on damaged files (OSError, SyntaxError, ValueError, struct.error).
        raise UserError(f"{path}: cannot be decoded ({error}); it may be damaged") from None
    yield opened


def picture_of(
    image: Image.Image,
    name: str,
    first_frame: bool = False,
    mosaic: bool = False,
    again: Callable[[], AbstractContextManager[Image.Image]] | None = None,
) -> Opened:
    """What an image of Pillow's holds; `again` opens its file anew, for colours of 16 bits. Raises UserError as
    `open_picture` does."""
    frames = getattr(image, "n_frames", 1)
    notes = []
    if frames > 1:
        if not first_frame:
            raise UserError(f"{name}: has {frames} frames; --first-frame takes the first one alone")
        notes.append(f"first of {frames} frames")
    if in_planes(image):
        raise UserError(f"{name}: holds colours of 16 bits in planes; save it with them side by side")
    deep = None if again is None else begin_deep(image)
    stored = image.getexif().get(_ORIENTATION, 1)
    image.load()
    exif = image.getexif()
    # Pillow turns TIFFs itself.
    orientation = exif.get(_ORIENTATION, 1)
    if mosaic and stored != orientation:
        raise UserError(f"{name}: has an orientation, and a mosaic cannot be turned; take that tag away")
    kept = Kept(image.info.get("icc_profile"), _describing(exif, mosaic), _resolution(image, exif))
    if image.mode == "F":
        raise UserError(f"{name}: holds floating-point pixels, whose range is unknown; save it as 8 or 16 bits")
    if image.mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > 65535:  # type: ignore[operator]
            raise UserError(f"{name}: holds more than 16 bits a pixel; save it as 8 or 16 bits")
    pixels = None
    if deep is not None and again is not None:
        pixels = read_deep(image, deep, again)
        if pixels is None:
            notes.append("16 bits, reduced to 8")
    if image.mode == "CMYK":
        # The profile is of inks.
        kept = replace(kept, icc=None)
        notes.append("CMYK, made RGB")
    if stored in range(2, 9) and mosaic:
        notes.append("its EXIF orientation is kept: a mosaic is not turned")
    elif stored in range(2, 9):
        notes.append("turned as EXIF says")
    turn = 1 if mosaic or orientation not in range(2, 9) else orientation
    rows = partial(_turned, image.size, _reader(image, pixels), turn)
    return Opened(rows, _flat(rows()), kept, tuple(notes))


Read = Callable[[tuple[int, int, int, int]], Levels]
"""The pixels (h, w, channels) of a box: left, top, right, bottom."""


def _reader(image: Image.Image, pixels: Levels | None) -> Read:
    """What reads parts of an image in the channels of `Rows`: parts alone are converted."""
    if image.mode.startswith("I"):

        def read(box: tuple[int, int, int, int]) -> Levels:
            return np.asarray(image.crop(box)).astype(np.uint16)[..., None]
    elif pixels is not None:

        def read(box: tuple[int, int, int, int]) -> Levels:
            return pixels[box[1] : box[3], box[0] : box[2]]
    else:
        transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
        grey = image.mode in ("1", "L", "LA", "La")

        def read(box: tuple[int, int, int, int]) -> Levels:
            part = image.crop(box)
            if not transparent:
                return np.asarray(part.convert("L" if grey else "RGB"), np.uint8).reshape(
                    part.height, part.width, 1 if grey else 3
                )
            # Through RGBA, where a palette's transparency goes into alpha and not into the colours.
            colours = np.asarray(part.convert("RGBA"), np.uint8)
            return colours[..., 2:] if grey else colours

        return read
    key = image.info.get("transparency")
    return read if key is None else partial(_keyed, read, np.asarray(key, np.uint16))


def _keyed(read: Read, key: Levels, box: tuple[int, int, int, int]) -> Levels:
    """Of 16 bits: one colour is transparent."""
    part = read(box)
    seen = (part != key).any(2, keepdims=True)
    return np.concatenate([part, seen.astype(np.uint16) * np.uint16(65535)], axis=2)


def _turned(size: tuple[int, int], read: Read, orientation: int) -> Rows:
    """The rows of an image of (width, height) as EXIF's orientation says that they lie."""
    width, height = size
    sideways = orientation >= 5
    length = width if sideways else height
    # EXIF 2.3, section 4.6.4: from which end rows are counted, and along them columns.
    backwards = orientation in (3, 4, 7, 8)
    mirrored = orientation in (2, 3, 6, 7)

    def rows(first: int, last: int) -> Levels:
        begin, end = (length - last, length - first) if backwards else (first, last)
        part = read((begin, 0, end, height) if sideways else (0, begin, width, end))
        part = part.swapaxes(0, 1) if sideways else part
        return part[:: -1 if backwards else 1, :: -1 if mirrored else 1]

    sample = read((0, 0, 1, 1))
    return Rows(length, height if sideways else width, sample.shape[2], sample.dtype, rows)


def _flat(rows: Rows) -> int | None:
    if not rows.has_alpha:
        return None
    levels = {int(level) for band in bands_of(rows) for level in (band[..., -1].min(), band[..., -1].max())}
    return levels.pop() if len(levels) == 1 else None


def _describing(exif: Image.Exif, orientation: bool) -> Image.Exif | None:
    """What EXIF says of a picture but how it is stored (or with the `orientation`); None where it says nothing."""
    found = Image.Exif()
    for tag, value in exif.items():
        if tag in _DESCRIBING or (orientation and tag == _ORIENTATION):
            found[tag] = value
    for part in _PARTS:
        content = {tag: value for tag, value in exif.get_ifd(part).items() if tag not in _SIZES}
        if content:
            found.get_ifd(part).update(content)
    return found if len(found) or any(found.get_ifd(part) for part in _PARTS) else None


def _resolution(image: Image.Image, exif: Image.Exif) -> tuple[float, float] | None:
    """Pixels per inch; of formats that have no place of their own for it, as EXIF says."""
    across, down = image.info.get("dpi") or (exif.get(_RESOLUTION[0], 0), exif.get(_RESOLUTION[1], 0))
    if "dpi" not in image.info and exif.get(_RESOLUTION[2], 2) == 3:
        across, down = 2.54 * float(across), 2.54 * float(down)
    try:
        found = float(across), float(down)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return found if all(0 < one < float("inf") for one in found) else None


@contextmanager
def larger(
    opened: Opened,
    network: Loaded,
    scale: int | None = None,
    workers: int | None = None,
    progress: Callable[[float], None] = lambda part: None,
) -> Iterator[Rows]:
    """The picture as a network makes it; see `esr_ray.inference.enlarge.enlarging`."""
    rows = opened.rows()
    with enlarging(rows if opened.flat is None else without_alpha(rows), network, scale, workers, progress) as made:
        yield made if opened.flat is None else with_alpha(made, opened.flat)


def opened_array(picture: Levels) -> Opened:
    """An array (h, w, channels) as a picture."""
    return Opened(lambda: rows_of(picture))
