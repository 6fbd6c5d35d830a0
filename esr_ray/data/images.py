"""Reading pictures from files: whatever the format holds becomes 8-bit RGB, and what was converted is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from esr_ray.errors import UserError
from esr_ray.picture_files import open_image

_EXIF_ORIENTATION = 0x0112
_TIFF_SIZE = (256, 257)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels (H, W, 3) uint8 RGB, and what was converted to get them (None: nothing)."""

    pixels: NDArray[np.uint8]
    note: str | None


def read_picture(path: Path) -> Picture:
    """Decode a picture completely.

    Grey, palette, CMYK and 16-bit pictures are converted; alpha is dropped (colours stay as stored, nothing is blended
    with a background); an EXIF orientation is applied; of several frames the first is taken. UserError, naming the
    file, where it is missing, not a picture, damaged, far larger than its file, or holds floating-point pixels.
    """
    try:
        with open_image(path) as image:
            return _converted(image, path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a picture that Pillow can read; remove it or save it as PNG") from None
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise nearly anything on damaged files (OSError, SyntaxError, ValueError, struct.error).
        raise UserError(f"{path}: cannot be decoded ({error}); replace or remove the file") from None


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) from the header, without decoding; UserError where there is none."""
    try:
        with open_image(path) as image:
            width, height = image.size
            if image.format == "TIFF":
                # Newer versions of Pillow have turned this size already.
                width, height = (int(image.tag_v2[tag]) for tag in _TIFF_SIZE)  # type: ignore[attr-defined]
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in range(5, 9)
            return (width, height) if turned else (height, width)
    except (UserError, MemoryError):
        raise
    except Exception:
        # Says what is wrong, or has a size in spite of it.
        height, width = read_picture(path).pixels.shape[:2]
        return height, width


def _converted(image: Image.Image, path: Path) -> Picture:
    # Pillow reduces 16-bit RGB to 8 bits on its own; only the raw mode tells.
    deep = any(";16" in str(tile[-1]) for tile in getattr(image, "tile", []))
    frames = getattr(image, "n_frames", 1)
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    image.load()
    notes = []
    if orientation in range(2, 9):
        image = ImageOps.exif_transpose(image)
        notes.append("turned as EXIF says")
    mode = image.mode
    if mode == "F":
        raise UserError(f"{path}: holds floating-point pixels, whose range is unknown; save it as 8-bit PNG")
    if mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{path}: holds more than 16 bits a pixel; save it as 8-bit PNG")
        # 65535 = 257·255, so this is the nearest 8-bit value.
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        notes.append("16 bit, reduced to 8")
    elif deep:
        notes.append("16 bit, reduced to 8")
    if image.mode in ("1", "L", "LA", "La"):
        notes.append("grey, converted to RGB")
    elif image.mode in ("P", "PA"):
        notes.append("palette, converted to RGB")
    elif image.mode not in ("RGB", "RGBA", "RGBa", "RGBX"):
        notes.append(f"{image.mode}, converted to RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        notes.append("alpha dropped")
        # Through RGBA, where a palette's transparency goes into alpha and not into the colours.
        image = image.convert("RGBA")
    if frames > 1:
        notes.append(f"first of {frames} frames")
    # Converting copies also where there is nothing to convert.
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
    return Picture(pixels, "; ".join(notes) or None)
