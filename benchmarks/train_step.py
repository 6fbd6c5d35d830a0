"""What a training step costs: our library alone and as a training uses it, MindSpore's own operators, and PyTorch.

    python benchmarks/train_step.py                              with the torch of this interpreter, if it has one
    python benchmarks/train_step.py --torch-python PATH          with another interpreter's

A step is forward, L1 loss, backward and Adam, float32 (bf16: under autocast), in a process on one core with one
thread, from a batch as NumPy arrays to the loss as a number. All contenders take turns, in rounds, so that what else
the machine does meets all of them. What a core can do at most is measured between them: chains of FMAs, and NumPy's
matrix product. Pictures are evaluated too, and two workers train side by side.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ENVIRONMENT, Worker, WorkerError, cores, machine, number, parser, say, spread, table

TOO_LONG_S = 2.0
"""A contender whose step takes longer at the first batch size is left out at the second."""
SLOW_S = 1.5
"""What takes longer is measured every other round."""
PICTURE = (340, 510)
Key = tuple[str, int]
"""A network's name and a batch size."""


@dataclass(frozen=True)
class Network:
    """A network, the LR side and batch sizes that it is trained on, and what is wanted of the ratio to PyTorch."""

    name: str
    arch: tuple[str, ...]
    base_channels: int
    side: int
    batches: tuple[int, ...]
    allowed: float

    @property
    def arguments(self) -> dict[str, Any]:
        return {"arch": list(self.arch), "base_channels": self.base_channels}


def arch_of(text: str) -> tuple[str, ...]:
    """Blocks as one writes them."""
    return tuple(text.split())


NETWORKS = (
    Network(
        "example",
        arch_of(
            "G_8_16_24 C_8_16_16 G_4_16_24 G_8_16_16 S_4_24_32 C_8_16_48 S_4_16_24 G_6_16_24 G_8_16_16 C_8_16_24 "
            "S_8_16_16 S_8_16_24 S_8_16_32 S_6_16_16 G_6_16_64 G_8_16_16 S_8_16_32"
        ),
        base_channels=32,
        side=32,
        batches=(4, 16),
        allowed=0.40,
    ),
    # 317,147 parameters: the first that sampling the paper's space gave (configs/esr_ea_x2.yml).
    Network(
        "325 K",
        arch_of(
            "S_4_8_32 G_4_16_24 C_8_16_24 S_4_8_16 C_4_32_32 G_6_8_8 C_8_16_32 S_8_16_16 G_4_8_24 C_6_8_24 S_4_32_32 "
            "G_8_8_32 G_4_8_16 G_6_8_32 G_6_8_8 C_8_8_8"
        ),
        base_channels=32,
        side=32,
        batches=(4, 16),
        allowed=0.40,
    ),
    # 34,807 parameters: likewise the first of a space of 3 to 6 blocks.
    Network(
        "35 K",
        arch_of("G_6_8_8 C_6_8_8 G_4_8_8 S_8_8_24"),
        base_channels=16,
        side=24,
        batches=(8, 16),
        allowed=0.60,
    ),
)
QUICK = (Network("tiny", arch_of("G_2_8_8 S_1_8_16"), 8, 8, (1, 2), 1.0),)
OURS, ALONE, PLAIN = "in a training", "library alone", "MindSpore plain"
F32 = ("eager", "channels_last", "compiled")
COLUMNS = (ALONE, OURS, PLAIN, *F32, "bf16")


@dataclass
class Contender:
    """A way to train: its worker, and how the worker is asked.

    By (network, batch size): what the worker said when it was ready, the seconds of its first step, and those of each
    step measured.
    """

    name: str
    worker: Worker
    mode: str | None = None
    only: Key | None = None
    networks: tuple[Network, ...] | None = None
    made: dict[Key, dict[str, Any]] = field(default_factory=dict)
    usual: dict[Key, float] = field(default_factory=dict)
    times: dict[Key, list[float]] = field(default_factory=dict)

    def prepare(self, networks: Iterable[Network]) -> None:
        """Make ready for all that it takes part in, and take its first steps."""
        for network in self.networks or networks:
            for batch in network.batches:
                key = network.name, batch
                if self.only not in (None, key):
                    continue
                if self.usual.get((network.name, network.batches[0]), 0.0) > TOO_LONG_S:
                    continue
                self.made[key] = self.worker.ask(
                    "prepare", name=network.name, batch=batch, side=network.side, **network.arguments, **self._mode()
                )
                self.usual[key] = min(self.steps(network, batch, 0.0))
                self.times[key] = []
                say(f"{self.name}: {network.name}, batch {batch} is ready after {self.made[key]['seconds']:.1f} s")

    def steps(self, network: Network, batch: int, seconds: float) -> list[float]:
        times: list[float] = self.worker.ask(
            "steps", name=network.name, batch=batch, side=network.side, seconds=seconds, **self._mode()
        )
        return times

    def _mode(self) -> dict[str, str]:
        return {} if self.mode is None else {"mode": self.mode}


