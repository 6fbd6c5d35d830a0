"""The Ray backend by itself, with evaluators that do as they are told."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.networks.target import VISIBLE
from esr_ray.runtime import ray_backend
from esr_ray.runtime.evaluator import Evaluator, Ready, Reply
from esr_ray.runtime.local import small
from esr_ray.runtime.placement import Placement
from esr_ray.runtime.ray_backend import RayBackend
from esr_ray.runtime.setup import WorkerSetup
from esr_ray.search.backend import BackendEvent, Began
from esr_ray.search.blame import CONTROL
from esr_ray.search.events import Failed, Lost
from esr_ray.search.job import Job
from esr_ray.search.make import make_algorithm
from esr_ray.search.state import State
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import space_of
from esr_ray.tasks.pictures import open_pictures, plan_pictures
from esr_ray.training.kernels import Kernels
from esr_ray.training.plain import PlainNetwork

pytestmark = pytest.mark.timeout(400)

CONFIG = {
    "pipeline": ["search"],
    "data": {"hr": "sample:scikit-image"},
    "fast_training": {"steps": 3},
}

# Ray's workers cannot import this file: what they need of it is sent to them.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Scripted(Evaluator):
    """Ends each job as its fate says, and notes what it was given."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup

    def ready(self) -> Ready:
        return Ready("scripted", "here", os.getpid(), "no kernels")

    def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
        given = f"{type(references).__name__} of {type(references[0]).__name__}"
        held = ray.get(references[0])[job_id].fate
        if held == "dies":
            os._exit(1)
        if held == "hangs":
            time.sleep(600)
        if held == "raises":
            raise RuntimeError("it was told to")
        return Reply(None, f"{given}: {held}", 100.0 if held != "grows" else 1e6)


class Broken(Scripted):
    """Cannot start, as where a library is missing."""

    def __init__(self, setup: WorkerSetup) -> None:
        raise ImportError("no such library")


class Told:
    """A job as far as the backend looks at it: an id, its steps, its candidate's id and mult-adds, and here what is to
    become of it."""

    def __init__(self, id: int, fate: str, steps: int = 3) -> None:
        self.id, self.fate, self.steps = id, fate, steps
        self.candidate = SimpleNamespace(id=100 + id, mult_adds=10**9)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with small():
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, resources={"NPU": 2})
    yield
    ray.shutdown()


def job() -> Job:
    config = check_config(CONFIG, "test")
    (first,) = make_algorithm(config, space_of(config)).ask(State(), 1)
    return first


def scripted_backend(
    placement: Placement, say: Callable[[str], None] = lambda line: None, **runtime: object
) -> RayBackend:
    config = check_config({**CONFIG, "runtime": runtime}, "test")
    return RayBackend(WorkerSetup(config, "CPU", plan_pictures(config), ()), placement, say, evaluator=Scripted)


def outcomes(backend: RayBackend, count: int) -> list[BackendEvent]:
    """Events until `count` jobs have ended."""
    seen: list[BackendEvent] = []
    deadline = time.monotonic() + 120
    while sum(not isinstance(event, Began) for event in seen) < count:
        assert time.monotonic() < deadline, seen
        event = backend.next_event(0.5)
        if event is not None:
            seen.append(event)
    return seen


ONE_CPU = Placement("CPU", "CPU", 1, "")


@pytest.mark.usefixtures("local_ray")
def test_evaluators_are_given_references_not_genomes() -> None:
    backend = scripted_backend(ONE_CPU)
    backend.submit([Told(7, "ends")])
    ended = outcomes(backend, 1)[-1]
    backend.cancel()
    assert ended == Failed(7, "list of ObjectRef: ends")


@pytest.mark.usefixtures("local_ray")
def test_raising_fails_and_dying_is_lost_and_the_next_job_is_done() -> None:
    backend = scripted_backend(ONE_CPU)
    backend.submit([Told(0, "raises"), Told(1, "dies"), Told(2, "ends")])
    ended = [event for event in outcomes(backend, 3) if not isinstance(event, Began)]
    backend.cancel()
    assert [type(event) for event in ended] == [Failed, Lost, Failed]
    assert "it was told to" in ended[0].reason
    assert "died" in ended[1].reason


@pytest.mark.usefixtures("local_ray")
def test_a_job_that_hangs_fails_at_its_deadline() -> None:
    backend = scripted_backend(ONE_CPU, candidate_timeout_s=2.0)
    backend.submit([Told(0, "hangs"), Told(1, "ends")])
    ended = [event for event in outcomes(backend, 2) if not isinstance(event, Began)]
    backend.cancel()
    assert [event.job for event in ended] == [0, 1]
    assert "deadline" in ended[0].reason


@pytest.mark.usefixtures("local_ray")
def test_a_control_that_hangs_speaks_against_its_device_whoever_set_the_deadline() -> None:
    backend = scripted_backend(ONE_CPU, candidate_timeout_s=2.0)
    backend.submit([Told(0, "ends")])
    outcomes(backend, 1)
    backend.submit_on(Told(-1, "hangs"), "scripted", "here")
    ended = outcomes(backend, 1)[-1]
    backend.cancel()
    assert isinstance(ended, Lost)
    assert "deadline" in ended.reason


