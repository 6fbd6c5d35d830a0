"""A picture through a network: in tiles, on all cores, and row by row, so that memory does not grow with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from PIL import Image

from esr_ray.cores import usable_cores
from esr_ray.inference.bleeding import unbled_rows
from esr_ray.inference.load import Loaded
from esr_ray.inference.rows import BAND, Rows, collect, rows_of, streamed
from esr_ray.inference.tiles import Span, spans
from esr_ray.tasks.task import Levels

COLOURS = 2
"""Pixels to each side that the bicubic enlargement of colours sees."""
LANCZOS = 3
"""Pixels of the smaller picture to each side that Pillow's filter of that name sees."""
Tell = Callable[[float], None]


@contextmanager
def enlarging(
    rows: Rows,
    network: Loaded,
    scale: int | None = None,
    workers: int | None = None,
    progress: Tell = lambda part: None,
    side: int | None = None,
) -> Iterator[Rows]:
    """A picture as a network makes it, `scale` times as large (or as the network enlarges), computed as it is read.

    A network is used again until the picture is large enough, and what is too large then is made smaller by Lanczos'
    filter. Transparency is enlarged as a grey picture of its own. Grey pictures stay grey; of a mosaic comes RGB. It is
    what the network makes of the whole picture, though at most `workers` tiles (of all cores, one each) are computed at
    a time. `progress` is told the part that is done, from 0 to 1.

    Raises ValueError for a network that keeps the size, where that is to change, for one of mosaics, where the picture
    is not grey, and in reading where the output is not finite.
    """
    factor = network.task.enlargement
    scale = scale or factor
    if factor == 1 and scale != 1:
        raise ValueError(f"a network for {network.task.title} keeps the size of pictures: no scale {scale}")
    if network.task.of_mosaic and rows.channels != 1:
        raise ValueError(f"a network for {network.task.title} takes grey pictures, the mosaic of a sensor")
    times, reached = 1, factor
    while reached < scale:
        times, reached = times + 1, reached * factor
    areas = [factor ** (2 * index) * rows.height * rows.width for index in range(times)]
    done = 0

    def tell(pixels: int) -> None:
        nonlocal done
        done += pixels
        progress(done / sum(areas))

    sight = network.sight
    wanted = scale * rows.height, scale * rows.width
    if rows.has_alpha:
        # Each use of the network sees as far, in ever smaller pixels.
        rows = unbled_rows(rows, None if sight.reach is None else 2 * max(COLOURS, sight.reach))
    # MindSpore's operators have threads of their own.
    threads = 1 if network.predictor.kernels == "plain" else workers or usable_cores()
    pool = ThreadPoolExecutor(threads)
    try:
        for _ in range(times):
            rows = _once(rows, network, pool, tell, side or network.side)
        yield rows if (rows.height, rows.width) == wanted else _resized(rows, *wanted)
    finally:
        pool.shutdown(cancel_futures=True)


def enlarge(
    picture: Levels,
    network: Loaded,
    workers: int | None = None,
    progress: Tell = lambda part: None,
    side: int | None = None,
    scale: int | None = None,
) -> Levels:
    """A picture (h, w, channels), uint8 or uint16, larger: as `enlarging`, as a whole."""
    with enlarging(rows_of(picture), network, scale, workers, progress, side) as rows:
        return collect(rows)


