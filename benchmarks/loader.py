"""Crops a second of our loader, of a plain one with its pictures in memory, and of decoding a file for each crop.

    python benchmarks/loader.py

Pictures have the size of DIV2K's (2040x1356), tiled from a sample photograph; crops are those of the paper's training:
64x64 LR and 128x128 HR, 16 of them a batch. The reference opens both of a pair's PNG files for each crop; the plain
loader has all pictures as arrays. One core, one thread. What the crops are of a training step is measured at the
demo's settings, on its pictures, and at the paper's.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import ENVIRONMENT, ROOT, Worker, cores, machine, number, parser, say, spread, table, timed
from PIL import Image
from train_step import NETWORKS

from esr_ray.config.load import load_config
from esr_ray.config.schema import TrainingConfig
from esr_ray.data.crops import PicturePair, sample_batch
from esr_ray.data.samples import sample_files
from esr_ray.tasks.pictures import open_pictures, plan_pictures

WIDTH, HEIGHT, SCALE = 2040, 1356, 2
PICTURES = 8
DEMO_ARCH = ("S_2_16_16", "G_4_8_16", "C_2_16_16", "G_2_16_16")
"""A network of the demo's space, of middling size."""


@dataclass(frozen=True)
class Files:
    """The PNG files of one pair."""

    hr: Path
    lr: Path


