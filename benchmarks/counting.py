"""How long it takes to count the parameters and mult-adds of a network of the paper's space, without building it.

python benchmarks/counting.py [configs/esr_ea_x2.yml]
"""

from __future__ import annotations

import sys
import time

from esr_ray.config.load import load_config
from esr_ray.randomness import generator
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.tasks.make import space_of

GENOMES = 2000
REPEATS = 5


def main() -> None:
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "configs/esr_ea_x2.yml").config
    space = space_of(config)
    began = time.perf_counter()
    archs = [decode(sample_genome(space, generator(0, "benchmark of counting", index))) for index in range(GENOMES)]
    sampling = (time.perf_counter() - began) / GENOMES
    counting = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for arch in archs:
            space.cost(arch)
        counting.append((time.perf_counter() - began) / GENOMES)
    print(f"{GENOMES} genomes of {sum(map(len, archs)) / GENOMES:.1f} blocks")
    print(f"counting: {min(counting) * 1e6:.1f} us a genome (greatest of {REPEATS} runs {max(counting) * 1e6:.1f})")
    print(f"sampling one within the budget: {sampling * 1e6:.0f} us")
    print(f"counts in the time of one sampling: {sampling / min(counting):.0f}")


if __name__ == "__main__":
    main()
