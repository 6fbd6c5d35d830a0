"""Journals of all formats, damaged as bytes and as lines, and changed with checksums that are right again."""

import json
import os
import tempfile
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

LATER = WHOLE[-6:]
"""What is not of the search."""


@cache
def journals():
    """The bytes of a whole search, and of a run of format 1."""
    with tempfile.TemporaryDirectory() as folder, patch.object(os, "fsync", lambda descriptor: None):
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
            return b"".join(of_lines(random, content.splitlines(keepends=True))), True
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
    for event in events:
        # Of a name with an end of line `runs.record` tells in two lines.
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            event["event"] = " ".join(event["event"].split())
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
        assert any(history_of(part) == seen(history) for part in beginnings()), "damage is read as something else"
    view = view_of(history.state, limits=limits_of(make_config().evolution))
    ranked = view.individuals(view.order)
    assert len(ranked) == len(view.ids)
    assert len(population_lines(history).splitlines()) == len(history.state.candidates)
    # A run that goes on appends to what is there.
    with patch.object(os, "fsync", lambda descriptor: None), Journal(place) as file:
        file.append("closed", {"reason": "stopped"})
    assert read_history(place).closed.reason == "stopped"


def seen(history):
    return history.state.outcomes, history.state.jobs, history.trained, history.closed


def history_of(events):
    return _histories()[events]


@cache
def beginnings():
    return list(_histories())


@cache
def _histories():
    found = {}
    for index in range(2):
        events = known(index)
        history = History()
        found[index, 0] = seen(history)
        for number, event in enumerate(events, 1):
            history.add(event)
            found[index, number] = seen(history)
    return found


JOURNALS = Kind("journals", make, read)
