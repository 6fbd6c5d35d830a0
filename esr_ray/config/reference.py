"""Translates files in the reference's layout (Vega's `esr_ea.yml`) into ours; that layout is known nowhere else.

Nothing that such a file says is dropped in silence: each of its values is translated, or checked to mean what ours
means anyway, or named in a warning. For that, what was read is recorded, and the rest is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from esr_ray.config.reference_checks import AUGMENTATION, BORDER, check_refused, check_repeated, check_said
from esr_ray.config.reference_file import ReferenceFile, key_path, one_line, open_file, warn_if_other
from esr_ray.config.reference_general import check_quota, translate_general
from esr_ray.config.reference_refs import dotted
from esr_ray.config.reference_sets import check_set, same_folder, translate_sets
from esr_ray.errors import UserError

TRANSLATED = " (translated from the reference's layout)"
"""What messages of the schema add to the file's name, since they name our keys."""

PAPER_LOOP: dict[str, Any] = {"schedule": "generational", "promotion": None, "race": None, "predictor": None}
"""Keys of `evolution` with which a search is the paper's loop, with nothing of what is ours."""

_OUR_SECTIONS = {
    "task",
    "space",
    "evolution",
    "data",
    "fast_training",
    "full_training",
    "benchmarks",
    "runtime",
    "output",
}
_THEIR_SECTIONS = ("nas", "general", "fully_train")

# What the type of a step is to us: our step. Without a type, its name says it.
_STEPS = {"SearchPipeStep": "search", "TrainPipeStep": "full_training", "BenchmarkPipeStep": "benchmarks"}
# Older names of these, and trainings on several devices, as ours always is.
_OTHER_STEPS = {
    "NasPipeStep": "search",
    "FullyTrainPipeStep": "full_training",
    "HorovodTrainStep": "full_training",
    "HcclTrainStep": "full_training",
}
_STEP_NAMES = {"nas": "search", "fully_train": "full_training", "benchmark": "benchmarks"}

# The search's own keys: (theirs, ours, kind, default). None: the reference has no default, and the key must be there.
_SEARCH_KEYS: tuple[tuple[str, str, str, Any], ...] = (
    ("search_algorithm.policy.num_generation", "evolution.num_generation", "int", 2),
    ("search_algorithm.policy.num_individual", "evolution.num_individual", "int", 4),
    ("search_algorithm.policy.num_elitism", "evolution.num_elitism", "int", 2),
    ("search_algorithm.policy.mutation_rate", "evolution.mutation_rate", "float", 0.05),
    ("search_algorithm.range.node_num", "space.node_num", "int", 20),
    ("search_algorithm.range.min_active", "space.min_active", "int", 16),
    ("search_algorithm.range.max_params", "space.max_params", "int", 1_020_000),
    ("search_algorithm.range.min_params", "space.min_params", "int", 1_010_000),
    ("search_space.esrbody.block_type", "space.block_types", "strs", None),
    ("search_space.esrbody.conv_num", "space.conv_num", "ints", None),
    ("search_space.esrbody.growth_rate", "space.growth_rate", "ints", None),
    ("search_space.esrbody.G0", "space.base_channels", "int", None),
)
_PROBABILITIES = ("type_prob", "conv_prob", "growth_prob")
# Of these the reference's defaults are those of classification, or cannot be trained with: the release's file decides.
_RELEASE = {"crop": 64, "batch_size": 16, "learning_rate": 1e-4, "gamma": 0.5}
_RELEASE_MILESTONES = {"search": [100, 200], "full_training": [8000, 12000, 13500, 14500]}

_NETWORKS = "ignored: steps take networks from the run folder, and full_training trains the search's best"
# Keys whose warning can say more than that there is no counterpart.
_IGNORED = {
    "models_folder": _NETWORKS,
    "esr_models_file": _NETWORKS,
    "arch_file": _NETWORKS,
    "model_desc_file": _NETWORKS,
    "num_workers": "ignored: pictures are decoded once, and read from memory",
    "ref": "ignored: a ref is followed on direct children of a step only",
    "cuda": "ignored: runtime.resource and runtime.target choose the device",
}

