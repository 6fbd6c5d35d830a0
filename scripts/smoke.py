"""Uses the installed esr_ray, in the working directory: all its commands, a tiny search, its network, and a picture.

scripts/smoke.sh runs it. It prints figures that repeat exactly on one kind of processor.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import esr_ray
from esr_ray.data.samples import sample_files
from esr_ray.native.build import NOTE, instruction_sets, library_name
from esr_ray.native.library import load_library

CHECKOUT = Path(__file__).resolve().parents[1] / "esr_ray"
INSTALLED = Path(esr_ray.__file__).parent
CONFIG: dict[str, Any] = {
    "seed": 1,
    "space": {
        "node_num": 3,
        "min_active": 1,
        "base_channels": 4,
        "conv_num": [1, 2],
        "growth_rate": [4, 8],
        "max_params": 8000,
    },
    "evolution": {"num_generation": 1, "num_individual": 2, "num_elitism": 1, "promotion": None, "race": None},
    "data": {"hr": "sample:scikit-image", "validation_size": 32},
    "fast_training": {"steps": 40, "batch_size": 2, "crop_size": 16, "learning_rate": 2e-3},
    "full_training": {"steps": 40, "batch_size": 2, "crop_size": 16, "learning_rate": 2e-3},
    "runtime": {"kernels": "native", "cache_dir": "cache"},
    "output": {"dir": ".", "name": "run"},
}


def main() -> None:
    """AssertionError or CalledProcessError at the first thing that is not as it should be."""
    check_files()
    check_commands()
    print(f"native: {load_library().instruction_set}")
    search()
    upscale()


def run(command: str, *arguments: object) -> str:
    """A command of this environment; what it printed."""
    path = Path(sysconfig.get_path("scripts"), command)
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_files() -> None:
    """All files of the package are there, the data files too, and the native builds in the place of their sources."""
    assert Path(sysconfig.get_path("purelib"), "esr_ray") == INSTALLED, f"esr_ray is that of {INSTALLED}"
    wanted = {str(Path("native", library_name(name))) for name in instruction_sets()}
    for path in CHECKOUT.rglob("*"):
        name = path.relative_to(CHECKOUT)
        made = "__pycache__" in name.parts or path.name == NOTE or path.suffix == ".so"
        if path.is_file() and not made and name.parts[:2] != ("native", "src"):
            wanted.add(str(name))
    missing = sorted(name for name in wanted if not (INSTALLED / name).is_file())
    assert not missing, f"not installed: {', '.join(missing)}"
    print(f"esr_ray {version('esr_ray')}: {len(wanted)} files, on Python {sys.version.split()[0]}")


def check_commands() -> None:
    """Every command explains itself."""
    commands = [one.name for one in distribution("esr_ray").entry_points if one.group == "console_scripts"]
    assert "esr-ray" in commands
    for command in commands:
        assert run(command, "--help").startswith("usage: "), command
    print(f"commands: {', '.join(sorted(commands))}")


def search() -> None:
    """Two candidates, and the winner in full."""
    # JSON is YAML.
    Path("smoke.yml").write_text(json.dumps(CONFIG))
    run("esr-ray", "search", "smoke.yml")
    result = json.loads(Path("run", "result.json").read_text())
    found = [json.loads(line) for line in Path("run", "population.jsonl").read_text().splitlines()]
    for one in found:
        print(f"candidate {','.join(one['arch'])}: PSNR-Y {one['trainings'][0]['psnr_y']!r}")
    assert len(found) == 2
    (report,) = result["full_training"]["sets"]
    print(f"winner {','.join(result['best']['arch'])}: PSNR-Y {report['network']['psnr_y']!r} in full")


def upscale() -> None:
    """A sample picture, with the network that the search has left."""
    source = sample_files()["test"][0]
    run("esr-ray-upscale", source, "--network", "run", "--output", "large.png", "--kernels", "native")
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (source, "large.png"))
    assert after.shape == (2 * before.shape[0], 2 * before.shape[1], 3)
    # A network of so few steps enlarges no better than bicubic, but what it makes is the picture still.
    assert np.abs(after[::2, ::2].astype(int) - before).mean() < 16
    print(f"large.png: {hashlib.sha256(after.tobytes()).hexdigest()[:16]}")


if __name__ == "__main__":
    main()