@pytest.mark.usefixtures("local_ray")
def test_an_evaluator_that_has_grown_is_replaced() -> None:
    backend = scripted_backend(ONE_CPU)
    backend.submit([Told(0, "grows"), Told(1, "ends")])
    before = backend._workers[0].actor
    outcomes(backend, 2)
    assert backend._workers[0].actor is not before
    backend.cancel()


class HalfBroken(Scripted):
    """Starts on the first device alone."""

    def __init__(self, setup: WorkerSetup) -> None:
        if os.environ[VISIBLE] != "0":
            raise ImportError("no such library")
        self.setup = setup


@pytest.mark.usefixtures("local_ray")
def test_a_device_on_which_none_starts_does_not_end_the_search() -> None:
    config = check_config(CONFIG, "test")
    setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
    said: list[str] = []
    counts: list[int] = []
    placement = Placement("NPU", "CPU", 2, "", follows=True)
    backend = RayBackend(setup, placement, said.append, evaluator=HalfBroken, devices=counts.append)
    backend.submit([Told(0, "ends")])
    outcomes(backend, 1)
    deadline = time.monotonic() + 60
    while not counts:
        assert time.monotonic() < deadline, said
        backend.next_event(0.5)
    # Nor is it tried again as if it had just joined.
    backend._looked = 0.0
    backend.submit([Told(1, "ends"), Told(2, "ends")])
    assert [event.job for event in outcomes(backend, 2) if isinstance(event, Failed)] == [1, 2]
    backend.cancel()
    assert counts == [1]
    assert len(said) == 3, "what computes, a start that failed, the giving up"
    assert "the others go on without it: ImportError: no such library; check that" in said[-1]


@pytest.mark.usefixtures("local_ray")
def test_idle_evaluators_of_a_node_on_which_one_died_are_replaced() -> None:
    """The node may be dead: given to them, the same job would be lost again and again."""
    backend = scripted_backend(Placement("CPU", "CPU", 2, ""))
    backend.submit([Told(0, "ends"), Told(1, "ends")])
    outcomes(backend, 2)
    deadline = time.monotonic() + 60
    while any(worker.ready is None for worker in backend._workers):
        assert time.monotonic() < deadline
        backend.next_event(0.5)
    before = [worker.actor for worker in backend._workers]
    backend.submit([Told(2, "dies")])
    assert isinstance(outcomes(backend, 1)[-1], Lost)
    assert not [worker for worker in backend._workers if worker.actor in before]
    backend.cancel()


class Raises(Evaluator):
    """Computes no network of a search; of those that have a `seed` of one, none at all."""

    def __init__(self, setup: WorkerSetup) -> None:
        def make(spec: NetworkSpec, *given: object) -> PlainNetwork:
            if spec.arch == CONTROL and setup.config.seed == 0:
                return PlainNetwork(spec, *given)
            raise RuntimeError("the device is in use\nmore of it")

        self.setup = setup
        self.pictures = open_pictures(setup.pictures, setup.config)
        self.kernels = Kernels("plain", "plain", make)

    def ready(self) -> Ready:
        return Ready("scripted", "here", os.getpid(), "no kernels")


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(("seed", "ends"), [(0, Failed), (1, Lost)])
def test_what_a_network_raises_is_laid_to_the_device_if_that_can_train_no_other_one(seed: int, ends: type) -> None:
    config = check_config({**CONFIG, "seed": seed, "runtime": {"kernels": "plain"}}, "test")
    backend = RayBackend(WorkerSetup(config, "CPU", plan_pictures(config), ()), ONE_CPU, evaluator=Raises)
    backend.submit([job()])
    before = backend._workers[0].actor
    ended = outcomes(backend, 1)[-1]
    replaced = backend._workers[0].actor is not before
    backend.cancel()
    assert type(ended) is ends
    where = "" if ends is Failed else "scripted of here: "
    assert ended.reason == f"{where}RuntimeError: the device is in use more of it"
    assert replaced == (ends is Lost)


@pytest.mark.usefixtures("local_ray")
def test_what_hangs_before_there_is_any_result_is_told_of_and_lost_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_backend, "LEAST_DEADLINE_S", 2.0)
    monkeypatch.setattr(ray_backend, "FIRST_RESULT_S", 0.5)
    said: list[str] = []
    backend = scripted_backend(ONE_CPU, said.append)
    backend.submit([Told(0, "hangs")])
    ended = outcomes(backend, 1)[-1]
    backend.cancel()
    assert isinstance(ended, Lost)
    assert re.fullmatch(r"scripted of here: passed its deadline of \d+ s \(runtime.candidate_timeout_s\)", ended.reason)
    told = [line for line in said if line.startswith("no training has ended yet: candidate 100 has been trained for ")]
    assert told
    assert "s on scripted of here, and is given up after " in told[0]


