"""Journals of all formats, damaged as bytes and as lines, and changed with checksums that are right again."""

import json
import os
import random as random_module
import tempfile
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from unittest.mock import patch

from fuzzing import Kind
from mutations import as_json, of_bytes, of_lines, of_tree, tree
from test_runs_old_format import WHOLE
from worlds import PROMOTION, InProcess, World, make_config, moody, search

from esr_ray.runs import journal
from esr_ray.runs.history import History
from esr_ray.runs.journal import Journal
from esr_ray.runs.population import population_lines
from esr_ray.runs.record import read_events, read_history
from esr_ray.search.make import limits_of
from esr_ray.search.ranking import view_of

LATER = [one for one in WHOLE[-6:] if one[0] != "finished"]
"""What is not of the search."""


@cache
def journals():
    """The bytes of a whole search, and of a run of format 1."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        # The same bytes in each process.
        stack.enter_context(patch.object(os, "fsync", lambda descriptor: None))
        stack.enter_context(patch.object(time, "time", lambda: 1.7e9))
        stack.enter_context(patch.object(random_module, "random", lambda: 0.5))
        searched, old = Path(folder) / "3.jsonl", Path(folder) / "1.jsonl"
        config = make_config(3, 3, promotion=PROMOTION, predictor=None, race=None)
        search(searched, config, InProcess(World(moody(3))))
        with Journal(searched) as file:
            for kind, content in LATER:
                file.append(kind, content)
        with patch.object(journal, "FORMAT", 1), Journal(old) as file:
            for kind, content in WHOLE:
                file.append(kind, content)
        return searched.read_bytes(), old.read_bytes()


def make(random):
    content = random.choice(journals())
    match random.randrange(5):
        case 0:
            return of_bytes(random, content), True
        case 1:
            # In format 1 a line's checksum is of that line alone: one that is missing does not show.
            return b"".join(of_lines(random, content.splitlines(keepends=True))), content == journals()[0]
    events = [json.loads(line) for line in content.splitlines()]
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(events))
        match random.randrange(8):
            case 0:
                del events[place]
            case 1:
                events.insert(random.randrange(len(events) + 1), events[place])
            case 2:
                events.insert(place, {"v": 3, "event": "finished", "more": tree(random)})
            case _:
                events[place] = of_tree(random, events[place])
        if not events:
            break
    return sealed(random, events), False


def sealed(random, events):
    """As a journal has them, with checksums that are right."""
    lines, before = [], ""
    for event in events:
        if isinstance(event, dict):
            event.pop("crc", None)
            if isinstance(event.get("v"), int) and random.random() < 0.995:
                before = event["crc"] = journal._checksum(event, before)
        lines.append(as_json(event).encode() + b"\n")
    if random.random() < 0.01:
        lines.insert(random.randrange(len(lines) + 1), random.choice((b"[" * 100_000, b"9" * 5_000)) + b"\n")
    return b"".join(lines)


@cache
def known(index):
    """The events of an undamaged journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(journals()[index])
        return read_events(journal.read_journal(path).events, path)


def read(given, place):
    content, damaged = given
    place.write_bytes(content)
    history = read_history(place)
    if damaged:
        assert seen(history) in beginnings(), "damage is read as something else"
    view = view_of(history.state, limits=limits_of(make_config().evolution))
    ranked = view.individuals(view.order)
    assert len(ranked) == len(view.ids)
    assert len(population_lines(history).splitlines()) == len(history.state.candidates)
    # A run that goes on appends to what is there.
    with patch.object(os, "fsync", lambda descriptor: None), Journal(place) as file:
        file.append("closed", {"reason": "stopped"})
    assert read_history(place).closed.reason == "stopped"


def seen(history):
    return history.state.outcomes, history.state.jobs, dict(history.trained), history.closed


@cache
def beginnings():
    """What is seen of each beginning of either journal."""
    found = []
    for index in range(2):
        history = History()
        found.append(seen(history))
        for event in known(index):
            history.add(event)
            found.append(seen(history))
    return found


JOURNALS = Kind("journals", make, read, lambda: [(content, True) for content in journals()])
