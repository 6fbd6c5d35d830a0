"""How inputs are damaged: bytes, numbers in binary files, tokens of a text, and trees of plain data."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

EXTREMES = (0, 1, -1, 2, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 62)
NUMBERS = (*EXTREMES, -(1 << 31), 1 << 64, 10**30, 1e-300, 1e308, float("inf"), float("-inf"), float("nan"), 0.5, -0.0)
TEXTS = (
    *("", " ", "x", "x" * 70, "0", "007", "1e400", "-1", "1_000", "²", "٣", "é", "\u2028", "\ud800", "\x00", "\x1b[2J"),
    *("a\nb", "../..", "~", "null", "true", "no", "2024-02-30", "!!python/object:os.system", "${HOME}", "%s", "{}"),
)
TOKENS = (
    *("{", "}", "[", "]", "[" * 60, ": ", "- ", ",", "'", '"', "&a ", "*a", "<<: ", "? ", "| ", "> ", "!!int ", "!x "),
    *(
        "\n",
        "\n  ",
        "\t",
        "#",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        "\ufeff",
        "\x85",
        "1e-4",
        ".inf",
        ".nan",
        "0x1F",
        "1:2",
    ),
    *("2024-02-30", "=", "~", "@", "`", "9" * 50, "null"),
)


def of_bytes(random: Random, content: bytes) -> bytes:
    """Some bytes flipped, set, taken out, put in, doubled, or the end cut off."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        if not changed:
            break
        place, length = random.randrange(len(changed)), random.choice((1, 1, 2, 4, 8, 64))
        match random.randrange(6):
            case 0:
                changed[place] ^= 1 << random.randrange(8)
            case 1:
                changed[place] = random.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = random.randbytes(length)
            case 4:
                changed[place:place] = changed[place : place + length]
            case 5:
                if random.random() < 0.3:
                    del changed[place:]
    return bytes(changed)


def of_field(random: Random, content: bytes, place: int, size: int, order: str) -> bytes:
    """A number of `size` bytes in a binary file made an extreme one, or one beside what it was."""
    before = int.from_bytes(content[place : place + size], order)  # type: ignore[arg-type]
    near = (
        before + 1,
        before - 1,
        before * 2,
        before ^ (1 << random.randrange(8 * size)),
        random.getrandbits(8 * size),
    )
    value = random.choice((*EXTREMES, *near)) % (1 << 8 * size)
    return content[:place] + value.to_bytes(size, order) + content[place + size :]  # type: ignore[arg-type]


def of_text(random: Random, text: str) -> str:
    """Some tokens replaced, taken out, put in, or changed for others of the same text."""
    parts = re.split(r"(\s+|[\[\]{}:,#'\"_-])", text)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        place = random.randrange(len(parts))
        match random.randrange(5):
            case 0:
                parts[place] = random.choice(TOKENS)
            case 1:
                parts[place] = str(random.choice((*NUMBERS, *TEXTS)))
            case 2:
                parts[place] = ""
            case 3:
                other = random.randrange(len(parts))
                parts[place], parts[other] = parts[other], parts[place]
            case 4:
                parts.insert(place, random.choice((*TOKENS, random.choice(parts))))
    return "".join(parts)


def of_lines(random: Random, lines: Sequence[bytes]) -> list[bytes]:
    """Lines taken out, doubled, moved, or one of them damaged."""
    changed = list(lines)
    for _ in range(random.choice((1, 1, 2, 5))):
        if not changed:
            break
        place, other = random.randrange(len(changed)), random.randrange(len(changed))
        match random.randrange(4):
            case 0:
                del changed[place]
            case 1:
                changed.insert(other, changed[place])
            case 2:
                changed[place], changed[other] = changed[other], changed[place]
            case 3:
                changed[place] = of_bytes(random, changed[place])
    return changed


def tree(random: Random, depth: int = 3) -> Any:
    """Any plain data."""
    match random.randrange(8 if depth else 5):
        case 0:
            return random.choice(NUMBERS)
        case 1:
            return random.choice(TEXTS)
        case 2:
            return random.choice((None, True, False))
        case 3:
            return random.randrange(-3, 40)
        case 4:
            return random.random() * 10 ** random.randrange(-4, 5)
        case 5:
            return [tree(random, depth - 1) for _ in range(random.choice((0, 1, 2, 2, 3, 30)))]
        case 6:
            one = tree(random, depth - 1)
            return [copy.deepcopy(one) for _ in range(random.randrange(4))]
    return {random.choice(TEXTS) or str(number): tree(random, depth - 1) for number in range(random.randrange(4))}


def of_tree(random: Random, content: Any) -> Any:
    """A copy of plain data with some places changed: values, keys, lengths of lists, parts in each other's place."""
    changed = [copy.deepcopy(content)]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = _places(changed)
        above, key = random.choice(places)
        match random.randrange(7):
            case 0 | 1:
                above[key] = tree(random, random.randrange(4))
            case 2:
                above[key] = copy.deepcopy(random.choice([parent[one] for parent, one in places]))
            case 3:
                if above is not changed:
                    del above[key]
            case 4:
                if isinstance(above, dict):
                    above[random.choice((*TEXTS, f"{key}x", *map(str, above)))] = above.pop(key)
                else:
                    above[key] = [copy.deepcopy(above[key]) for _ in range(random.choice((0, 1, 2, 200)))]
            case 5:
                value = above[key]
                if isinstance(value, str):
                    above[key] = of_text(random, value) if value else "x"
                elif isinstance(value, int | float):
                    above[key] = random.choice(
                        (value + 1, -value, value * 2, value / 2, str(value), [value], bool(value))
                    )
                elif isinstance(value, list) and value:
                    above[key] = value * random.choice((2, 3, 50))
            case 6:
                above[key] = random.choice(({}, [], "", 0, None))
        if not _places(changed):
            changed = [{}]
    return changed[0]


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Where values are: what holds each, and its key in that."""
    found = []
    waiting = [content]
    while waiting:
        above = waiting.pop()
        keys = list(above) if isinstance(above, dict) else range(len(above))
        for key in keys:
            found.append((above, key))
            if isinstance(above[key], dict | list):
                waiting.append(above[key])
    return found


def as_json(content: Any) -> str:
    """As a file may have it: with NaN, with lone surrogates written out."""
    return json.dumps(content)