def test_the_first_deadline_is_what_the_slowest_device_would_need() -> None:
    backend = scripted_backend(ONE_CPU)
    training = backend.setup.config.fast_training
    pixels = 1280 * 720 / backend.setup.config.task.scale**2
    step_s = 3 * 10**9 / pixels * training.batch_size * training.crop_size**2 / 1e9
    assert backend._deadline_s(Told(0, "ends", 1000)) == pytest.approx(600 + 1000 * step_s)
    backend._slowest_step_s = 2.0
    assert backend._deadline_s(Told(0, "ends", 1000)) == 20_000
    assert backend._deadline_s(Told(0, "ends", 3)) == 600


class ByDevice(Scripted):
    """Says where it is, and dies of all that it is given on the first device."""

    def ready(self) -> Ready:
        return Ready(f"NPU {os.environ[VISIBLE]}", "here", os.getpid(), "no kernels")

    def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
        if os.environ[VISIBLE] == "0":
            os._exit(1)
        return Reply(None, os.environ[VISIBLE], 0.0)


@pytest.mark.usefixtures("local_ray")
def test_a_job_that_was_lost_is_tried_elsewhere_and_a_device_that_is_given_up_is_given_nothing() -> None:
    config = check_config(CONFIG, "test")
    said: list[str] = []
    setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
    backend = RayBackend(setup, Placement("NPU", "CPU", 2, ""), said.append, evaluator=ByDevice)
    lost: list[int] = []
    ids = itertools.count(100)
    while not lost:
        # As long as the other one has not started, the good one does both.
        backend.submit([Told(next(ids), "ends") for _ in range(2)])
        lost = [event.job for event in outcomes(backend, 2) if isinstance(event, Lost)]
    # It waits for the other device, though this one is free again.
    backend.submit([Told(lost[0], "ends")])
    seen: list[BackendEvent] = []
    while not any(isinstance(event, Failed) and event.job == lost[0] for event in seen):
        seen += outcomes(backend, 1)
    while any(worker.ready is None for worker in backend._workers):
        backend.next_event(0.5)
    backend.give_up("NPU 0", "here", "it died")
    assert backend.free() == 1
    backend.submit([Told(index, "ends") for index in range(10, 14)])
    ended = [event for event in outcomes(backend, 4) if not isinstance(event, Began)]
    assert {event.reason for event in ended} == {"1"}
    assert said[-1] == "NPU 0 of here loses what it is given (it died): nothing more is trained there"
    # A control is for one device alone, and is lost where that has gone.
    backend.submit_on(Told(-1, "ends"), "NPU 1", "here")
    backend.submit_on(Told(-2, "ends"), "NPU 7", "here")
    ended = {event.job: event for event in outcomes(backend, 2) if not isinstance(event, Began)}
    assert ended[-1] == Failed(-1, "1")
    assert ended[-2] == Lost(-2, "its device has gone")
    with pytest.raises(UserError, match=r"^no device is left: .*, at last: it was told to; see what is wrong there"):
        backend.give_up("NPU 1", "here", "it was told to")
    backend.cancel()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("evaluator", "placement", "reason"),
    [
        pytest.param(
            Broken, ONE_CPU, r": ImportError: no such library; check that esr_ray .* on every node$", id="any"
        ),
        pytest.param(
            Evaluator,
            Placement("NPU", "Ascend", 1, ""),
            r": MindSpore cannot compute on Ascend on \S+: .*set_env\.sh before Ray, or the command, is started$",
            id="MindSpore without Ascend",
            marks=pytest.mark.skipif(Path("/dev/davinci_manager").exists(), reason="there is an Ascend here"),
        ),
    ],
)
def test_evaluators_that_cannot_start_say_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, evaluator: type[Evaluator], placement: Placement, reason: str
) -> None:
    # That a slow machine is waited for is told too.
    monkeypatch.setattr(ray_backend, "PATIENCE_S", float("inf"))
    config = check_config(CONFIG, "test")
    said: list[str] = []
    setup = WorkerSetup(config, placement.target, plan_pictures(config), ())
    backend = RayBackend(setup, placement, said.append, evaluator=evaluator)
    backend.submit([Told(0, "ends")])
    with pytest.raises(UserError, match=r"^evaluators cannot start \(3 tries\)" + reason) as raised:
        outcomes(backend, 1)
    backend.cancel()
    assert "\n" not in str(raised.value)
    (line,) = said
    assert line.endswith("trying again")


@pytest.mark.usefixtures("local_ray")
def test_an_evaluator_owns_one_imitated_npu() -> None:
    class Visible(Scripted):
        def train(self, references: Sequence[ray.ObjectRef], job_id: int) -> Reply:
            time.sleep(1)
            return Reply(None, os.environ["ASCEND_RT_VISIBLE_DEVICES"], 0.0)

    config = check_config(CONFIG, "test")
    setup = WorkerSetup(config, "CPU", plan_pictures(config), ())
    backend = RayBackend(setup, Placement("NPU", "CPU", 2, ""), evaluator=Visible)
    backend.submit([Told(index, "ends") for index in range(4)])
    ended = [event for event in outcomes(backend, 4) if isinstance(event, Failed)]
    backend.cancel()
    assert {event.reason for event in ended} == {"0", "1"}
