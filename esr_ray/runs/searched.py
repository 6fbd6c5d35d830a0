"""Networks that a search has found, from its run folder or from the reference's `arch.txt`."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path

from esr_ray.config.schema import Config
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder, stored_config, with_copies
from esr_ray.runs.history import History
from esr_ray.runs.record import read_history
from esr_ray.search.make import limits_of
from esr_ray.search.ranking import view_of
from esr_ray.space.spec import Arch, frame_name, split_frame
from esr_ray.tasks.make import space_of
from esr_ray.user_source import read_source, source_digest

# From where a word begins: from each of its letters it would take the square of its length.
_BLOCK = re.compile(r"\b[A-Za-z]\w*_\d+_\d+_\d+")
_LIST = re.compile(r"\[([^\[\]]*)\]\s*$")
_WITHIN_LIST = re.compile(r"\[[^\[\]]*\]")
_MOST = 100_000
"""Characters of a line; a thousand blocks have a tenth of them."""
_SHOWN = 200
_REFERENCE_FILE = "arch.txt"
_NUMPY_FILE = "selected_arch.npy"
_NUMPY_MAGIC = b"\x93NUMPY"


def is_run(path: Path) -> bool:
    """Whether it is a run folder."""
    return RunFolder(path).journal.is_file()


def run_experiment_config(path: Path) -> Config:
    """The configuration of a run, with the copies of the user's files in the place of the originals."""
    folder = RunFolder(path.absolute())
    config = stored_config(folder)
    if config.space.user_blocks or config.task.file is not None:
        check_files(folder, read_history(folder.journal))
    return with_copies(config, folder)


def check_files(folder: RunFolder, history: History) -> None:
    """Raise UserError if the run folder's copy of a user's file is not the one that the run began with."""
    for place, digest in ((history.run and history.run.files) or {}).items():
        copy = folder.path / place
        if copy.is_file() and source_digest(read_source(copy, "the run's copy")) != digest:
            raise UserError(
                f"{copy}: is not the file that this run began with, so it is not run; bring that back, or begin a new "
                "run with this one"
            )


def searched_networks(path: Path, best: int, framed: bool = False) -> list[Arch]:
    """The `best` networks in fitness of a run folder, of an `arch.txt`, or of each of those within a folder.

    Of a run that trained given networks: these. With `framed`, networks of a run name the channels outside their blocks
    also where all of them have the same. Raises UserError where there is none.
    """
    if is_run(path):
        return _of_run(path, best, framed)
    if path.is_file():
        return _of_reference(path, best)
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run folder or arch.txt")
    if (path / _REFERENCE_FILE).is_file():
        return _of_reference(path / _REFERENCE_FILE, best)
    found = [
        network
        for part in sorted(path.iterdir())
        if _has_networks(part)
        for network in searched_networks(part, best, framed)
    ]
    if not found and (path / _NUMPY_FILE).is_file():
        return _of_reference(path / _NUMPY_FILE, best)
    if not found:
        raise UserError(f"{path}: holds neither run folders nor an {_REFERENCE_FILE}")
    return found


def _has_networks(path: Path) -> bool:
    return path.is_dir() and (is_run(path) or (path / _REFERENCE_FILE).is_file())


def _of_run(path: Path, best: int, framed: bool) -> list[Arch]:
    config = stored_config(RunFolder(path))
    first = (frame_name(config.space.frames[0]),)
    return [(*first, *one) if framed and split_frame(one)[0] is None else one for one in _named(path, config, best)]


def _named(path: Path, config: Config, best: int) -> list[Arch]:
    """The networks of a run as it names them."""
    if config.networks:
        return list(config.networks)
    state = read_history(RunFolder(path).journal).state
    view = view_of(state, limits=limits_of(config.evolution))
    if not view.ids:
        raise UserError(f"{path}: no candidate of this search has finished yet")
    # As where the winner is named: without networks that the space does not hold any more, within the limits first,
    # then what was trained for the longest length before what is only expected of it.
    birth = next(iter(state.jobs.values())).steps
    trained = view.evidence.trained_for(config.evolution.lengths(birth)[-1])
    archs = [view.state.candidates[one].arch for one in view.ids]
    rows = view.order
    if not config.space.user_blocks:
        # A user's blocks are known only once their code has run.
        space = space_of(config)
        rows = tuple(row for row in rows if space.holds(archs[row]))
    ranked = sorted(rows, key=lambda row: (view.violation[row], not trained[row]))
    return [archs[row] for row in ranked[:best]]


def _of_reference(path: Path, best: int) -> list[tuple[str, ...]]:
    """The networks of the reference's file, each once, the best in fitness first."""
    try:
        content = path.read_bytes()
        # NumPy's format may hold pickled objects, which are code; what this file has is in the other one as text.
        if content.startswith(_NUMPY_MAGIC) or path.suffix == ".npy":
            raise UserError(
                f"{path}: is an array of the reference's genes, numbers of blocks in a table of its own, and is not "
                f"read; {_instead_of(path)}"
            )
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: could not be read: {error}") from None
    ranked = sorted(_reference_rows(path, text), key=lambda row: -row[0])
    networks = list(dict.fromkeys(arch for _, arch in ranked))
    if not networks:
        raise UserError(f"{path}: names no network; a row is: fitness, params, flops, [block, block, ...]")
    return networks[:best]


def _instead_of(path: Path) -> str:
    beside = path.parent / _REFERENCE_FILE
    if beside.is_file():
        return f"give {beside}, which has the same networks by name"
    return f"give the {_REFERENCE_FILE} that the same search wrote beside it, which has the same networks by name"


def _reference_rows(path: Path, text: str) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Rows are: fitness, parameters, flops, and the list of block names.

    Or a row is the list alone, as the reference's documentation prints a network: those come after the measured ones.
    A text that begins with such a list may break its lines within it.
    """
    if text.lstrip().startswith("["):
        text = _WITHIN_LIST.sub(lambda listed: " ".join(listed.group().split()), text)
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) > _MOST:
            raise UserError(f"{path}, line {number}: has {len(line):,} characters; a row has at most {_MOST:,}")
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise UserError(f"{path}: is no file of the reference's: {error}") from None
    for number, row in enumerate(rows, 1):
        line = ",".join(row)
        if "[" not in line and not _BLOCK.search(line):
            # `Population Iteration: n`, or an empty line.
            continue
        listed = _LIST.search(line)
        names = tuple(name.strip(" '\"") for name in listed.group(1).split(",")) if listed else ()
        _, blocks = split_frame(names)
        if not blocks or not all(_BLOCK.fullmatch(name) for name in blocks):
            raise UserError(
                f"{path}, line {number}: does not end in a list of blocks such as ['G_8_16_24', 'S_4_16_24']: "
                f"{line[:_SHOWN]}"
            )
        if line.lstrip().startswith("["):
            yield -math.inf, names
            continue
        try:
            fitness = float(row[0].strip())
        except ValueError:
            fitness = math.nan
        if not math.isfinite(fitness):
            raise UserError(f"{path}, line {number}: begins with {row[0][:_SHOWN]!r}, and should with a fitness")
        yield fitness, names
