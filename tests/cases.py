"""A configuration that is sound, in a folder of its own with its pictures, for a test to break."""

import numpy as np
import yaml
from PIL import Image
from worlds import PAPER

from esr_ray.config.load import check_config
from esr_ray.config.paths import absolute_paths
from esr_ray.runs.folder import RunFolder, create


def photo(seed, side=64):
    """Noise that is smooth enough to be a photograph."""
    small = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def photos(folder, *seeds, side=64):
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        photo(seed, side).save(folder / f"{seed}.png")
    return str(folder)


class Case:
    """A configuration that is sound, in a folder of its own, until a test breaks it."""

    def __init__(self, path):
        self.path = path
        self.content = {
            "task": {"scale": 2},
            "space": {
                "node_num": 3,
                "min_active": 1,
                "base_channels": 8,
                "block_types": ["S"],
                "conv_num": [1, 2],
                "growth_rate": [4, 8],
            },
            "evolution": {"num_generation": 2, "num_individual": 2, "num_elitism": 1, **PAPER},
            "data": {"hr": photos(path / "photos", *range(6))},
            "fast_training": {"steps": 1, "batch_size": 1, "crop_size": 16},
            "full_training": {"steps": 1, "batch_size": 1, "crop_size": 16},
            "runtime": {"cache_dir": str(path / "cache")},
            "output": {"dir": str(path / "runs"), "name": "first"},
        }
        self.file = path / "my.yml"

    def set(self, key, value):
        *sections, last = key.split(".")
        section = self.content
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
        return self

    def write(self):
        self.file.write_text(yaml.safe_dump(self.content), encoding="utf-8")
        return str(self.file)

    def run_folder(self):
        """A run with this configuration that was begun and left."""
        folder = RunFolder(self.path / "runs" / "first")
        create(folder, absolute_paths(check_config(self.content, "my.yml")), {})
        return folder
