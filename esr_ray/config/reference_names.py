"""Keys that older releases of the reference (Vega 0.9.3 to 1.3) named in another way, or put elsewhere."""

from __future__ import annotations

Path = tuple[str, ...]

# Within a step: what a key, or a section, was called, and what it is called since Vega 1.3.
_RENAMED: tuple[tuple[Path, Path], ...] = (
    (("trainer", "optim"), ("trainer", "optimizer")),
    (("evaluator", "gpu_evaluator"), ("evaluator", "host_evaluator")),
    (("search_space", "esrbody", "name"), ("search_space", "esrbody", "type")),
    (("model", "model_desc", "esrbody", "name"), ("model", "model_desc", "esrbody", "type")),
)
# In these sections everything but the type stands in `params` since Vega 1.0; before, it stood beside the type.
_WITH_PARAMS: tuple[Path, ...] = (
    ("trainer", "optimizer"),
    ("trainer", "lr_scheduler"),
    ("trainer", "loss"),
    ("trainer", "metric"),
    ("evaluator", "host_evaluator", "metric"),
)
_BESIDE_PARAMS = ("type", "params", "ref")


def todays_name(path: Path) -> Path:
    """The path of a key in a step, of whatever release, as today's release has it."""
    step, key = path[:1], path[1:]
    for old, new in _RENAMED:
        if key[: len(old)] == old:
            key = (*new, *key[len(old) :])
    for section in _WITH_PARAMS:
        depth = len(section)
        if key[:depth] == section and len(key) > depth and key[depth] not in _BESIDE_PARAMS:
            key = (*section, "params", *key[depth:])
    return (*step, *key)


def without_overlay(paths: list[Path]) -> dict[Path, Path]:
    """Paths as the file has them -> where their sections are looked for.

    Vega 1.2 has its benchmark steps in a section `benchmark` beside the pipeline; they are looked for at the top,
    unless a section of their name is there.
    """
    top = {path[0] for path in paths}
    inner = {path[1] for path in paths if path[0] == "benchmark" and len(path) > 3 and path[2] == "pipe_step"} - top
    return {path: path[1:] if path[0] == "benchmark" and path[1:2] and path[1] in inner else path for path in paths}
