"""Reads the reference's `eval.yml`: which pictures a trained network is measured on, and where the network lies."""

from __future__ import annotations

from dataclasses import dataclass

from esr_ray.config.load import read_yaml
from esr_ray.config.reference_file import open_file
from esr_ray.errors import UserError


@dataclass(frozen=True)
class EvalFile:
    """A set of pictures (`lr` None: made by bicubic), its scale where it is given, and the file's models_folder.

    `models` is None where that folder is one that only the reference makes (`{local_base_path}/...`).
    """

    name: str
    hr: str
    lr: str | None
    scale: int | None
    models: str | None
    warnings: tuple[str, ...]


def translate_eval(path: str) -> EvalFile:
    """Read an eval.yml: a pipeline of one step, which trains nothing.

    Raises UserError for another kind of file, a line for each fault.

    Everything else that it says is named in a warning: networks are always measured in the same way here.
    """
    file = open_file(read_yaml(path), path)
    steps = file.take(("pipeline",), "strs")
    if not steps or len(steps) != 1:
        if not file.faults:
            file.fault(("pipeline",), "must name the one step that evaluates, such as [eval]")
        file.raise_faults()
    step = steps[0]
    if file.take((step, "trainer", "with_train"), "bool") is not False:
        file.fault(
            (step, "trainer", "with_train"),
            "must be False in a file to evaluate; to train give the file to esr_ray.search or esr_ray.train",
        )
    section = (step, "dataset", "test")
    hr = file.require((*section, "root_HR"), "str", "the folder of HR pictures")
    lr = file.take((*section, "root_LR"), "str")
    scale = file.take((*section, "upscale"), "int")
    models = file.take((step, "pipe_step", "models_folder"), "str")
    if models is None and file.has((step, "pipe_step", "models_folder")):
        file.warn((step, "pipe_step", "models_folder"), "is empty, it names no network; --models PATH does")
    kind = file.take((step, "dataset", "type"), "str")
    file.raise_faults()
    for known in (("pipe_step", "type"), ("evaluator", "type")):
        file.take((step, *known), None)
    ignored = sorted(".".join(origin) for origin in file.unread)
    if ignored:
        file.warnings.append(f"{path}: has no meaning here, ignored: {', '.join(ignored)}")
    own = models is None or "{" in models
    return EvalFile(kind or "test", hr, lr or None, scale, None if own else models, tuple(file.warnings))


def check_scale(found: EvalFile, scale: int, path: str) -> None:
    """Raise UserError where a file is about another enlargement than the network's."""
    if found.scale is not None and found.scale != scale:
        raise UserError(f"{path}: upscale is {found.scale}, and the network enlarges by {scale}")
