"""What the benchmarks share: workers pinned to a core, figures in words, what the machine is.

Only the standard library at the top: a worker may run in an interpreter that has none of esr_ray's dependencies.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent

# Settings of a shell that would change what is compared.
UNSET = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ATEN_CPU_CAPABILITY",
)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GLOG_v": "3"}
"""Settings of a worker with one thread. GLOG_v: MindSpore's own log says errors only."""
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")


class WorkerError(Exception):
    """A worker could not do what it was asked; the message says why."""


class Worker:
    """A process on one core that does what it is asked, one thing at a time, and else nothing.

    It runs `script`, which calls `serve`. `interpreter` is another Python; `settings` are environment variables.
    """

    def __init__(
        self,
        script: str,
        *arguments: str,
        core: int | None = None,
        interpreter: str = sys.executable,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in UNSET}
        environment.update(settings or {})
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        self._process = subprocess.Popen(
            [interpreter, str(FOLDER / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            # Before it starts threads.
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )

    def ask(self, function: str, /, **arguments: Any) -> Any:
        """Have a function of the worker called, and wait for what it returns."""
        self.begin(function, **arguments)
        return self.end()

    def begin(self, function: str, /, **arguments: Any) -> None:
        """Have a function called, without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([function, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # `end` says what it died of.
            return

    def end(self) -> Any:
        """Wait for what the function begun returns."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            said = self._log.read().strip().splitlines()
            raise WorkerError(said[-1] if said else f"it died with status {self._process.returncode}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply["result"]

    def move(self, core: int) -> None:
        """Pin the process, with the threads that it has now, to another core."""
        for thread in os.listdir(f"/proc/{self._process.pid}/task"):
            os.sched_setaffinity(int(thread), {core})

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer a `Worker` until it goes."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            reply = {"result": functions[name](**arguments)}
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def timed(function: Callable[[], Any], seconds: float, least: int = 1, most: int = 10_000) -> list[float]:
    """Seconds of each call, for so many seconds in all and at least `least` calls."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < least or (time.perf_counter() - began < seconds and len(times) < most):
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return times


def parser(text: str | None) -> argparse.ArgumentParser:
    """Options that every benchmark has: --quick shows within seconds that it works; its figures mean nothing."""
    result = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--quick", action="store_true", help="as short as it can be: only to see that it works")
    return result


def cores() -> list[int]:
    """Cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def pinned_pool(workers: int) -> Any:
    """A pool of processes, each with a core of its own from before it loads MindSpore."""
    context = multiprocessing.get_context("spawn")
    free = context.Queue()
    for core in cores()[:workers]:
        free.put(core)
    return context.Pool(workers, initializer=_pin, initargs=(free,))


def _pin(free: Any) -> None:
    os.sched_setaffinity(0, {free.get()})


def spread(times: Sequence[float], unit: float = 1e3) -> str:
    """Least, median and greatest, in milliseconds."""
    return " / ".join(number(unit * one) for one in (min(times), statistics.median(times), max(times)))


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """Processor, instruction sets and cores, in a line."""
    model, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() in ("flags", "Features"):
                flags = value
            if key.strip() in ("cpu family", "model"):
                model += f", {key.strip().removeprefix('cpu ')} {value.strip()}"
            if not line.strip():
                break
    except OSError:
        pass
    known = [name for name in INSTRUCTIONS if name in flags.split()]
    return f"{model} ({', '.join(known) or 'no instruction sets told'}), {len(cores())} cores"


def say(line: str) -> None:
    """Progress, beside the results."""
    print(line, file=sys.stderr, flush=True)