@dataclass(frozen=True)
class Plan:
    """How much is measured. `matrices` are the sizes of those multiplied, `picture` the one evaluated (H, W)."""

    networks: tuple[Network, ...]
    rounds: int
    seconds: float
    matrices: tuple[int, ...]
    picture: tuple[int, int]

    @property
    def keys(self) -> list[tuple[Network, Key]]:
        return [(network, (network.name, batch)) for network in self.networks for batch in network.batches]


@dataclass(frozen=True)
class Found:
    """What a run measured.

    `counts` are parameters and operations; peaks are in GFLOP/s, `fma` None without a C compiler; `pairs` are steps a
    second of one worker and of two at once; `evaluated` are seconds, by network and contender.
    """

    contenders: list[Contender]
    counts: dict[Key, dict[str, Any]]
    fma: float | None
    gemm: float
    instruction_set: str
    torch: str | None
    difference: float
    pairs: list[tuple[Network, float, float]]
    evaluated: dict[str, dict[str, list[float]]]

    def times(self, name: str, key: Key) -> list[float]:
        """Seconds of a contender's steps; none where it did not take part."""
        return next((one.times[key] for one in self.contenders if one.name == name and key in one.times), [])

    def median(self, name: str, key: Key) -> float | None:
        times = self.times(name, key)
        return statistics.median(times) if times else None

    def best_f32(self, key: Key) -> tuple[str, float] | None:
        """PyTorch's fastest float32 way by its median, and that."""
        medians = [(median, name) for name in F32 if (median := self.median(name, key)) is not None]
        return (min(medians)[1], min(medians)[0]) if medians else None

    def ratio(self, key: Key) -> float | None:
        """Ours in a training to PyTorch's best float32."""
        ours, best = self.median(OURS, key), self.best_f32(key)
        return None if ours is None or best is None else ours / best[1]