_RELEASE_SAYS = "as in the release's file"


def is_reference(content: Mapping[str, Any]) -> bool:
    """Whether a file is in the reference's layout: has steps with `pipe_step`, or its sections and none of ours."""
    if any(isinstance(section, Mapping) and "pipe_step" in section for section in content.values()):
        return True
    if _OUR_SECTIONS & content.keys():
        return False  # fully_train beside these is a typo of full_training
    pipeline = content.get("pipeline")
    named = pipeline if isinstance(pipeline, list) else []
    return any(isinstance(content.get(name), Mapping) or name in named for name in _THEIR_SECTIONS)


def translate(
    content: dict[str, Any],
    where: str,
    check: Callable[[dict[str, Any], str], object] | None = None,
    has_test: bool = False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a file of the reference's layout in ours, still to be checked by the schema, and what to tell its user.

    `where` is the file that messages name. Raises UserError, a line for each fault, with the key path and what to do,
    where the file asks for something that ours does not have, where a ref or a step leads nowhere, where a value has
    the wrong type, or where no test set can be found. Where there is such a fault, what `check` says of the rest (the
    content, and the name to give it) is told with it. `has_test` says that a test set is given elsewhere.
    """
    file = open_file(content, where)
    check_quota(file)
    steps = _pipeline(file)
    nas, benchmarks = steps["search"][0], steps["benchmarks"]
    native: dict[str, Any] = {
        "pipeline": [step for step, names in steps.items() if names],
        **_search(file, nas),
    }
    scale = native["task"]["scale"]
    native |= translate_sets(file, nas, benchmarks, scale, has_test)
    native["fast_training"] = _training(file, nas, "search", scale)
    native["seed"] = file.get((nas, "trainer", "seed"), "int", 0)
    for full in steps["full_training"]:
        _same_data(file, full, nas, scale)
        native["full_training"] = _training(file, full, "full_training", scale)
    for step in (nas, *steps["full_training"], *benchmarks):
        check_repeated(file, step, nas, native)
    native |= translate_general(file)
    _check_misplaced(file)
    _set_aside(file, steps)
    if file.faults:
        raise UserError("\n".join((*map(one_line, file.faults), *_further_faults(native, where, check))))
    return native, (*_defaults(file), *file.warnings, *_unread(file))


def _further_faults(
    native: dict[str, Any], where: str, check: Callable[[dict[str, Any], str], object] | None
) -> list[str]:
    """What the schema says of the values that are not at fault already."""
    name = f"{where}{TRANSLATED}"
    sections = {key: _given(value) if isinstance(value, dict) else value for key, value in native.items()}
    # What is said of a whole section compares its keys, and one that is at fault is not there.
    partial = {key for key, value in sections.items() if value != native[key] or not value}
    try:
        if check is not None:
            check({key: value for key, value in sections.items() if value is not None}, name)
    except UserError as error:
        told = {line: line.removeprefix(f"{name}: ").partition(": ") for line in str(error).splitlines()}
        return [
            line for line, (key, _, text) in told.items() if key not in partial and not text.startswith("is missing")
        ]
    return []


def _given(section: dict[str, Any]) -> dict[str, Any]:
    """The section without the values that are at fault."""
    return {
        key: _given(value) if isinstance(value, dict) else value
        for key, value in section.items()
        if value is not None or key in PAPER_LOOP
    }


def _pipeline(file: ReferenceFile) -> dict[str, list[str]]:
    """The steps that run, under the names of ours, in our order. Raises UserError where none of them is a search."""
    before = len(file.faults)
    named = file.take(("pipeline",), "strs") or []
    if not named and len(file.faults) == before:
        file.fault(("pipeline",), "is missing; give the steps that run, such as [nas, fully_train]")
    steps: dict[str, list[str]] = {"search": [], "full_training": [], "benchmarks": []}
    unknown = not named
    for name in named:
        if not any(path[0] == name and len(path) > 1 for path in file.leaves):
            file.fault(("pipeline",), f"names {name}, but the file has no section {name}; add it or take it out")
            unknown = True
        elif (step := _step(file, name)) is not None:
            steps[step].append(name)
        else:
            unknown = True
    for step in ("search", "full_training"):
        if len(steps[step]) > 1:
            file.fault(
                ("pipeline",),
                f"{' and '.join(steps[step])} are both {step}; a run has one, remove the other, and run it from a file "
                "of its own",
            )
    if steps["benchmarks"] and not steps["full_training"] and not unknown:
        file.fault(
            ("pipeline",),
            f"{steps['benchmarks'][0]} needs a fully trained network; put fully_train before it, or remove it",
        )
    if not steps["search"]:
        if not unknown:
            file.fault(
                ("pipeline",),
                f"{named} has no step nas, which `search` needs for now; add nas (SearchPipeStep) and its section",
            )
        file.raise_faults()
    ordered = [name for names in steps.values() for name in names]
    if ordered != named:
        file.warn(("pipeline",), f"{named} runs in the order {ordered}")
    return steps


def _step(file: ReferenceFile, name: str) -> str | None:
    """What a step of the pipeline is to us. Where its type is at fault, its name may still say what it was to be."""
    path = (name, "pipe_step", "type")
    kind = file.take(path, "str")
    by_name = _STEP_NAMES.get("benchmark" if name.startswith("benchmark_") else name)
    step = (_STEPS | _OTHER_STEPS).get(kind) if kind else by_name
    if step is None:
        file.fault(path, f"{kind or 'is missing'}; ours has {', '.join(_STEPS)}")
        # Told as what it seems to be, so that its other faults are told too.
        return by_name or ("search" if file.has((name, "search_space")) else None)
    return step


def _search(file: ReferenceFile, nas: str) -> dict[str, Any]:
    """Sections task, space and evolution."""
    native: dict[str, Any] = {
        "task": {
            "name": "super_resolution",
            "scale": file.get(key_path(nas, "search_space.esrbody.scale"), "int", None),
        },
        "space": {"global_skip": "none", "budget_counting": "exact"},
        "evolution": {"selection": "roulette", **PAPER_LOOP},
    }
    for theirs, ours, kind, default in _SEARCH_KEYS:
        section, key = ours.split(".")
        native[section][key] = file.get(key_path(nas, theirs), kind, default)
    for name in _PROBABILITIES:
        weights = file.take(key_path(nas, f"search_space.esrbody.{name}"), "floats")
        if weights is not None:
            native["space"][name] = weights
    check_refused(file, nas, "search")
    budget = key_path(nas, "search_algorithm.range")
    least, most = native["space"]["min_params"], native["space"]["max_params"]
    if least is None or most is None:
        return native
    if least > most:
        file.fault((*budget, "min_params"), f"{least} is greater than max_params, {most}; give both")
    file.warn(
        budget,
        f"the budget of {least:,}-{most:,} parameters now means all weights and biases; the reference counts weights "
        "without biases, and entry and residual 1x1s of the first block only, so that it accepts larger networks (at "
        "315-325 K their true counts are 324-340 K); --set space.budget_counting=reference counts as it does",
    )
    return native


def _training(file: ReferenceFile, step: str, ours: str, scale: int) -> dict[str, Any]:
    """Section fast_training or full_training."""
    check_refused(file, step, "training")
    check_said(file, step, "training")
    for key in ("trainer.scale", "trainer.metric.params.scale", "trainer.metric.params.crop_border"):
        warn_if_other(file, key_path(step, key), scale, BORDER)
    for key, does in AUGMENTATION.items():
        value = file.take(path := key_path(step, f"dataset.train.{key}"), "bool")
        if value is False or (value is None and ours == "search"):
            file.warn(path, f"{'false' if value is False else 'not in the file, which there means false'}; {does}")
    train, trainer = (step, "dataset", "train"), (step, "trainer")
    batch_size = file.get((*train, "batch_size"), "int", _RELEASE["batch_size"], _RELEASE_SAYS)
    crop_size = file.get((*train, "crop"), "int", _RELEASE["crop"], _RELEASE_SAYS)
    epochs = file.get((*trainer, "epochs"), "int", 1)
    rate = file.get(key_path(step, "trainer.optimizer.params.lr"), "float", _RELEASE["learning_rate"], _RELEASE_SAYS)
    schedule = (*trainer, "lr_scheduler", "params")
    milestones = file.get((*schedule, "milestones"), "ints", _RELEASE_MILESTONES[ours], _RELEASE_SAYS)
    gamma = file.get((*schedule, "gamma"), "float", _RELEASE["gamma"], _RELEASE_SAYS)
    if batch_size is not None and batch_size < 1:
        file.fault((*train, "batch_size"), f"must be 1 or more, got {batch_size}")
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "crop_size": crop_size,
        "learning_rate": rate,
        "schedule": {"type": "multistep", "milestones": milestones, "gamma": gamma},
    }


def _same_data(file: ReferenceFile, full: str, nas: str, scale: int) -> None:
    """Both trainings are on one set in ours; a step without a dataset takes that of the search."""
    if not file.has((full, "dataset")):
        file.warn((full, "dataset"), f"is missing, {nas}.dataset is used")
        found = {path[1:]: leaf for path, leaf in file.leaves.items() if path[:2] == (nas, "dataset")}
        file.leaves.update({(full, *tail): leaf for tail, leaf in found.items()})
    # Where the search's folder is missing, that was told.
    for key in ("root_HR", "root_LR") if file.take((nas, "dataset", "train", "root_HR"), None) else ():
        path = (full, "dataset", "train", key)
        theirs, value = file.take((nas, *path[1:]), "str"), file.take(path, "str")
        if value is not None and (theirs is None or not same_folder(value, theirs)):
            file.fault(path, f"{nas} trains on {theirs}; ours has one training set, write ref: {nas}.dataset")
    check_set(file, full, "train", scale)
    # A dataset may be written out a second time; what differs stays unread, and is reported.
    for again in [again for again in file.leaves if again[:3] == (full, "dataset", "test")]:
        searched = file.leaves.get((nas, *again[1:]))
        if searched and searched.value == file.leaves[again].value and searched.origin not in file.unread:
            file.take(again, None)


def _check_misplaced(file: ReferenceFile) -> None:
    """A default is for a value that is not given; one that is given elsewhere than it is read would be lost."""
    for path in [path for paths in file.defaults.values() for path in paths]:
        for other in file.unread:
            if (
                other[0] == path[0]
                and other[-1] == path[-1]
                and other[1:3] not in (("dataset", "test"), ("dataset", "val"))
            ):
                file.fault(other, f"is not read here; write it as {dotted(path)}")


def _set_aside(file: ReferenceFile, steps: dict[str, list[str]]) -> None:
    """Sections that no step of the pipeline is named for: said once, not a key at a time."""
    run = {"general", *(name for names in steps.values() for name in names)}
    for name in dict.fromkeys(path[0] for path in file.unread if len(path) > 1 and path[0] not in run):
        overlay = name == "benchmark" and (name, "pipeline") in file.unread
        what = (
            "the reference runs it in the place of the pipeline where --startup says so"
            if overlay
            else "the pipeline does not name it"
        )
        file.warnings.append(f"{name}: {what}; ignored, but for what other steps take from it")
        for path in [path for path in file.unread if path[0] == name]:
            del file.unread[path]


def _defaults(file: ReferenceFile) -> list[str]:
    if not file.defaults:
        return []
    said = {
        source: ", ".join(f"{dotted(path)} = {of}" for path, of in paths.items())
        for source, paths in file.defaults.items()
    }
    return ["not in the file: " + "; ".join(f"{keys} ({source})" for source, keys in said.items())]


def _unread(file: ReferenceFile) -> list[str]:
    lines, grouped = [], dict[str, list[str]]()
    for path in file.unread:
        if path[-1] in _IGNORED:
            grouped.setdefault(_IGNORED[path[-1]], []).append(dotted(path))
        else:
            lines.append(f"{dotted(path)}: has no counterpart, ignored")
    return lines + [f"{', '.join(paths)}: {reason}" for reason, paths in grouped.items()]
