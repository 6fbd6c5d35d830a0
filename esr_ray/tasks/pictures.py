"""Which pictures a run uses: three disjoint sets of HR/LR pictures, and benchmarks beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from esr_ray.config.schema import Config
from esr_ray.data.cache import keep_within
from esr_ray.data.crops import PicturePair, check_border, large_enough, validation_crops
from esr_ray.data.layouts import read_set
from esr_ray.data.sets import PictureSets, resolve_sets
from esr_ray.data.store import Store, StoreSpec, open_store, store_checksum, store_spec
from esr_ray.private import private_folder
from esr_ray.tasks.make import make_task

_SHARED = (
    "the sets are those that the run began with, when copies of one photo were not looked for: some are in two sets; a "
    "new run keeps them in one"
)


@dataclass(frozen=True)
class PicturePlan:
    """Which picture files a run uses, as plain data that every node can open: see `open_pictures`."""

    sets: StoreSpec
    benchmarks: tuple[StoreSpec, ...]
    cache_dir: str | None
    notes: tuple[str, ...]
    border: int
    """Pixels at each side that are not measured."""
    checksum: str | None = None
    """That of `sets` once somebody has opened them: others need not read all files to find the store."""
    benchmark_checksums: tuple[str, ...] = ()
    """Those of `benchmarks`, in their order, likewise."""

    @property
    def checksums(self) -> tuple[str, ...]:
        """Of all stores that somebody has opened."""
        return (*((self.checksum,) if self.checksum is not None else ()), *self.benchmark_checksums)


@dataclass(frozen=True)
class Pictures:
    """Open pictures. `validation` are the parts that fitness is measured on; `checksum` is of the three sets."""

    train: list[PicturePair]
    validation: list[PicturePair]
    test: list[PicturePair]
    checksum: str
    notes: tuple[str, ...]


def plan_pictures(config: Config, recorded: str | None = None) -> PicturePlan:
    """Find the files of all sets. Raises UserError for missing or empty folders and pictures in two sets.

    `recorded` is the checksum of the sets that a run to be gone on with began with. It may have begun when one folder
    was divided by names alone: then it keeps its sets, even if they share copies of a photo.
    """
    task = make_task(config.task)
    scale = task.scale
    found = _sets(config, task.given_lr, by_content=True)
    if recorded is not None and config.data.hr is not None:
        before = _sets(config, task.given_lr, by_content=False)
        parts = (found.train, found.validation, found.test) != (before.train, before.validation, before.test)
        if parts and store_checksum(store_spec(before, scale)) == recorded:
            found = replace(before, notes=(*before.notes, _SHARED))
    sets, notes = [], [*found.notes]
    for one in config.benchmarks:
        part = read_set(one.name, one.hr, one.lr, scale, task.given_lr)
        sets.append(StoreSpec(((one.name, part.pairs),), scale))
        notes += [f"{one.name}: {note}" for note in part.notes]
    return PicturePlan(store_spec(found, scale), tuple(sets), config.runtime.cache_dir, tuple(notes), task.border)


def _sets(config: Config, with_lr: bool, by_content: bool) -> PictureSets:
    cache = _cache_dir(config.runtime.cache_dir)
    return resolve_sets(config.data, config.task.scale, config.seed, with_lr, cache, by_content)


def open_pictures(plan: PicturePlan, config: Config) -> Pictures:
    """Open the three sets on this node, decoding them first where that was not done yet.

    Raises UserError for pictures that are corrupt, mismatched, misaligned or in two sets, and where most of the
    training pictures are smaller than a crop.
    """
    store = open_store(plan.sets, cache_dir(plan), plan.checksum)
    for name in ("validation", "test"):
        check_border(store.sets[name], plan.border)
    train, notes = store.sets["train"], [*store.notes]
    sizes = {
        f"{part}.crop_size": getattr(config, part).crop_size
        for step, part in (("search", "fast_training"), ("full_training", "full_training"))
        if step in config.pipeline
    }
    if sizes:
        # One set of pictures for both trainings: the larger crop decides.
        key = max(sizes, key=sizes.__getitem__)
        train, note = large_enough(train, sizes[key], key)
        notes += [note] if note is not None else []
    validation = validation_crops(store.sets["validation"], config.data.validation_size, config.data.validation_crops)
    return Pictures(train, validation, store.sets["test"], store.checksum, tuple(notes))


def open_benchmarks(plan: PicturePlan) -> list[tuple[str, list[PicturePair]]]:
    """Open the benchmark sets, each by its name."""
    return [pair for store in _benchmark_stores(plan) for pair in store.sets.items()]


def with_checksums(plan: PicturePlan, pictures: Pictures) -> PicturePlan:
    """The plan of open pictures with the checksums of all stores, by which they can be sent to other nodes."""
    return replace(
        plan,
        checksum=pictures.checksum,
        benchmark_checksums=tuple(store.checksum for store in _benchmark_stores(plan)),
    )


def _benchmark_stores(plan: PicturePlan) -> list[Store]:
    known = plan.benchmark_checksums or (None,) * len(plan.benchmarks)
    stores = [
        open_store(spec, cache_dir(plan), checksum) for spec, checksum in zip(plan.benchmarks, known, strict=True)
    ]
    for store in stores:
        for pairs in store.sets.values():
            check_border(pairs, plan.border)
    return stores


def keep_cache_within(plan: PicturePlan, config: Config) -> int:
    """Remove older stores of this node where there are more than `runtime.cache_limit_gb`; the bytes removed."""
    try:
        return keep_within(cache_dir(plan), config.runtime.cache_limit_gb * 1e9, plan.checksums)
    except OSError:
        # A folder that cannot be written in, or that several machines use: pictures need not be kept small to be used.
        return 0


def cache_dir(plan: PicturePlan) -> Path:
    """Where decoded pictures are kept on this node."""
    return _cache_dir(plan.cache_dir)


def _cache_dir(given: str | None) -> Path:
    return default_cache_dir() if given is None else Path(given).expanduser()


def default_cache_dir() -> Path:
    """Where they are kept without `runtime.cache_dir`: below the user's home, or, where there is none that can be
    written in (as in many containers), among the temporary files."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esr_ray"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        # RuntimeError: a user without an entry in passwd, and without HOME.
        pass
    return private_folder("cache")
