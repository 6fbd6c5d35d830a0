"""A picture through a network: in tiles, on all cores; only the 8-bit pixels of the result grow with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from PIL import Image

from esr_ray.inference.load import Loaded
from esr_ray.inference.tiles import SIDE, Span, tiles
from esr_ray.tasks.task import U8

COLOURS = 2
"""Pixels to each side that the bicubic enlargement of colours sees."""


def enlarge(
    picture: U8,
    network: Loaded,
    workers: int | None = None,
    progress: Callable[[float], None] = lambda part: None,
    side: int = SIDE,
) -> U8:
    """A picture (h, w, 3), uint8 RGB, as a network makes it: (scale·h, scale·w, 3).

    It is what the network makes of the whole picture, though at most `workers` tiles (of all cores, one each) are
    computed at a time. `progress` is told the part that is done, from 0 to 1. Raises ValueError where the output is not
    finite.
    """
    scale, task = network.spec.scale, network.task
    height, width = picture.shape[:2]
    output = np.empty((scale * height, scale * width, 3), np.uint8)

    def make(down: Span, right: Span) -> int:
        part = picture[down.start : down.end, right.start : right.end]
        made = task.complete(network.predictor.predict(task.given(part)[None])[0], part)
        output[down.kept(scale), right.kept(scale)] = made[down.within(scale), right.within(scale)]
        return (down.last - down.first) * (right.last - right.first)

    # MindSpore's operators have threads of their own.
    workers = 1 if network.predictor.kernels == "plain" else workers or len(os.sched_getaffinity(0))
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(make, *tile) for tile in tiles(network.spec, height, width, side, COLOURS)]
        try:
            for future in as_completed(futures):
                done += future.result()
                progress(done / (height * width))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return output


def enlarge_by(
    picture: U8,
    scale: int,
    network: Loaded,
    workers: int | None = None,
    progress: Callable[[float], None] = lambda part: None,
) -> U8:
    """As `enlarge`, by any factor: a network is used again until the picture is large enough, and what is too large
    then is made smaller by Lanczos' filter.

    Raises ValueError as `enlarge` does, and for a network that keeps the size, where that is to change.
    """
    if network.spec.scale == 1 and scale != 1:
        raise ValueError(f"a network for {network.task.title} keeps the size of pictures: no scale {scale}")
    wanted = (scale * picture.shape[0], scale * picture.shape[1])
    times, factor = 1, network.spec.scale
    while factor < scale:
        times, factor = times + 1, factor * network.spec.scale
    # A pass costs as many times the one before as it has pixels.
    costs = [network.spec.scale ** (2 * index) for index in range(times)]
    for index, cost in enumerate(costs):
        before = sum(costs[:index])

        def of_all(part: float, before: int = before, cost: int = cost) -> None:
            progress((before + part * cost) / sum(costs))

        picture = enlarge(picture, network, workers, of_all)
    if picture.shape[:2] == wanted:
        return picture
    small = Image.fromarray(picture).resize(wanted[::-1], Image.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)