def _once(rows: Rows, network: Loaded, pool: Executor, tell: Callable[[int], None], side: int) -> Rows:
    """Rows put through the network one time."""
    task, spec = network.task, network.spec
    cell, scale = task.cell, spec.scale
    sight = network.sight
    if sight.reach is not None:
        sight = replace(sight, reach=max(COLOURS, sight.reach))
    height, width = task.enlargement * rows.height, task.enlargement * rows.width
    channels = 3 if task.of_mosaic else rows.channels
    across = spans(-(-rows.width // cell), sight, side)
    # Of a wide picture fewer rows at a time.
    most = BAND // max(1, scale**2 * across[-1].end * channels * rows.kind.itemsize)
    down = spans(-(-rows.height // cell), sight, min(side, max(most, 64)))

    def begin(span: Span) -> tuple[Levels, list[Future[int]]]:
        part = _of_cells(rows, span, cell)
        band = np.empty((scale * (span.last - span.first), scale * across[-1].last, channels), rows.kind)
        parts = [(part[:, cell * right.start : cell * right.end], right) for right in across]
        return band, [pool.submit(make, piece, span, right, band) for piece, right in parts]

    def make(part: Levels, span: Span, right: Span, band: Levels) -> int:
        # Each tile has its own place: results need not be kept beside the band.
        band[:, right.kept(scale)] = _through(network, part)[span.within(scale), right.within(scale)]
        return cell**2 * (span.last - span.first) * (right.last - right.first)

    def bands() -> Iterator[Levels]:
        # The next row of tiles is begun before this one has ended, that no core waits.
        begun: deque[tuple[Levels, list[Future[int]]]] = deque()
        for place in range(len(down) + 1):
            if place < len(down):
                begun.append(begin(down[place]))
            if place:
                band, futures = begun.popleft()
                for future in futures:
                    tell(future.result())
                yield band[: height - scale * down[place - 1].first, :width]

    return streamed(height, width, channels, rows.kind, bands())


def _of_cells(rows: Rows, span: Span, cell: int) -> Levels:
    """The rows of cells. An odd mosaic goes on beyond its border as its pattern does: mirrored about the last pixel."""
    part = rows.read(cell * span.start, min(cell * span.end, rows.height))
    odd = cell * span.end - cell * span.start - part.shape[0], -part.shape[1] % cell
    return np.pad(part, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="reflect") if any(odd) else part


def _through(network: Loaded, part: Levels) -> Levels:
    """What a network makes of a part of a picture, with what is transparent as a picture of its own."""
    if network.task.of_mosaic or part.shape[2] == 3:
        return network.task.complete(network.predictor.predict(network.task.given(part)[None])[0], part)
    if part.shape[2] == 1:
        made = _through(network, np.repeat(part, 3, axis=2))
        mean = (made.sum(2, dtype=np.uint32, keepdims=True) + 1) // 3
        return mean.astype(part.dtype)
    return np.concatenate([_through(network, part[..., :-1]), _through(network, part[..., -1:])], axis=2)


def _resized(rows: Rows, height: int, width: int) -> Rows:
    """Rows made smaller by Lanczos' filter, as Pillow does it to the whole picture."""
    factor = rows.height / height
    margin = int(LANCZOS * factor) + 2
    least = max(1, BAND // max(1, int(factor * rows.width * rows.channels * rows.kind.itemsize)))

    def bands() -> Iterator[Levels]:
        for first in range(0, height, least):
            last = min(height, first + least)
            top = max(0, int(first * factor) - margin)
            part = rows.read(top, min(rows.height, int(last * factor) + margin))
            box = (0.0, first * factor - top, float(rows.width), last * factor - top)
            yield np.concatenate([_shrunk(plane, (width, last - first), box) for plane in _planes(part)], axis=2)

    return streamed(height, width, rows.channels, rows.kind, bands())


def _planes(part: Levels) -> list[Levels]:
    """Channel by channel: Pillow has no colours of 16 bits, and would weigh colours with the transparency."""
    return [np.ascontiguousarray(part[..., channel]) for channel in range(part.shape[2])]


def _shrunk(plane: Levels, size: tuple[int, int], box: tuple[float, float, float, float]) -> Levels:
    deep = plane.dtype != np.uint8
    image = Image.fromarray(plane.astype(np.float32) if deep else plane)
    values = np.asarray(image.resize(size, Image.Resampling.LANCZOS, box))
    if deep:
        values = np.clip(values + np.float32(0.5), 0, np.iinfo(plane.dtype).max)
    return values.astype(plane.dtype)[..., None]
