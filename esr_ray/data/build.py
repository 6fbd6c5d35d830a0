"""Decoding and checking all pictures of an experiment before anything is trained, one at a time, into one file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esr_ray.data.images import read_picture, read_size
from esr_ray.data.pairing import check_pair
from esr_ray.data.pairs import Pair
from esr_ray.data.resize import downscale, reduced, reduced_size
from esr_ray.errors import UserError

Sets = Sequence[tuple[str, Sequence[Pair]]]

_NAMES_IN_NOTE = 5


class Written(Protocol):
    """What is written one part after the other."""

    def write(self, data: Any) -> Any: ...

    def tell(self) -> int: ...


@dataclass(frozen=True)
class Entry:
    """Where a pair lies in the pixel file: byte offsets and (H, W) of both pictures, uint8 RGB."""

    name: str
    hr_offset: int
    hr_shape: tuple[int, int]
    lr_offset: int
    lr_shape: tuple[int, int]


def build(sets: Sets, scale: int, out: Written) -> tuple[dict[str, list[Entry]], list[str]]:
    """Write the pixels of all pairs to `out`; return the entries of each set and notes, a line each.

    HR is reduced to the pair's size, and cropped (right, bottom) to a multiple of `scale`; LR is made by `downscale`
    where none is given. UserError, naming the files: a picture that cannot be decoded, or that is smaller than `scale`;
    LR that does not fit its HR (`esr_ray.data.pairing`); the same pixels in two sets.
    """
    entries: dict[str, list[Entry]] = {}
    converted: dict[str, list[str]] = {}
    seen: dict[bytes, tuple[str, Path]] = {}
    for set_name, pairs in sets:
        part = entries.setdefault(set_name, [])
        for pair in pairs:
            hr = _read(pair.hr, converted)
            if pair.size != 1:
                hr = reduced(hr, pair.size)
            _check_new(hr, pair.hr, set_name, seen)
            height, width = hr.shape[0] // scale, hr.shape[1] // scale
            if not height or not width:
                raise UserError(
                    f"{pair.hr}: {hr.shape[1]}x{hr.shape[0]} is too small for scale {scale}; remove the file"
                )
            cropped = hr[: height * scale, : width * scale]
            if cropped.shape != hr.shape:
                converted.setdefault(f"cropped to a multiple of {scale}", []).append(pair.hr.name)
            if pair.lr is None:
                lr = cropped if scale == 1 else downscale(cropped, scale)
            else:
                lr = _read(pair.lr, converted)
                if note := check_pair(hr, lr, pair.hr, pair.lr, scale):
                    converted.setdefault(note, []).append(pair.hr.name)
            start = out.tell()
            out.write(np.ascontiguousarray(cropped).data)
            # Without an enlargement both are one.
            second = start if lr is cropped else start + cropped.size
            if lr is not cropped:
                out.write(np.ascontiguousarray(lr).data)
            part.append(Entry(pair.name, start, (height * scale, width * scale), second, (height, width)))
    return entries, [_note(kind, names) for kind, names in converted.items()]


def needed_bytes(sets: Sets, scale: int) -> int:
    """Return how many bytes `build` will write, from the headers of the HR files."""
    total = 0
    for _, pairs in sets:
        for pair in pairs:
            height, width = (side // scale for side in reduced_size(read_size(pair.hr), pair.size))
            total += 3 * height * width * (scale**2 + (scale > 1))
    return total


def _read(path: Path, converted: dict[str, list[str]]) -> NDArray[np.uint8]:
    picture = read_picture(path)
    if picture.note:
        converted.setdefault(picture.note, []).append(path.name)
    return picture.pixels


def _check_new(hr: NDArray[np.uint8], path: Path, set_name: str, seen: dict[bytes, tuple[str, Path]]) -> None:
    digest = hashlib.sha256(str(hr.shape).encode() + hr.tobytes()).digest()
    other_set, other = seen.setdefault(digest, (set_name, path))
    if other_set != set_name:
        raise UserError(
            f"{other} ({other_set}) and {path} ({set_name}) are the same picture; sets must not overlap, remove one"
        )


def _note(kind: str, names: list[str]) -> str:
    # A picture that is used at several sizes is told once.
    names = list(dict.fromkeys(names))
    more = "" if len(names) <= _NAMES_IN_NOTE else f" and {len(names) - _NAMES_IN_NOTE} more"
    count = "1 picture" if len(names) == 1 else f"{len(names)} pictures"
    return f"{count} {kind}: {', '.join(names[:_NAMES_IN_NOTE])}{more}"
