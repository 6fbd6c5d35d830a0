"""Charts drawn with Pillow, for what TensorBoard's own charts cannot show: the front, and all loss curves in one.

Made to be read where TensorBoard shows them, in a card half as wide: large type, thick lines. Few colours, so
that a file is some 20 KB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 720, 540
SHARPER = 2
"""Drawn so many times larger and then reduced, as Pillow's lines have steps."""
TYPE = 22
LEFT, RIGHT, TOP, BOTTOM = 112, 24, 48, 80

INK: Colour = (30, 30, 30)
GRID: Colour = (228, 228, 228)
PALE: Colour = (205, 205, 205)
GREY: Colour = (140, 140, 140)
BLUE: Colour = (31, 100, 180)
RED: Colour = (214, 39, 40)
PALETTE: tuple[Colour, ...] = (
    (31, 100, 180),
    (44, 140, 60),
    (230, 130, 20),
    (130, 80, 170),
    (90, 40, 10),
    (20, 170, 180),
    (230, 70, 160),
    (30, 30, 30),
)


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: what it shows, from the least to the greatest value (in that unit)."""

    label: str
    low: float
    high: float
    logarithmic: bool = False

    def place(self, values: Floats | float) -> Floats:
        """Values as parts of the axis' length; those beyond its ends are at the ends."""
        low, high, given = self.low, self.high, np.clip(np.asarray(values, np.float64), self.low, self.high)
        if self.logarithmic:
            low, high, given = math.log(low), math.log(high), np.log(given)
        return np.asarray((given - low) / (high - low))

    def ticks(self) -> list[float]:
        """Round values within the axis, about six."""
        if self.logarithmic and self.high / self.low > 5:
            low, high = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            ratio = self.high / self.low
            steps = (1, 2, 3, 5, 7) if ratio < 20 else (1, 2, 5) if ratio < 1000 else (1,)
            found = [step * 10.0**power for power in range(low, high + 1) for step in steps]
            return [one for one in found if self.low <= one <= self.high]
        step = _round_step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        return [count * step for count in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_over(label: str, values: Sequence[float] | Floats, logarithmic: bool = False) -> Axis:
    """An axis that has room for these finite values, and a little more."""
    low, high = float(np.min(values)), float(np.max(values))
    if logarithmic:
        low = max(low, 1e-12)
        return Axis(label, low / 1.1, max(high, low) * 1.1, True)
    room = 0.06 * (high - low) or max(0.5 * abs(high), 1e-6)
    return Axis(label, low - room, high + room)


@dataclass(frozen=True)
class Mark:
    """A network of the front: where it stands, PSNR with its standard error, and its name."""

    x: float
    psnr: float
    error: float
    name: str


def front_chart(
    title: str,
    label: str,
    short: Floats,
    long: Floats,
    front: Sequence[Mark],
    line: Sequence[Mark],
    winner: Mark | None,
    figure: str = "PSNR-Y, dB",
) -> bytes:
    """PNG: fitness (called `figure`) of candidates over a cost called `label`. `short` and `long` (n, 2) are cost and
    fitness of those trained for less than the greatest length, and for all of it; a line joins those of the `front`
    that are in `line`."""
    marked = [*front, *([winner] if winner is not None else [])]
    points = np.concatenate([short, long, _places(marked)])
    if not len(points):
        points = np.zeros((1, 2))
    ends = [one.psnr + sign * one.error for one in marked for sign in (-1, 1)]
    floor = _floor(points[:, 1], [one.psnr - one.error for one in marked])
    shown = np.concatenate([np.maximum(points[:, 1], floor), ends])
    chart = Chart(title, axis_over(label, points[:, 0]), axis_over(figure, shown))
    chart.dots(short, 4, PALE)
    chart.dots(long, 4, GREY)
    chart.line(_places(sorted(line, key=lambda one: one.x)), BLUE, 3)
    for one in front:
        chart.error_bar(one, BLUE)
    chart.dots(_places(front), 7, BLUE)
    if winner is not None:
        chart.error_bar(winner, RED)
        chart.dots(_places([winner]), 10, RED)
    below = int((points[:, 1] < floor).sum())
    chart.legend(
        [
            *([(RED, f"winner: {winner.name}")] if winner is not None else []),
            *([(BLUE, "front, ± standard error")] if front else []),
            *([(GREY, "trained longest")] if len(long) else []),
            *([(PALE, "trained shorter")] if len(short) else []),
            *([(None, f"{below} at the lower edge are worse")] if below else []),
        ]
    )
    return chart.png()


def curves_chart(title: str, past: Sequence[Floats], front: Sequence[tuple[str, Floats]]) -> bytes:
    """PNG: curves (n, 2) of loss over steps; those of `front` in colours with their names, the others grey."""
    every = [one for one in (*past, *(curve for _, curve in front)) if len(one)]
    points = np.concatenate(every) if every else np.ones((1, 2))
    # What networks learn in their first steps would press together what tells them apart.
    losses = np.maximum(points[:, 1], 1e-12)
    high = min(float(losses.max()), 3 * float(np.median(losses)))
    chart = Chart(
        title,
        axis_over("step of the training", [0.0, float(points[:, 0].max())]),
        axis_over("mean loss", np.minimum(losses, high), logarithmic=True),
    )
    for curve in past:
        chart.line(curve, PALE, 1)
    coloured = list(zip(front, PALETTE, strict=False))
    for (_, curve), colour in reversed(coloured):
        chart.line(curve, colour, 3)
    rest: list[tuple[Colour | None, str]] = [(PALE, "the others")] if past else []
    chart.legend([*((colour, name) for (name, _), colour in coloured), *rest], right=True, top=True)
    return chart.png()


def _places(marks: Sequence[Mark]) -> Floats:
    return np.array([(one.x, one.psnr) for one in marks], np.float64).reshape(-1, 2)


def _floor(values: Floats, marked: Sequence[float]) -> float:
    """The least value that is shown where it is: bad networks far below must not press the good ones together."""
    middle, high = float(np.median(values)), float(values.max())
    return min([max(float(values.min()), middle - 1.5 * (high - middle)), *marked])


def _round_step(step: float) -> float:
    """The least of 1, 2, 5, 10, 20, ... that is no less than `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


class Chart:
    """A sheet with two axes to draw on."""

    def __init__(self, title: str, x: Axis, y: Axis) -> None:
        self.x, self.y = x, y
        self._image = Image.new("RGB", (WIDTH * SHARPER, HEIGHT * SHARPER), "white")
        self._draw = ImageDraw.Draw(self._image)
        self._text(LEFT, TOP / 2, title, "lm", TYPE + 2)
        self._frame()

    def dots(self, points: Floats, radius: float, colour: Colour) -> None:
        """A dot at each point (n, 2)."""
        for x, y in self._places(points):
            box = [(side + sign * radius) * SHARPER for sign in (-1, 1) for side in (x, y)]
            self._draw.ellipse(box, fill=colour, outline="white", width=SHARPER)

    def line(self, points: Floats, colour: Colour, width: int) -> None:
        """A line through points (n, 2)."""
        if len(points) > 1:
            places = [(x * SHARPER, y * SHARPER) for x, y in self._places(points)]
            self._draw.line(places, fill=colour, width=width * SHARPER, joint="curve")

    def error_bar(self, mark: Mark, colour: Colour) -> None:
        """A mark's PSNR, up and down by its standard error."""
        ends = np.array([(mark.x, mark.psnr - mark.error), (mark.x, mark.psnr + mark.error)])
        self.line(ends, colour, 2)
        for x, y in self._places(ends):
            self._draw.line([(x - 5) * SHARPER, y * SHARPER, (x + 5) * SHARPER, y * SHARPER], colour, 2 * SHARPER)

    def legend(self, entries: Sequence[tuple[Colour | None, str]], right: bool = True, top: bool = False) -> None:
        """Names of colours in a corner, on white."""
        if not entries:
            return
        size, font = TYPE - 4, _font(TYPE - 4)
        width = max(font.getlength(name) for _, name in entries) / SHARPER + 36
        height = len(entries) * (size + 6) + 8
        left = WIDTH - RIGHT - width - 8 if right else LEFT + 8
        upper = TOP + 8 if top else HEIGHT - BOTTOM - height - 8
        box = [left * SHARPER, upper * SHARPER, (left + width) * SHARPER, (upper + height) * SHARPER]
        self._draw.rectangle(box, fill="white", outline=GRID, width=SHARPER)
        for number, (colour, name) in enumerate(entries):
            middle = upper + 4 + (number + 0.5) * (size + 6)
            if colour is not None:
                dot = [(side + sign * 6) * SHARPER for sign in (-1, 1) for side in (left + 14, middle)]
                self._draw.ellipse(dot, fill=colour)
            self._text(left + 28, middle, name, "lm", size)

    def png(self) -> bytes:
        """The finished chart."""
        reduced = self._image.reduce(SHARPER)
        buffer = BytesIO()
        # Colours that are given take less time than to find some, and none of them is lost.
        reduced.quantize(palette=_colours(), dither=Image.Dither.NONE).save(buffer, format="PNG")
        return buffer.getvalue()

    def _places(self, points: Floats) -> list[tuple[float, float]]:
        if not len(points):
            return []
        x = LEFT + self.x.place(points[:, 0]) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - self.y.place(points[:, 1]) * (HEIGHT - TOP - BOTTOM)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    def _frame(self) -> None:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value in self.x.ticks():
            ((x, _),) = self._places(np.array([(value, self.y.low)]))
            self._draw.line([x * SHARPER, TOP * SHARPER, x * SHARPER, bottom * SHARPER], GRID, SHARPER)
            self._text(x, bottom + 8, _number(value), "mt")
        for value in self.y.ticks():
            ((_, y),) = self._places(np.array([(self.x.low, value)]))
            self._draw.line([LEFT * SHARPER, y * SHARPER, right * SHARPER, y * SHARPER], GRID, SHARPER)
            self._text(LEFT - 8, y, _number(value), "rm")
        edges = [LEFT * SHARPER, TOP * SHARPER, right * SHARPER, bottom * SHARPER]
        self._draw.rectangle(edges, outline=INK, width=SHARPER)
        self._text((LEFT + right) / 2, HEIGHT - 24, self.x.label, "mm")
        # Turned, it reads upwards beside the axis.
        font = _font(TYPE)
        label = Image.new("RGB", (int(font.getlength(self.y.label)) + 4, (TYPE + 8) * SHARPER), "white")
        ImageDraw.Draw(label).text((2, label.height // 2), self.y.label, INK, font, "lm")
        turned = label.rotate(90, expand=True)
        middle = (TOP + bottom) * SHARPER // 2
        self._image.paste(turned, (4 * SHARPER, middle - turned.height // 2))

    def _text(self, x: float, y: float, text: str, anchor: str, size: int = TYPE) -> None:
        self._draw.text((x * SHARPER, y * SHARPER), text, INK, _font(size), anchor)


@cache
def _colours() -> Image.Image:
    """Those of charts, and on their way to the white of the paper, as lines and letters have them at their edges."""
    given = np.array([INK, GRID, PALE, GREY, BLUE, RED, *PALETTE], np.float64)
    mixed = [255 - part * (255 - given) for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    colours = Image.new("P", (1, 1))
    colours.putpalette(np.concatenate(mixed).round().astype(np.uint8).tobytes())
    return colours


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * SHARPER)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _number(value: float) -> str:
    """A tick's value, without the digits that rounding leaves."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