def large_picture(shift: int) -> np.ndarray:
    """A sample photograph, tiled by its mirror images to the size of DIV2K's: as hard to decode as a real one."""
    with Image.open(sample_files()["validation"][0]) as file:
        photo = np.asarray(file.convert("RGB"))
    row = np.concatenate([photo, photo[:, ::-1]] * (1 + WIDTH // (2 * photo.shape[1])), 1)
    whole = np.concatenate([row, row[::-1]] * (1 + HEIGHT // (2 * photo.shape[0])), 0)
    return np.roll(whole, shift, (0, 1))[:HEIGHT, :WIDTH]


def stored_pairs(folder: Path) -> list[PicturePair]:
    """Pairs in a memory-mapped file, as those of a run are."""
    shapes = [(HEIGHT, WIDTH, 3), (HEIGHT // SCALE, WIDTH // SCALE, 3)]
    size = sum(int(np.prod(shape)) for shape in shapes)
    path = folder / "pictures.u8"
    with path.open("wb") as file:
        for index in range(PICTURES):
            hr = large_picture(37 * index)
            file.write(hr.tobytes())
            # Bicubic or not: the same bytes to copy.
            file.write(hr[::SCALE, ::SCALE].tobytes())
    pixels = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    pairs = []
    for index in range(PICTURES):
        part = pixels[index * size : (index + 1) * size]
        split = int(np.prod(shapes[0]))
        pairs.append(PicturePair(str(index), part[:split].reshape(shapes[0]), part[split:].reshape(shapes[1])))
    return pairs


def crop(lr: np.ndarray, hr: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random crop with flips, in floats: what plain code does with two pictures."""
    top = int(rng.integers(lr.shape[0] - size + 1))
    left = int(rng.integers(lr.shape[1] - size + 1))
    parts = [lr[top : top + size, left : left + size]]
    top, left, size = SCALE * top, SCALE * left, SCALE * size
    parts.append(hr[top : top + size, left : left + size])
    if rng.random() < 0.5:
        parts = [part[:, ::-1] for part in parts]
    if rng.random() < 0.5:
        parts = [part[::-1] for part in parts]
    if rng.random() < 0.5:
        parts = [part.transpose(1, 0, 2) for part in parts]
    first, second = (part.transpose(2, 0, 1).astype(np.float32) / 255 for part in parts)
    return first, second


def batch_of(
    pictures: Callable[[int], tuple[np.ndarray, np.ndarray]], rng: np.random.Generator, count: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A batch, crop by crop. `pictures` gives LR and HR of a pair."""
    parts = [crop(*pictures(int(rng.integers(PICTURES))), size, rng) for _ in range(count)]
    return np.stack([lr for lr, _ in parts]), np.stack([hr for _, hr in parts])


def write_pair(folder: Path) -> Files:
    """The first pair as PNG files."""
    files = Files(folder / "hr.png", folder / "lr.png")
    hr = large_picture(0)
    Image.fromarray(hr).save(files.hr)
    Image.fromarray(hr).resize((WIDTH // SCALE, HEIGHT // SCALE), Image.Resampling.BICUBIC).save(files.lr)
    return files


def decode(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def main() -> None:
    options = parser(__doc__).parse_args()
    about, core = machine(), cores()[-1]
    os.sched_setaffinity(0, {core})
    rounds, seconds = (1, 0.02) if options.quick else (5, 0.5)
    count, size = (2, 8) if options.quick else (16, 64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("making pictures")
        files, pairs = write_pair(folder), stored_pairs(folder)
        in_memory = [(pair.lr.copy(), pair.hr.copy()) for pair in pairs]
        rng = np.random.default_rng(0)
        step = itertools.count(1)

        ways: dict[str, Callable[[], object]] = {
            "ours": lambda: sample_batch(pairs, 0, next(step), count, size, SCALE),
            "arrays in memory": lambda: batch_of(lambda index: in_memory[index], rng, count, size),
            # One crop: a batch takes seconds.
            "decoding for each crop": lambda: batch_of(lambda _: (decode(files.lr), decode(files.hr)), rng, 1, size),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for index in range(rounds):
            say(f"round {index + 1} of {rounds}")
            for way, function in ways.items():
                crops = 1 if way.startswith("decoding") else count
                times[way] += [one / crops for one in timed(function, seconds)]
        shares = []
        demo = demo_pictures(folder)
        for label, arch, channels, training in settings(options.quick):
            say(f"a step of {label}")
            own = demo if label.startswith("demo") else pairs
            shares.append((label, *share(arch, channels, training, own, core, rounds, seconds)))
        megabytes = files.hr.stat().st_size / 1e6

    print(f"{about}; one core, one thread; {WIDTH}x{HEIGHT} PNG of {megabytes:.1f} MB; crops {size}x{size} LR, x2")
    median = {way: statistics.median(values) for way, values in times.items()}
    print(
        table(
            ["loader", "crops a second", "ms a crop, least / median / greatest", "ours is faster by"],
            [
                [way, number(1 / median[way]), spread(values), number(median[way] / median["ours"])]
                for way, values in times.items()
            ],
        )
    )
    print()
    rows = [[label, spread(load), spread(train), f"{100 * part:.2f} %"] for label, load, train, part in shares]
    print(table(["training", "ms a batch", "ms a step", "of a step (wanted: under 2 %)"], rows))
    print(
        f"ours is {median['decoding for each crop'] / median['ours']:,.0f} times as fast as decoding for each crop, "
        f"{median['arrays in memory'] / median['ours']:.1f} times as a plain loader; "
        f"of a step: {', '.join(f'{100 * part:.2f} % ({label})' for label, _, _, part in shares)}"
    )


def demo_pictures(folder: Path) -> list[PicturePair]:
    """What the demo trains on."""
    config = load_config(str(ROOT / "configs" / "demo.yml"), [f"runtime.cache_dir={folder}"]).config
    return open_pictures(plan_pictures(config), config).train


def settings(quick: bool) -> list[tuple[str, tuple[str, ...], int, TrainingConfig]]:
    """Trainings that are looked at: the demo's, and the paper's."""
    demo = load_config(str(ROOT / "configs" / "demo.yml")).config
    paper = load_config(str(ROOT / "configs" / "esr_ea_x2.yml")).config
    result = [(f"demo, batch {demo.fast_training.batch_size}", DEMO_ARCH, demo.space.frames[0], demo.fast_training)]
    if not quick:
        network = next(one for one in NETWORKS if one.name == "325 K")
        label = f"325 K network, batch {paper.fast_training.batch_size}"
        result.append((label, network.arch, network.base_channels, paper.fast_training))
    return result


def share(
    arch: tuple[str, ...],
    base_channels: int,
    training: TrainingConfig,
    pairs: list[PicturePair],
    core: int,
    rounds: int,
    seconds: float,
) -> tuple[list[float], list[float], float]:
    """Seconds of each batch and of each training step (without its batch), and their ratio."""
    worker = Worker("contenders.py", "native", core=core, settings=ENVIRONMENT)
    asked = {"name": "", "batch": training.batch_size, "side": training.crop_size}
    step = itertools.count(1)
    load: list[float] = []
    train: list[float] = []
    try:
        worker.ask("prepare", arch=list(arch), base_channels=base_channels, **asked)
        for _ in range(rounds):
            load += timed(
                lambda: sample_batch(pairs, 0, next(step), training.batch_size, training.crop_size, SCALE),
                seconds / 4,
            )
            train += worker.ask("steps", seconds=seconds, **asked)
    finally:
        worker.close()
    return load, train, statistics.median(load) / statistics.median(train)


if __name__ == "__main__":
    main()
