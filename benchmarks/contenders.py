"""Our own workers: training steps through the library alone and as a training does them, and the peaks of a core.

python benchmarks/contenders.py alone|native|plain|peaks, started by the benchmarks.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import serve, timed

from esr_ray.config.load import check_config
from esr_ray.config.schema import TrainingConfig
from esr_ray.native.cpu import cpu_features
from esr_ray.native.describe import describe
from esr_ray.native.library import load_library
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.spec import NetworkSpec

SCALE = 2


def spec_of(arch: list[str], base_channels: int) -> NetworkSpec:
    return NetworkSpec(tuple(arch), base_channels, SCALE, "none")


def weights_of(spec: NetworkSpec) -> np.ndarray:
    """Initial weights, flat."""
    values = initial_parameters(parameter_shapes(spec), 0, False)
    return np.concatenate([np.asarray(one, np.float32).ravel() for one in values.values()])


def batch_of(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise for a batch of pictures."""
    rng = np.random.default_rng(0)
    lr = rng.random((count, 3, side, side), np.float32)
    return lr, rng.random((count, 3, SCALE * side, SCALE * side), np.float32)


# The library alone.


class Alone:
    """Gradient and update of one network on the same batch: what `NativeNetwork` does in a step, without it."""

    def __init__(self, spec: NetworkSpec, lr: np.ndarray, hr: np.ndarray) -> None:
        self._library, self._description = load_library(), describe(spec)
        self._lr, self._hr = np.ascontiguousarray(lr), np.ascontiguousarray(hr)
        weights = weights_of(spec)
        self._state = (weights, np.zeros_like(weights), np.zeros_like(weights), weights.copy())
        self._settings = np.array([1e-3, 0.9, 0.999, 0, 0], np.float32)

    def step(self) -> float:
        loss, gradient = self._library.gradient(self._description, self._state[0], self._lr, self._hr)
        self._library.update(self._state, gradient, self._settings)
        return float(loss)


networks: dict[str, Any] = {}


def serve_alone() -> None:
    def prepare(name: str, arch: list[str], base_channels: int, batch: int, side: int) -> dict[str, Any]:
        began = time.perf_counter()
        spec = spec_of(arch, base_channels)
        networks[f"{name} {batch}"] = training = Alone(spec, *batch_of(batch, side))
        training.step()
        sizes = load_library().sizes(describe(spec), batch, side, side)
        return {
            "params": sizes.params,
            "forward": sizes.forward_flops,
            "backward": sizes.backward_flops,
            "seconds": time.perf_counter() - began,
        }

    def steps(name: str, batch: int, side: int, seconds: float) -> list[float]:
        return timed(networks[f"{name} {batch}"].step, seconds)

    def example(arch: list[str], base_channels: int, file: str) -> None:
        """Weights, a picture and the network's output, to compare with."""
        spec = spec_of(arch, base_channels)
        x, _ = batch_of(2, 24)
        np.savez(file, weights=weights_of(spec), x=x, y=load_library().infer(describe(spec), weights_of(spec), x))

    def evaluate(arch: list[str], base_channels: int, height: int, width: int, seconds: float) -> list[float]:
        spec = spec_of(arch, base_channels)
        x = np.random.default_rng(0).random((1, 3, height, width), np.float32)
        description, weights = describe(spec), weights_of(spec)
        return timed(lambda: load_library().infer(description, weights, x), seconds)

    def about() -> str:
        return load_library().instruction_set

    serve({one.__name__: one for one in (prepare, steps, example, evaluate, about)})


# As a training has them: on the library, or on MindSpore's operators.


def serve_training(kind: str) -> None:
    from esr_ray.training.kernels import choose_kernels

    config = TrainingConfig(learning_rate=1e-3)
    kernels = choose_kernels(check_config({"data": {"hr": "unused"}, "runtime": {"kernels": kind}}, "it"), "CPU")

    def prepare(name: str, arch: list[str], base_channels: int, batch: int, side: int) -> dict[str, Any]:
        began = time.perf_counter()
        if name not in networks:
            networks[name] = kernels.make(spec_of(arch, base_channels), config, 0)
        lr, hr = batch_of(batch, side)
        networks[name].compile(lr, hr)
        float(networks[name].step(lr, hr))
        return {"seconds": time.perf_counter() - began}

    def steps(name: str, batch: int, side: int, seconds: float) -> list[float]:
        lr, hr = batch_of(batch, side)
        return timed(lambda: float(networks[name].step(lr, hr)), seconds)

    serve({one.__name__: one for one in (prepare, steps)})


# What the core can do at most.

FMA = """
typedef float vec __attribute__((vector_size(WIDTH * 4)));
#if defined(__x86_64__)
#define KEEP(x) __asm__ volatile("" : "+x"(x))
#else
#define KEEP(x) __asm__ volatile("" : "+w"(x))
#endif
#define EACH(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define MAKE(k) vec a##k = (vec){0} + (float)k;
#define STEP(k) a##k = a##k * m + c; KEEP(a##k);
#define SUM(k) kept += a##k[0];
/* Twelve independent chains of fused multiply-adds in registers; floating point operations done. */
double fma_chains(long rounds) {
    vec m = (vec){0} + 0.999f, c = (vec){0} + 1e-3f;
    volatile float kept = 0;
    EACH(MAKE) KEEP(m); KEEP(c);
    for (long i = 0; i < rounds; i++) { EACH(STEP) }
    EACH(SUM)
    return 2.0 * WIDTH * 12 * (double)rounds;
}
"""


def fma_loop() -> Callable[[], float] | None:
    """A function that computes for some milliseconds and returns the operations done; None without a compiler."""
    names = [os.environ.get("CC"), "cc", "gcc", "clang"]
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    if compiler is None:
        return None
    features = cpu_features()
    width = 16 if "avx512f" in features else 8 if {"avx2", "fma"} <= features else 4
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "fma.c"), Path(folder, "fma.so")
        source.write_text(FMA)
        command = [compiler, "-O2", "-march=native", "-ffp-contract=fast", f"-DWIDTH={width}", "-shared", "-fPIC"]
        done = subprocess.run([*command, str(source), "-o", str(library)], capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        function = ctypes.CDLL(str(library)).fma_chains
    function.restype = ctypes.c_double
    return lambda: function(ctypes.c_long(1_000_000))


def serve_peaks() -> None:
    loop = fma_loop()
    rng = np.random.default_rng(0)

    def peaks(size: int, seconds: float) -> dict[str, float | None]:
        """GFLOP/s of a chain of FMAs and of NumPy's matrix product, the best of several."""
        fma = None
        if loop is not None:
            operations = loop()
            fma = operations / min(timed(loop, seconds)) / 1e9
        a, b = (rng.random((size, size), np.float32) for _ in range(2))
        out = np.empty_like(a)
        np.matmul(a, b, out)
        gemm = 2.0 * size**3 / min(timed(lambda: np.matmul(a, b, out), seconds, least=2)) / 1e9
        return {"fma": fma, "gemm": gemm}

    serve({"peaks": peaks})


if __name__ == "__main__":
    wanted = sys.argv[1]
    if wanted == "alone":
        serve_alone()
    elif wanted == "peaks":
        serve_peaks()
    else:
        serve_training(wanted)