class Bench:
    """The workers of a run."""

    def __init__(self, plan: Plan, torch_python: str, compiled: str) -> None:
        self.plan = plan
        # Everything is measured on the last core; preparations that take long use the first one too.
        self.here, self.there = cores()[-1], cores()[0]
        self.opened: list[Worker] = []
        self.peaks = self._worker("contenders.py", "peaks")
        self.alone = self._worker("contenders.py", "alone")
        # MindSpore compiles the example for minutes: it has a worker, and a core, of its own for that.
        first, *others = plan.networks
        plain = [
            Contender(PLAIN, self._worker("contenders.py", "plain", core=core), networks=tuple(part))
            for core, part in ((self.there, [first]), (self.here, others))
            if part
        ]
        ours = self._worker("contenders.py", "native")
        self.neighbour = Contender(OURS, self._worker("contenders.py", "native", core=self.there))
        self.contenders = [Contender(ALONE, self.alone), Contender(OURS, ours), *plain]
        self.torch: Worker | None = None
        self.about: str | None = None
        try:
            self._add_torch(torch_python, compiled)
        except WorkerError as error:
            say(f"without PyTorch ({error}): pip install torch, or --torch-python PATH")

    def _worker(self, *arguments: str, core: int | None = None, **more: Any) -> Worker:
        core = self.here if core is None else core
        self.opened.append(Worker(*arguments, core=core, settings=ENVIRONMENT, **more))
        return self.opened[-1]

    def _add_torch(self, interpreter: str, compiled: str) -> None:
        # Processes of their own: what one does to memory or caches is none of the others'.
        torch, bf16 = (self._worker("torch_contender.py", interpreter=interpreter) for _ in range(2))
        self.about = torch.ask("about")
        self.torch = torch
        self.contenders += [Contender(mode, torch, mode) for mode in ("eager", "channels_last")]
        self.contenders.append(Contender("bf16", bf16, "bf16"))
        for network in self.plan.networks:
            if network.name == compiled:
                worker = self._worker("torch_contender.py", interpreter=interpreter)
                self.contenders.append(Contender("compiled", worker, "compiled", (compiled, network.batches[0])))

    def close(self) -> None:
        for one in self.opened:
            one.close()

    def prepare(self) -> None:
        """Everything that compiles. What takes minutes is done first, on both cores."""
        long = [one for one in self.contenders if one.name in (PLAIN, "compiled")]
        for one in (one for one in long if one.name == "compiled"):
            one.worker.move(self.there)
        with ThreadPoolExecutor() as pool:
            for work in [pool.submit(one.prepare, self.plan.networks) for one in long]:
                work.result()
        for one in long:
            one.worker.move(self.here)
        for one in (*self.contenders, self.neighbour):
            if one not in long:
                one.prepare(self.plan.networks)

    def difference(self) -> float:
        """Greatest difference of outputs from PyTorch's: that the same networks are compared."""
        differences = [0.0]
        if self.torch is not None:
            for network in self.plan.networks:
                with tempfile.TemporaryDirectory() as folder:
                    file = str(Path(folder, "example.npz"))
                    self.alone.ask("example", file=file, **network.arguments)
                    differences.append(self.torch.ask("agree", file=file, **network.arguments))
        return max(differences)

    def measure(self) -> tuple[float | None, float]:
        """Let all take turns; the peaks of the core by FMAs and by matrix products."""
        peaks: list[dict[str, float]] = []
        for index in range(self.plan.rounds):
            say(f"round {index + 1} of {self.plan.rounds}")
            peaks += [self.peaks.ask("peaks", size=one, seconds=self.plan.seconds / 4) for one in self.plan.matrices]
            for network, key in self.plan.keys:
                for one in self.contenders:
                    if key in one.times and not (index % 2 and min(one.times[key]) > SLOW_S):
                        one.times[key] += one.steps(network, key[1], self.plan.seconds)
        fma = [one["fma"] for one in peaks if one["fma"] is not None]
        return max(fma, default=None), max(one["gemm"] for one in peaks)

    def side_by_side(self, rounds: int) -> list[tuple[Network, float, float]]:
        """Steps a second of one worker, and of both at once; nothing on one core."""
        if self.here == self.there:
            return []
        workers = (self.contenders[1], self.neighbour)
        result = []
        for network in self.plan.networks:
            single: list[list[float]] = [[], []]
            double: list[list[float]] = [[], []]

            def steps(one: Contender, network: Network = network) -> list[float]:
                return one.steps(network, network.batches[0], 2 * self.plan.seconds)

            for _ in range(rounds):
                for times, one in zip(single, workers, strict=True):
                    times += steps(one)
                with ThreadPoolExecutor(2) as pool:
                    for times, new in zip(double, pool.map(steps, workers), strict=True):
                        times += new
            rates = [sum(1 / statistics.median(times) for times in both) for both in (single, double)]
            result.append((network, rates[0] / 2, rates[1]))
        return result

    def evaluate(self, rounds: int) -> dict[str, dict[str, list[float]]]:
        """Seconds of evaluating a picture, by network and contender."""
        height, width = self.plan.picture
        result: dict[str, dict[str, list[float]]] = {}
        for network in self.plan.networks:
            asked = {"height": height, "width": width, "seconds": self.plan.seconds / 4, **network.arguments}
            times = result.setdefault(network.name, {})
            for _ in range(rounds):
                times.setdefault("library", []).extend(self.alone.ask("evaluate", **asked))
                for mode in ("channels_last", "eager") if self.torch is not None else ():
                    times.setdefault(mode, []).extend(self.torch.ask("evaluate", mode=mode, **asked))
        return result

    def run(self) -> Found:
        self.prepare()
        difference = self.difference()
        fma, gemm = self.measure()
        fewer = max(1, self.plan.rounds - 3)
        say("two workers")
        pairs = self.side_by_side(fewer)
        say("evaluation")
        return Found(
            self.contenders,
            self.contenders[0].made,
            fma,
            gemm,
            self.alone.ask("about"),
            self.about,
            difference,
            pairs,
            self.evaluate(fewer),
        )


