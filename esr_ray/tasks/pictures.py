"""Which pictures a run uses: three disjoint sets of HR/LR pictures, and benchmarks beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from esr_ray.config.schema import Config
from esr_ray.data.crops import PicturePair, check_border, large_enough, validation_crops
from esr_ray.data.sets import resolve_folder, resolve_sets
from esr_ray.data.store import Store, StoreSpec, open_store, store_spec
from esr_ray.tasks.make import make_task


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


def plan_pictures(config: Config) -> PicturePlan:
    """Find the files of all sets. Raises UserError for missing or empty folders and pictures in two sets."""
    scale = config.task.scale
    border = make_task(config.task).border
    found = resolve_sets(config.data, scale, config.seed)
    benchmarks = tuple(
        StoreSpec(((one.name, resolve_folder(one.name, one.hr, one.lr, scale)),), scale) for one in config.benchmarks
    )
    return PicturePlan(store_spec(found, scale), benchmarks, config.runtime.cache_dir, found.notes, border)


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


def cache_dir(plan: PicturePlan) -> Path:
    """Where decoded pictures are kept on this node."""
    if plan.cache_dir is not None:
        return Path(plan.cache_dir).expanduser()
    return default_cache_dir()


def default_cache_dir() -> Path:
    """Where they are kept without `runtime.cache_dir`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "esr_ray"
