"""Trained networks measured on sets of pictures, beside what there is without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from esr_ray.config.load import check_config
from esr_ray.config.task import TaskConfig
from esr_ray.data.crops import PicturePair, check_border
from esr_ray.data.layouts import benchmarks_in, read_set
from esr_ray.data.pairs import FoundSet, same_name
from esr_ray.data.store import StoreSpec, open_store
from esr_ray.errors import UserError
from esr_ray.inference.cost import inference_cost
from esr_ray.inference.find import Source, distinct, find_networks
from esr_ray.inference.load import load_network
from esr_ray.inference.measure import Measured
from esr_ray.inference.predictor import choose_predictor
from esr_ray.inference.report import evaluate_baseline, evaluate_network
from esr_ray.inference.result import Evaluated, InferenceCost
from esr_ray.networks.checkpoint import load_checkpoint
from esr_ray.tasks.make import make_task, task_of
from esr_ray.tasks.pictures import default_cache_dir
from esr_ray.tasks.task import Task

Place = str | Path | tuple[str | Path, str | Path]
"""Where a set lies: a folder in a known layout, or folders of HR and of LR pictures."""
OnPictures = Callable[[str, str, Sequence[Measured]], None]
"""Told the network (or baseline), the set, and its pictures, as soon as they are measured."""


@dataclass(frozen=True)
class Evaluation:
    """What networks are for, and the figures of the task's baselines and then of each network, picture by picture."""

    task: Task
    results: tuple[Evaluated, ...]


def evaluate_networks(
    networks: Sequence[str | Path] = (),
    data: Mapping[str, Place] | None = None,
    *,
    benchmarks: str | Path | None = None,
    scale: int | None = None,
    self_ensemble: bool = False,
    with_cost: bool = False,
    target: str = "cpu",
    kernels: str = "auto",
    cache_dir: str | Path | None = None,
    on_pictures: OnPictures = lambda network, part, pictures: None,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Measure networks (names of the package, runs, checkpoints) on the sets of `data`, by name, and of `benchmarks`, a
    folder of such sets; without a network, bicubic at `scale`.

    `with_cost` measures latency and memory of each network too, in a process of its own, so a script needs its
    `if __name__ == "__main__"`. `target` is cpu or ascend, `kernels` as `runtime.kernels`; `say` is told what there is
    to know of pictures and networks. Raises UserError with what the command would say.
    """
    found = _found(networks)
    task = _task(found, scale)
    sources = distinct(found, [one.name for one in task.baselines])
    sets = _sets(data or {}, benchmarks, task)
    cache = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    for name, part in sets:
        for note in part.notes:
            say(f"{name}: {note}")
    pictures = [(name, _opened(name, part, task, cache, say)) for name, part in sets]
    config = check_config({"data": {"hr": "unused"}, "runtime": {"kernels": kernels}}, "evaluate")
    device = {"cpu": "CPU", "ascend": "Ascend"}[target]
    costs: list[InferenceCost | None] = [None] * len(sources)
    if with_cost:
        # Before this process takes the device.
        costs = [inference_cost(source, config, device, self_ensemble) for source in sources]
        for source, cost in zip(sources, costs, strict=True):
            if cost is None:
                say(f"{source.name}: latency and memory unknown: the process that measured them was killed")

    def keeper(name: str) -> Callable[[str, list[Measured]], None]:
        return lambda part, seen: on_pictures(name, part, seen)

    results = [evaluate_baseline(task, pictures, keeper(one.name), one) for one in task.baselines]
    if not sources:
        return Evaluation(task, tuple(results))
    make = choose_predictor(kernels, device, config.runtime.mode)
    for source, cost in zip(sources, costs, strict=True):
        say(f"{source.name}: {make.reason}")
        network = load_network(source.path, make, self_ensemble)
        results.append(evaluate_network(source.name, network, pictures, keeper(source.name), cost))
    return Evaluation(task, tuple(results))


def common_task(networks: Sequence[str | Path], scale: int | None = None) -> Task:
    """What all these networks are for; without one, super-resolution at `scale`. Raises UserError if they differ."""
    return _task(_found(networks), scale)


def _found(networks: Sequence[str | Path]) -> list[Source]:
    return [source for path in dict.fromkeys(networks) for source in find_networks(Path(path))]


def _task(sources: list[Source], given: int | None) -> Task:
    """What all networks are for. Raises UserError if they differ, or there is none to tell."""
    if not sources:
        if given is None:
            raise UserError("give networks (checkpoints or run folders), or --scale for bicubic alone; see --help")
        return make_task(TaskConfig(scale=given))  # type: ignore[arg-type]
    tasks = {source.path: task_of(load_checkpoint(source.path)[1]) for source in sources}
    first = next(iter(tasks.values()))
    for path, task in tasks.items():
        if task.title != first.title and task.scale == first.scale:
            raise UserError(f"{path}: is for {task.title}, and others for {first.title}; evaluate each by itself")
        if task.scale != (given or first.scale):
            raise UserError(f"{path}: enlarges by {task.scale}, not by {given or first.scale}; evaluate each by itself")
    return first


def _sets(data: Mapping[str, Place], benchmarks: str | Path | None, task: Task) -> list[tuple[str, FoundSet]]:
    sets = []
    for name, place in data.items():
        hr, lr = (str(place[0]), str(place[1])) if isinstance(place, tuple) else (str(place), None)
        sets.append((name, read_set(name, hr, lr, task.scale, task.given_lr)))
    if benchmarks is not None:
        sets += benchmarks_in(Path(benchmarks).expanduser(), task.scale, task.given_lr)
    if not sets:
        raise UserError("give pictures: --data Set5=FOLDER, or --benchmarks FOLDER; see --help")
    names = [same_name(name) for name, _ in sets]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--data {name}: two sets have this name; rename one")
    return sets


def _opened(name: str, part: FoundSet, task: Task, cache: Path, say: Callable[[str], None]) -> Sequence[PicturePair]:
    store = open_store(StoreSpec(((name, part.pairs),), task.scale), cache)
    for note in store.notes:
        say(f"{name}: {note}")
    check_border(store.sets[name], task.border)
    return store.sets[name]
