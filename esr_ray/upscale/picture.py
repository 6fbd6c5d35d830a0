"""Pictures as people have them: what a file holds beside its colours is kept, and what had to be changed is said."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from esr_ray.errors import UserError
from esr_ray.tasks.task import U8

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
WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
_ORIENTATION = 0x0112
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
JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Opened:
    """A file's picture: `colour` (h, w, 3) uint8, its transparency `alpha` (h, w) where it has one, whether it was
    `grey`; what is to be kept beside it (ICC profile, EXIF, resolution), and `notes` on what was changed."""

    colour: U8
    alpha: U8 | None
    grey: bool
    kept: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether it is equally transparent everywhere: nothing is to be made up then."""
        return self.alpha is None or bool(self.alpha.min() == self.alpha.max())


def open_picture(path: Path, first_frame: bool = False) -> Opened:
    """Read a picture; an EXIF orientation is applied, palettes become colours.

    Raises UserError, naming the file, where it is missing, empty, damaged, of another format or without 8 bits that can
    be had, and where it is animated, unless only the `first_frame` is wanted.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path}: is empty")
        with warnings.catch_warnings():
            # Large pictures are normal here; Pillow still refuses absurd ones with an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=READ) as image:
                return picture_of(image, str(path), first_frame)
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except UnidentifiedImageError:
        raise UserError(f"{path}: is no picture in one of the formats {', '.join(READ)}") from None
    except Exception as error:
        # Pillow's decoders raise nearly anything on damaged files (OSError, SyntaxError, ValueError, struct.error).
        raise UserError(f"{path}: cannot be decoded ({error}); it may be damaged") from None


def picture_of(image: Image.Image, name: str, first_frame: bool = False) -> Opened:
    """What an image of Pillow's holds. Raises UserError as `open_picture` does."""
    frames = getattr(image, "n_frames", 1)
    notes = []
    if frames > 1:
        if not first_frame:
            raise UserError(f"{name}: has {frames} frames; --first-frame takes the first one alone")
        notes.append(f"first of {frames} frames")
    deep = any(";16" in str(tile[-1]) for tile in getattr(image, "tile", []))
    image.load()
    kept = {name: image.info[name] for name in ("icc_profile", "dpi") if image.info.get(name)}
    exif = image.getexif()
    if exif.get(_ORIENTATION, 1) not in (0, 1):
        image = ImageOps.exif_transpose(image)
        notes.append("turned as EXIF says")
    if (said := _describing(exif)) is not None:
        kept["exif"] = said
    if image.mode == "F":
        raise UserError(f"{name}: holds floating-point pixels, whose range is unknown; save it as 8 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{name}: holds more than 16 bits a pixel; save it as 8 or 16 bits")
        # 65535 = 257·255, so this is the nearest 8-bit value.
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        deep = True
    if deep:
        notes.append("16 bits, reduced to 8")
    if image.mode == "CMYK":
        # The profile is of inks.
        kept.pop("icc_profile", None)
        notes.append("CMYK, made RGB")
    grey = image.mode in ("1", "L", "LA", "La")
    alpha = None
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        # Through RGBA, where a palette's transparency goes into alpha and not into the colours.
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"), np.uint8)
    return Opened(np.array(image.convert("RGB"), np.uint8), alpha, grey, kept, tuple(notes))


def _describing(exif: Image.Exif) -> bytes | None:
    """What EXIF says of a picture but how it is stored, as a file holds it; None where it says nothing."""
    found = Image.Exif()
    for tag, value in exif.items():
        if tag in _DESCRIBING:
            found[tag] = value
    for part in _PARTS:
        content = {tag: value for tag, value in exif.get_ifd(part).items() if tag not in _SIZES}
        if content:
            found.get_ifd(part).update(content)
    return found.tobytes() if len(found) or any(found.get_ifd(part) for part in _PARTS) else None


class Maker(Protocol):
    """What is done to a picture, RGB; it tells how much of it is done, from 0 to 1."""

    def __call__(self, picture: U8, *, progress: Callable[[float], None]) -> U8: ...


def each(opened: Opened, make: Maker, progress: Callable[[float], None] = lambda part: None) -> Opened:
    """The picture with its colours, and its transparency as a picture of its own, put through `make`."""
    colour = opened.colour if opened.alpha is None else unbled(opened.colour, opened.alpha)
    passes = 1 if opened.flat else 2
    made = make(colour, progress=lambda part: progress(part / passes))
    if opened.grey:
        made = _grey(made)
    alpha = None
    if opened.alpha is not None:
        spread = np.repeat(opened.alpha[..., None], 3, axis=2)
        alpha = (
            np.full(made.shape[:2], opened.alpha[0, 0])
            if opened.flat
            else _grey(make(spread, progress=lambda part: progress((1 + part) / 2)))[..., 0]
        )
    return replace(opened, colour=made, alpha=alpha)


def unbled(colour: U8, alpha: U8) -> U8:
    """Colours with those that nobody sees replaced by the nearest that are seen: else they would bleed into the edge of
    what is opaque."""
    seen = alpha > 0
    if seen.all() or not seen.any():
        return colour
    # Imported late: only pictures with holes need it.
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return np.ascontiguousarray(colour[rows, columns])


def _grey(colour: U8) -> U8:
    mean = (colour.astype(np.uint16).sum(2) + 1) // 3
    return np.repeat(mean.astype(np.uint8)[..., None], 3, axis=2)


def encode(opened: Opened, kind: str) -> bytes:
    """The content of a file in a format; what it cannot hold is left out (`lost` says what)."""
    image = to_image(opened if kind in WITH_ALPHA else replace(opened, alpha=None))
    options: dict[str, Any] = {}
    if kind == "JPEG":
        options = {"quality": JPEG_QUALITY, "subsampling": 0}
    elif kind == "WEBP":
        options = {"lossless": True, "exact": True}
    kept = {} if kind == "BMP" else dict(opened.kept)
    if kind == "BMP" and "dpi" in opened.kept:
        kept = {"dpi": opened.kept["dpi"]}
    if kind == "WEBP":
        kept.pop("dpi", None)
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options, **kept)
    return buffer.getvalue()


def to_image(opened: Opened) -> Image.Image:
    """A picture as an image of Pillow's, with what is kept beside it in its `info`."""
    image = Image.fromarray(opened.colour[..., 0] if opened.grey else opened.colour)
    if opened.alpha is not None:
        image.putalpha(Image.fromarray(opened.alpha))
    image.info.update({**opened.kept})
    return image


def lost(opened: Opened, kind: str) -> str | None:
    """What a format cannot hold of a picture, in words."""
    if opened.alpha is not None and kind not in WITH_ALPHA and int(opened.alpha.min()) < 255:
        return f"{kind} has no transparency: it is lost"
    return None
