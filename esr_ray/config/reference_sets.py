"""Makes our three disjoint sets, and the benchmarks, of the datasets in a file of the reference's layout."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass, replace
from typing import Any

from esr_ray.config.reference_file import ReferenceFile
from esr_ray.config.reference_refs import dotted

_KNOWN_TYPES = ("DIV2K", "Set5", "Set14", "BSDS100", "B100", "Urban100", "Manga109", "Flickr2K")
# A split as part of a folder's name: div2k_valid, DIV2K_train_HR, train.
_SPLIT = re.compile(r"(?<![a-z])(train|valid|val|test)(?:ing|idation)?(?:hr|lr|set)?(?![a-z])")


@dataclass(frozen=True)
class _Set:
    """A pair of folders, and the section that gives them."""

    section: tuple[str, ...]
    hr: str
    lr: str | None

    def folders(self) -> dict[str, str]:
        return {"hr": self.hr} | ({"lr": self.lr} if self.lr else {})


def same_folder(one: str, other: str) -> bool:
    """Whether two paths are one, as written: nothing is looked up."""
    return _normal(one) == _normal(other)


def translate_sets(
    file: ReferenceFile, nas: str, benchmarks: list[str], scale: int | None, has_test: bool = False
) -> dict[str, Any]:
    """Return our sections data and benchmarks; data has no test set where none is found and there is one elsewhere.

    A fault is a folder that is missing, and that no benchmark can be the test set.
    """
    measured = "val" if file.has((nas, "dataset", "val")) else "test"
    # The reference measures on `test` where a dataset has no `val`.
    train, validation = _read_set(file, nas, "train", scale), _read_set(file, nas, measured, scale)
    if train.hr and same_folder(train.hr, validation.hr):
        file.fault(
            (*validation.section, "root_HR"), f"is what {nas} trains on; give other pictures, they choose the winner"
        )
    others = [_read_set(file, name, "test", scale) for name in benchmarks]
    if not all(one.hr for one in (train, validation, *others)):
        return {"data": {}, "benchmarks": []}
    train = _paired(file, train, ())
    validation = _paired(file, validation, (train,))
    others = [_paired(file, other, (train, validation)) for other in others]
    seen: dict[str, tuple[str, str]] = {
        _normal(train.hr): (dotted(train.section), "are trained on"),
        _normal(validation.hr): (dotted(validation.section), "choose the winner"),
    }
    # Where the file runs no benchmark that can be it, a section that it does not run is better than none.
    spare = [name for name in dict.fromkeys(path[0] for path in file.leaves) if _is_benchmark(file, name)]
    candidates = [one for one in others if _normal(one.hr) not in seen]
    for name in spare:
        if candidates:
            break
        if name not in benchmarks and isinstance(
            getattr(file.leaves.get((name, "dataset", "test", "root_HR")), "value", None), str
        ):
            one = _paired(file, _read_set(file, name, "test", scale), (train, validation))
            candidates += [one] if _normal(one.hr) not in seen else []
    if not candidates and not has_test:
        file.fault(
            ("pipeline",),
            "no benchmark has pictures that are neither trained on nor choose the winner, which our test set "
            "needs; add a step such as benchmark_Set5, with pipe_step.type BenchmarkPipeStep, dataset.test.root_HR "
            "and dataset.test.root_LR, of other pictures (the pipeline need not name it), or --set data.test.hr=FOLDER",
        )
        return {"data": {}, "benchmarks": []}
    test = candidates[0] if candidates else None
    if test is not None:
        file.warn(
            test.section,
            "is data.test, since ours needs three sets without a common picture: the first benchmark whose pictures "
            f"are neither {nas}.dataset.train's nor {nas}.dataset.{measured}'s",
        )
    reported = []
    for other in others:
        if other == test:
            continue
        if (whose := seen.get(_normal(other.hr))) is not None:
            file.warn(
                other.section, f"has the pictures of {whose[0]}, which {whose[1]}: its figures are not those of a test"
            )
        reported.append({"name": other.section[0].removeprefix("benchmark_"), **other.folders()})
    data = {"train": train.folders(), "validation": validation.folders()}
    data |= {"test": test.folders()} if test is not None else {}
    return {"data": data | _validation_size(file, validation), "benchmarks": reported}


def _is_benchmark(file: ReferenceFile, step: str) -> bool:
    kind = file.leaves.get((step, "pipe_step", "type"))
    return step.startswith("benchmark_") or (kind is not None and kind.value == "BenchmarkPipeStep")


def check_set(file: ReferenceFile, step: str, split: str, scale: int | None) -> None:
    """Check what a dataset says beside its folders. A fault is what ours does not have."""
    kind = file.take((step, "dataset", "type"), "str")
    if kind is not None and kind not in _KNOWN_TYPES:
        file.warn((step, "dataset", "type"), f"{kind} is read as folders of pictures, as DIV2K is")
    section = (step, "dataset", split)
    upscale = file.take((*section, "upscale"), "int")
    if upscale is not None and scale is not None and upscale != scale:
        file.fault((*section, "upscale"), f"{upscale} is not the scale of the search space, {scale}; make them one")
    subfile = file.take((*section, "subfile"), "str")
    if subfile is not None:
        file.fault((*section, "subfile"), "ours takes all pictures of a folder; put those named into one of their own")


def _read_set(file: ReferenceFile, step: str, split: str, scale: int | None) -> _Set:
    """The folders of a split; `hr` is empty where it is at fault."""
    section = (step, "dataset", split)
    check_set(file, step, split, scale)
    hr = file.require((*section, "root_HR"), "str", "the folder of HR pictures")
    lr = file.take((*section, "root_LR"), "str")
    if not lr:
        file.warn((*section, "root_LR"), "is not in the file; LR pictures are made from HR by antialiased bicubic")
    if split != "train":
        file.take((*section, "fixed_size"), "bool")  # validation_size says it; elsewhere pictures are whole
        if step.startswith("benchmark") and file.take((*section, "crop"), "int") is not None:
            file.warn((*section, "crop"), "ignored: benchmarks are on whole pictures")
    return _Set(section, hr or "", lr or None)


def _paired(file: ReferenceFile, one: _Set, others: tuple[_Set, ...]) -> _Set:
    """The set, without LR pictures that belong to other HR ones (the release's benchmark_DIV2K)."""
    if one.lr is None or not _foreign(one, others):
        return one
    better = next((o.lr for o in others if o.lr and same_folder(o.hr, one.hr) and not _foreign(o, ())), None)
    instead = f"{better} is used" if better else "LR pictures are made from HR by antialiased bicubic"
    file.warn(
        (*one.section, "root_LR"), f"{one.lr} holds the LR pictures of another split than {one.hr}; not used, {instead}"
    )
    return replace(one, lr=better)


def _foreign(one: _Set, others: tuple[_Set, ...]) -> bool:
    assert one.lr is not None
    splits = _split(one.hr), _split(one.lr)
    if None not in splits:
        return splits[0] != splits[1]
    return any(o.lr and same_folder(o.lr, one.lr) and not same_folder(o.hr, one.hr) for o in others)


def _split(folder: str) -> str | None:
    """The split that the last telling part of a path names."""
    for part in reversed(_normal(folder).lower().split("/")):
        found = {"val" if word == "valid" else word for word in _SPLIT.findall(part)}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _normal(folder: str) -> str:
    return os.path.normpath(os.path.expanduser(folder))


def _validation_size(file: ReferenceFile, validation: _Set) -> dict[str, int]:
    path = (*validation.section, "crop")
    crop = file.take(path, "int")
    if crop is None:
        return {}
    file.warn(
        path,
        f"the reference draws other parts of pictures each epoch; ours are fixed, {crop}x{crop} LR pixels of each",
    )
    return {"validation_size": crop}
