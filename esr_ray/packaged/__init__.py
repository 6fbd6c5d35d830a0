"""Networks that come with the package: of each a folder with a plain file of its weights, and its card to read.

They were found and trained by the program itself; `configs/NAME.yml` is the configuration of each.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

DEFAULTS = {
    ("super_resolution", 2): "x2",
    ("super_resolution", 3): "x3",
    ("super_resolution", 4): "x4",
    ("denoising", 1): "denoise25",
    ("demosaicking", 2): "demosaic",
}
"""Which of them is taken for a task and an enlargement if none is named."""


def packaged_names() -> list[str]:
    """The names by which the package's networks are known."""
    return sorted(path.stem for path in FOLDER.glob("*/*.safetensors"))


def packaged_path(name: str) -> Path | None:
    """The file of the network of that name; None if the package has no such network."""
    path = FOLDER / name / f"{name}.safetensors"
    # A path such as ../x2 is no name.
    return path if Path(name).name == name and path.is_file() else None


def packaged_for(task: str, scale: int | None) -> str | None:
    """The network that is taken for a task if none is named; None if there is none. For other enlargements than those
    that a network of the package has, x2 is repeated."""
    able = {key: name for key, name in DEFAULTS.items() if packaged_path(name) is not None}
    of_task = {known: name for (one, known), name in able.items() if one == task}
    return of_task.get(scale or 0) or next(iter(of_task.values()), None)
