"""What enlarging a picture costs: ours, onnxruntime and PyTorch, with the same network, weights and threads.

    python benchmarks/upscale.py                         with the torch of this interpreter, if it has one
    python benchmarks/upscale.py --torch-python PATH     with another interpreter's

From a picture as an array of 8 bits to such an array, in Mpx of output a second. Contenders take turns, in rounds, so
that what else the machine does meets all of them; they are given the whole picture, ours goes through it in tiles. Then
the memory that enlarging files takes, each in a process of its own.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Worker, WorkerError, cores, machine, number, parser, say, serve, table, timed

ARCH = ("S_4_8_16", "G_6_16_16", "S_4_16_24", "G_2_16_24", "G_2_8_16")
BASE_CHANNELS = 16
SCALE = 2
SIZE = (600, 800)
"""Height and width of the picture."""
OUTPUTS = (4, 24, 100)
"""Mpx of output whose memory is measured."""
OURS, RUNTIME, TORCH = "ours", "onnxruntime", "PyTorch"
state: dict[str, Any] = {}


def network(ends: int) -> tuple[Any, dict[str, Any]]:
    """A network of RGB, or of luminance, with random weights."""
    import numpy as np

    from esr_ray.networks.parameters import parameter_shapes
    from esr_ray.space.spec import NetworkSpec

    colour = "rgb" if ends == 3 else "luminance"
    task = f'{{"name": "super_resolution", "scale": {SCALE}, "colour": "{colour}"}}'
    spec = NetworkSpec(ARCH, BASE_CHANNELS, SCALE, "none", ends, ends, task)
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(spec)
    # Values stay about as large as they are: what is computed with is no NaN, and not zero.
    return spec, {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1) / 2).astype(np.float32)
        for name, shape in shapes.items()
    }


def loaded(ends: int) -> Any:
    """That network, ready."""
    from esr_ray.inference.load import ready_network
    from esr_ray.inference.predictor import choose_predictor

    spec, parameters = network(ends)
    return ready_network(parameters, spec, choose_predictor("auto", "CPU"), "the benchmark")


def write_inputs(ends: int, file: str, height: int, width: int) -> None:
    """What the contenders are given."""
    import numpy as np

    from esr_ray.metrics import YCBCR_FROM_RGB, YCBCR_OFFSET
    from esr_ray.networks.parameters import flatten

    _, parameters = network(ends)
    np.savez(
        file,
        # Far from black and white: of luminance, ours clips what is beyond them twice.
        picture=np.random.default_rng(1).integers(70, 190, (height, width, 3), np.uint8),
        weights=flatten(parameters),
        ends=ends,
        matrix=YCBCR_FROM_RGB,
        offset=YCBCR_OFFSET,
    )


def ready(contender: str, ends: int, file: str, result: str, threads: int) -> None:
    """Make ready, and keep the first result."""
    import numpy as np

    picture = np.load(file)["picture"]
    if contender == OURS:
        from esr_ray.inference.enlarge import enlarge

        made = loaded(ends)
        state["run"] = lambda: enlarge(picture, made, threads)
    else:
        import onnxruntime

        from esr_ray.export.onnx import to_onnx

        spec, parameters = network(ends)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        content = to_onnx(spec, parameters, rgb=True).SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

        def run() -> np.ndarray:
            x = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
            y = session.run(None, {"input": x})[0][0]
            np.clip(y, 0, 1, out=y)
            return np.ascontiguousarray((y * np.float32(255) + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0))

        state["run"] = run
    np.save(result, state["run"]())


def times(seconds: float) -> list[float]:
    """Seconds of some enlargements."""
    return timed(state["run"], seconds)


def memory(ends: int, side: int, folder: str) -> float:
    """MB that enlarging a file takes, at its peak, over what the process has once its network is ready."""
    import numpy as np
    from PIL import Image

    from esr_ray.inference.rows import bands_of
    from esr_ray.upscale.picture import larger, open_picture
    from esr_ray.upscale.write import writing

    source = Path(folder, f"{side}.jpg")
    if not source.exists():
        small = np.random.default_rng(0).integers(0, 256, (side // 20 + 1, side // 20 + 1, 3), np.uint8)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(source)
        return 0.0
    made, before = loaded(ends), peak()
    with (
        open_picture(source) as opened,
        larger(opened, made) as rows,
        writing(source.with_suffix(".png"), "PNG", rows, opened.kept) as writer,
    ):
        for band in bands_of(rows):
            writer.write(band)
        writer.close()
    return peak() - before


def peak() -> float:
    """MB that this process had in use at most."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1e3 if found is not None else float("nan")


