"""Colours that nobody sees, which would bleed into the edge of what is opaque."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from esr_ray.inference.rows import BAND, Rows, streamed
from esr_ray.tasks.task import Levels

# Of the distance transform, for each pixel.
_BYTES = 24


def unbled(colour: Levels, alpha: Levels) -> Levels:
    """Colours (h, w, C) with those that nobody sees, by `alpha` (h, w), replaced by the nearest that are seen."""
    seen = alpha > 0
    if seen.all() or not seen.any():
        return colour
    # Imported late: only pictures with holes need it.
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return np.ascontiguousarray(colour[rows, columns])


def unbled_rows(rows: Rows, reach: int | None) -> Rows:
    """Rows with transparency whose colours do not bleed, if an output pixel depends on `reach` pixels to each side.

    Those that are farther from anything that is seen depend on where bands end, and do not show.
    """
    # In a corner of what it sees, the nearest pixel may be as far as the diagonal.
    margin = rows.height if reach is None else int(1.5 * reach) + 1
    least = max(64, BAND // (_BYTES * rows.width) - 2 * margin)

    def bands() -> Iterator[Levels]:
        for first in range(0, rows.height, least):
            last = min(rows.height, first + least)
            top = max(0, first - margin)
            part = rows.read(top, min(rows.height, last + margin))
            kept = slice(first - top, last - top)
            alpha = part[..., -1]
            yield np.concatenate([unbled(part[..., :-1], alpha)[kept], part[kept, :, -1:]], axis=2)

    return streamed(rows.height, rows.width, rows.channels, rows.kind, bands())
