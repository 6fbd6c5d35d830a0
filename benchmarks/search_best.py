"""The best networks of a world of benchmarks/search.py, by looking at far more networks than any contender may."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from common import say
from search_rows import Arch
from search_surrogate import PLACE, SAMPLE, Surrogate, read_kept, sample_archs
from search_world import LONGEST, front, hypervolume

from esr_ray.randomness import generator
from esr_ray.space.space import Space
from esr_ray.space.spec import split_frame

RANDOM, STARTS, KICKS = 20_000, 20, 20
"""Random networks; climbs from the best of them; climbs from the best known after some random changes."""
PRICES = (0.0, 0.01, 0.03, 0.1, 0.3)
"""dB that 10,000 mult-adds for each LR pixel cost in a climb: 0 climbs to the best, the others along the front."""
PRICED_STARTS = 5


@dataclass(frozen=True)
class Best:
    """Of one world: the best network by true long value (dB), the front, and the hypervolume's reference point.

    The point is (median true long value of random networks, greatest mult-adds for each LR pixel of random networks).
    """

    arch: Arch
    value: float
    front: tuple[Arch, ...]
    point: tuple[float, float]
    volume: float
    """Of the front."""
    looked_at: int


def best_known(world: Surrogate, kept: Path, key: str) -> Best:
    """The best of a world; from the file where it has it, else looked for (a minute or two) and kept there.

    `key` names the table, see `table_key`.
    """
    content = read_kept(kept, key)
    found = content.setdefault("worlds", {}).get(str(world.world))
    if found is None:
        say(f"looking for the best networks of world {world.world}")
        best = look(world)
        content["worlds"][str(world.world)] = asdict(best)
        kept.write_text(json.dumps(content))
        return best
    return Best(
        **{
            **found,
            "arch": tuple(found["arch"]),
            "front": tuple(map(tuple, found["front"])),
            "point": tuple(found["point"]),
        }
    )


def look(world: Surrogate, random: int = RANDOM, starts: int = STARTS, kicks: int = KICKS) -> Best:
    """Random networks, climbs from the best of them, and climbs from the best known after random changes."""
    space, rng = world.space, generator(world.world, "best known")
    seen = _Seen(world)
    drawn = sample_archs(space, random)
    seen.look(drawn)
    few = drawn[:SAMPLE]
    point = (float(np.median([seen.values[arch] for arch in few])), max(space.cost(arch).mult_adds for arch in few))
    for price in PRICES:
        for arch in seen.best(price, starts if price == 0 else PRICED_STARTS):
            _climb(arch, price, seen, space)
    for _ in range(kicks):
        arch = seen.best(0.0, 1)[0]
        for _ in range(3):
            choices = [one for one in neighbours(arch, space) if space.allows(one)]
            arch = choices[int(rng.integers(len(choices)))]
        _climb(arch, 0.0, seen, space)
    best = seen.best(0.0, 1)[0]
    kept = front(seen.values, seen.values.__getitem__, lambda one: space.cost(one).mult_adds)
    points = [(seen.values[arch], space.cost(arch).mult_adds) for arch in kept]
    return Best(best, seen.values[best], tuple(kept), point, hypervolume(points, *point), len(seen.values))


class _Seen:
    """True long values of all networks looked at."""

    def __init__(self, world: Surrogate) -> None:
        self.world = world
        self.values: dict[Arch, float] = {}

    def look(self, archs: Iterable[Arch]) -> None:
        new = [arch for arch in dict.fromkeys(archs) if arch not in self.values]
        if new:
            values = self.world.values(new)[:, PLACE[LONGEST]]
            self.values.update(zip(new, map(float, values), strict=True))

    def priced(self, arch: Arch, price: float) -> float:
        return self.values[arch] - (price * self.world.space.cost(arch).mult_adds / 1e4 if price else 0.0)

    def best(self, price: float, count: int) -> list[Arch]:
        return sorted(self.values, key=lambda arch: -self.priced(arch, price))[:count]


def neighbours(arch: Arch, space: Space) -> list[Arch]:
    """Networks with one block replaced, left out, added or swapped with the next; budgets are not looked at."""
    frame, blocks = split_frame(arch)
    if frame is not None:
        return [(arch[0], *one) for one in neighbours(blocks, space)]
    names, places = space.vocabulary.names, range(len(arch))
    found = [(*arch[:at], name, *arch[at + 1 :]) for at in places for name in names]
    found += [(*arch[:at], *arch[at + 1 :]) for at in places]
    found += [(*arch[:at], *arch[at : at + 2][::-1], *arch[at + 2 :]) for at in places[:-1]]
    if len(arch) < space.node_num:
        found += [(*arch[:at], name, *arch[at:]) for at in range(len(arch) + 1) for name in names]
    return [one for one in dict.fromkeys(found) if one != arch]


def _climb(arch: Arch, price: float, seen: _Seen, space: Space) -> None:
    seen.look([arch])
    while True:
        around: Sequence[Arch] = [one for one in neighbours(arch, space) if space.allows(one)]
        seen.look(around)
        better = max(around, key=lambda one: seen.priced(one, price), default=arch)
        if seen.priced(better, price) <= seen.priced(arch, price):
            return
        arch = better