def compare(options: Any, ends: int, folder: str, size: tuple[int, int]) -> dict[str, list[float]]:
    """Seconds of each contender, in turns."""
    import numpy as np

    file = str(Path(folder, f"{ends}.npz"))
    write_inputs(ends, file, *size)
    settings = {"OMP_NUM_THREADS": str(options.threads), "GLOG_v": "3"}
    workers: dict[str, Worker] = {}
    found: dict[str, list[float]] = {}
    results = {}
    try:
        for name in (OURS, RUNTIME, TORCH):
            result = str(Path(folder, f"{name}.npy"))
            common = {"file": file, "result": result, "threads": options.threads}
            try:
                if name == TORCH:
                    worker = Worker("torch_contender.py", interpreter=options.torch_python, settings=settings)
                    workers[name] = worker
                    worker.ask("upscale_ready", arch=list(ARCH), base_channels=BASE_CHANNELS, **common)
                else:
                    workers[name] = Worker("upscale.py", "worker", settings=settings)
                    workers[name].ask("ready", contender=name, ends=ends, **common)
            except WorkerError as error:
                say(f"without {name} ({error})")
                workers.pop(name).close()
                continue
            results[name], found[name] = np.load(result).astype(int), []
        for name in list(results)[1:]:
            difference = np.abs(results[name] - results[OURS])
            print(f"{name} differs from ours by {difference.mean():.4f} levels on average, {difference.max()} at most")
        for index in range(options.rounds):
            say(f"round {index + 1} of {options.rounds}")
            for name, worker in workers.items():
                ask = "upscale_times" if name == TORCH else "times"
                found[name] += worker.ask(ask, seconds=options.seconds)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def memories(ends: int, folder: str, outputs: tuple[int, ...]) -> list[str]:
    """MB by size of the output, each in a process of its own."""
    found = []
    for megapixels in outputs:
        side = int((1e6 * megapixels) ** 0.5) // SCALE
        for _ in ("the picture", "its enlargement"):
            worker = Worker("upscale.py", "worker")
            try:
                mb = worker.ask("memory", ends=ends, side=side, folder=folder)
            finally:
                worker.close()
        found.append(number(mb))
        say(f"memory for {megapixels} Mpx: {mb:.0f} MB")
    return found


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="interpreter that has torch")
    options_of.add_argument("--threads", type=int, default=len(cores()))
    options_of.add_argument("--rounds", type=int, default=7)
    options_of.add_argument("--seconds", type=float, default=1.0, help="of each contender in a round")
    options_of.add_argument("--no-memory", action="store_true", help="leave the measuring of memory out")
    options = options_of.parse_args()
    size, outputs = (SIZE, OUTPUTS) if not options.quick else ((48, 64), (1,))
    if options.quick:
        options.rounds, options.seconds = 1, 0.01
    print(f"{machine()}; {options.threads} threads; {' '.join(ARCH)}, G0 {BASE_CHANNELS}, x{SCALE}")
    megapixels = SCALE**2 * size[0] * size[1] / 1e6
    rows, ratios, used = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for ends, label in ((3, "RGB"), (1, "luminance")):
            found = compare(options, ends, folder, size)
            for name, seconds in found.items():
                best, usual = min(seconds), statistics.median(seconds)
                of_ours = [number(of(found[OURS]) / of(seconds)) for of in (min, statistics.median)]
                rows.append([label, name, number(megapixels / best), number(megapixels / usual), *of_ours])
                if name != OURS:
                    ratios.append(f"{label} {of_ours[1]} of {name}'s")
            if not options.no_memory:
                used.append([label, *memories(ends, folder, outputs)])
    print(table(["network", "", "Mpx/s, best", "median", "ours / its time, best", "median"], rows))
    if used:
        print(table(["MB over the process with its network", *(f"{one} Mpx of output" for one in outputs)], used))
    print(f"ours takes, of the time (median): {', '.join(ratios) or 'there is nothing to compare with'}")


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        serve({one.__name__: one for one in (ready, times, memory)})
    else:
        main()