def print_steps(found: Found, plan: Plan) -> None:
    """The times of steps, and what they are of the core's peak and of each other."""
    shown = [name for name in COLUMNS if any(one.name == name for one in found.contenders)]
    times, shares = [], []
    for network, key in plan.keys:
        label = f"{network.name}, {key[1]} x {network.side}x{network.side}"
        times.append([label, *(spread(one) if one else "-" for one in (found.times(name, key) for name in shown))])
        count = found.counts[key]
        flops = count["forward"] + count["backward"]
        alone, ours, plain = (found.median(name, key) for name in (ALONE, OURS, PLAIN))
        assert alone is not None
        assert ours is not None
        rate = flops / alone / 1e9
        best, ratio = found.best_f32(key), found.ratio(key)
        shares.append(
            [
                f"{network.name}, {key[1]}",
                f"{count['params']:,}",
                f"{flops / 1e9:.2f}",
                number(rate),
                f"{100 * rate / found.fma:.0f} %" if found.fma else "-",
                f"{100 * rate / found.gemm:.0f} %",
                f"{ours / alone:.2f}",
                f"{plain / ours:.1f}" if plain else "-",
                f"{ratio:.2f} ({best[0]})" if best else "-",
                f"{network.allowed:.2f}",
            ]
        )
    print("\nmilliseconds a step, least / median / greatest:\n")
    print(table(["network, batch", *shown], times))
    print()
    ratios = ["in a training / alone", "plain / ours", "ours / PyTorch's best f32", "wanted"]
    rates = ["parameters", "GFLOP a step", "GFLOP/s alone", "of FMA peak", "of GEMM peak"]
    print(table(["network, batch", *rates, *ratios], shares))


def print_rest(found: Found, plan: Plan) -> None:
    """Evaluation, and two workers."""
    height, width = plan.picture
    print(f"\nevaluation of a picture of {width}x{height}, milliseconds, least / median / greatest:\n")
    names = list(next(iter(found.evaluated.values())))
    print(table(["network", *names], [[name, *map(spread, times.values())] for name, times in found.evaluated.items()]))
    print()
    for network, single, double in found.pairs:
        print(
            f"{network.name}, batch {network.batches[0]}: {number(single)} steps a second by one worker, "
            f"{number(double)} by two at once: efficiency {double / (2 * single):.2f}"
        )
    if not found.pairs:
        print("two workers: not measured, there is one core")


def closing_line(found: Found, plan: Plan) -> str:
    """The ratios."""
    if found.torch is None:
        _, key = plan.keys[0]
        ours, plain = found.median(OURS, key), found.median(PLAIN, key)
        assert ours is not None
        assert plain is not None
        return f"of MindSpore's plain step, {key[0]}: {ours / plain:.2f} (PyTorch is not there to compare with)"
    parts = []
    for network in plan.networks:
        ratios = [found.ratio((network.name, batch)) for batch in network.batches]
        text = " and ".join(f"{one:.2f}" for one in ratios if one is not None)
        parts.append(f"{network.name} {text} (wanted {network.allowed:.2f})")
    pictures = []
    for times in found.evaluated.values():
        medians = {name: statistics.median(value) for name, value in times.items()}
        library = medians.pop("library")
        pictures.append(f"{library / min(medians.values()):.2f}")
    return f"of PyTorch's best f32 step: {', '.join(parts)}; evaluation {', '.join(pictures)} (wanted 0.40)"


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="interpreter that has torch")
    options_of.add_argument(
        "--compile",
        default=NETWORKS[0].name,
        metavar="NETWORK",
        help="the one that PyTorch compiles too, at its first batch size (minutes); none: none",
    )
    options_of.add_argument("--rounds", type=int, default=5)
    options_of.add_argument("--seconds", type=float, default=0.5, help="of each contender in a round")
    options = options_of.parse_args()
    plan = Plan(NETWORKS, options.rounds, options.seconds, (1024, 2048), PICTURE)
    if options.quick:
        plan = Plan(QUICK, 1, 0.01, (64,), (16, 24))
    bench = Bench(plan, options.torch_python, options.compile)
    try:
        found = bench.run()
    finally:
        bench.close()
    print(f"{machine()}; library: {found.instruction_set}; {found.torch or 'no PyTorch'}; one core and thread each")
    fma = f"{found.fma:.0f} GFLOP/s by chains of FMAs" if found.fma else "not measured by FMAs (no C compiler)"
    print(f"peak of the core: {fma}, {found.gemm:.0f} GFLOP/s by NumPy's matrix product")
    if found.torch is not None:
        print(f"outputs with the same weights differ from PyTorch's by {found.difference:.1g} at most")
    print_steps(found, plan)
    print_rest(found, plan)
    print(closing_line(found, plan))


if __name__ == "__main__":
    main()
