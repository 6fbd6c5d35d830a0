"""The photographs inside scikit-image's wheel, divided into three fixed sets: data for tests and for the first run.

Drawings, text and synthetic pictures are left out, and so are those that bicubic already enlarges nearly perfectly
(retina, moon, cell, clock_motion, microaneurysms: over 44 dB at x2), which would teach and measure nothing.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from esr_ray.errors import UserError
from esr_ray.picture_files import SAMPLE_NAME

# The two views of the motorcycle are a stereo pair: they stay in one set. They are the validation set because their
# fine detail tells networks apart better than camera, coins and rocket do (benchmarks/README.md).
SAMPLE_SETS: dict[str, tuple[str, ...]] = {
    "train": (
        "brick.png",
        "camera.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "rocket.jpg",
    ),
    "validation": ("motorcycle_left.png", "motorcycle_right.png"),
    "test": ("astronaut.png", "chelsea.png", "coffee.png"),
}


def sample_files() -> dict[str, tuple[Path, ...]]:
    """Return the files of each set; nothing is downloaded. UserError where the installed package lacks one."""
    needed = "install scikit-image 0.24 or newer from its wheel (pip install 'scikit-image>=0.24')"
    try:
        # The folder is reached through the package and not through skimage.data, whose functions may download.
        with as_file(files("skimage") / "data") as folder:
            root = Path(folder)
    except ModuleNotFoundError:
        raise UserError(f"data.hr {SAMPLE_NAME}: scikit-image is not installed; {needed}") from None
    for names in SAMPLE_SETS.values():
        for name in names:
            if not (root / name).is_file():
                raise UserError(f"data.hr {SAMPLE_NAME}: {root / name} is missing; {needed}")
    return {set_name: tuple(root / name for name in names) for set_name, names in SAMPLE_SETS.items()}
