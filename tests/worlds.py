"""Searches in a test's own process: what becomes of each job, backends that need no device, and runs over a journal."""

import hashlib
import random
from collections import Counter, defaultdict

import numpy as np
from strategies import small_space

from esr_ray.config.load import check_config
from esr_ray.errors import UserError
from esr_ray.metrics import Quality
from esr_ray.runs.events import Resumed, Retried, RunBegan
from esr_ray.runs.journal import Journal, read_journal
from esr_ray.runs.record import Record
from esr_ray.search.backend import Began, Done, Failed, Lost
from esr_ray.search.blame import is_control
from esr_ray.search.evidence import gather
from esr_ray.search.job import Candidate, Job, Outcome
from esr_ray.search.loop import run_search
from esr_ray.search.make import make_algorithm
from esr_ray.search.objectives import OBJECTIVES
from esr_ray.search.ranking import View
from esr_ray.search.state import State, tell, with_asked
from esr_ray.space.genome import Genome, decode
from esr_ray.training.result import Seconds, Trained

SPACE = small_space()
# Three blocks, one or two of them: 12 networks, so that children repeat.
TWELVE = small_space(node_num=2, min_active=1, block_types=("S",), conv_num=(1,))
# It holds the candidates that are made by hand.
BY_HAND = small_space(
    node_num=3,
    min_active=1,
    conv_num=(1,),
    growth_rate=(4, 8),
    block_types=("S", "C"),
    out_channels=tuple(range(4, 99)),
)

STEPS = 10
PROMOTION = {"lengths": [1, 3], "keep": 0.4}
PAPER = {"schedule": "generational", "promotion": None, "race": None, "predictor": None}
"""The paper's loop, and nothing of what is ours."""
RACE = {"share": 0.3, "confidence": 0.9, "tolerance": 0.02}
PROPOSALS = 25
"""Two rounds: all that a test needs to see, in a sixteenth of the default's time."""


def make_config(generations=3, individuals=4, elite=2, seed=0, attempts=3, **evolution):
    size = {"num_generation": generations, "num_individual": individuals, "num_elitism": elite}
    keys = {**size, **PAPER, "proposals": PROPOSALS, **evolution}
    return check_config(
        {
            "seed": seed,
            "data": {"hr": "photos"},
            "evolution": keys,
            "fast_training": {"steps": STEPS},
            "runtime": {"max_attempts": attempts},
        },
        "my.yml",
    )


def number(*parts):
    """A number in [0, 1) that looks random."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") / 2**64


class Killed(BaseException):
    """The process of the search died."""


class World:
    """What becomes of each job, whoever trains it and however often: `plan(job, tries so far)` says finished, failed,
    lost or wrong (another network was built). `tries` counts trainings begun, by job.

    A longer training is better, and each seed has its own luck.
    """

    def __init__(self, plan=lambda job, tries: "finished", salt=0, noise=0.3):
        self.plan, self.salt, self.noise = plan, salt, noise
        self.tries = Counter()

    def fitness(self, job):
        luck = number(self.salt, job.candidate.arch, job.steps, job.seed) - 0.5
        return 25 + 10 * number(self.salt, job.candidate.arch) + job.steps / STEPS / 10 + self.noise * luck

    def trained(self, job, wrong=0):
        quality = Quality(self.fitness(job), self.fitness(job) - 2, 0.9)
        seconds = Seconds(0.5, random.random(), 0.25)
        picture = np.full((16, 16, 3), job.candidate.id, np.uint8)
        curve = ((1, 0.5), (job.steps, 0.25))
        return Trained(quality, job.candidate.params + wrong, seconds, curve, weights_of(job), picture)

    def end(self, job):
        if is_control(job.id):
            return Done(job.id, "device", "node", self.trained(job))
        kind = self.plan(job, self.tries[job.id])
        self.tries[job.id] += 1
        if kind == "failed":
            return Failed(job.id, f"raised, of {job.id}")
        if kind == "lost":
            return Lost(job.id, "its node died")
        return Done(job.id, "device", "node", self.trained(job, wrong=kind == "wrong"))


def weights_of(job):
    return f"weights of {job.candidate.id} after {job.steps}, seed {job.seed}".encode()


def moody(salt):
    """Some jobs fail, some are lost once or twice, a few are lost each time."""

    def plan(job, tries):
        mood = number(salt, "mood", job.id)
        if mood < 0.15:
            return "failed"
        if mood < 0.35:
            return "lost" if tries < 1 + (mood < 0.25) else "finished"
        return "lost" if mood > 0.95 else "finished"

    return plan


def failing_often(job, tries):
    """Every fifth job fails, however often it is tried."""
    return "failed" if job.id % 5 == 3 else "finished"


def failing_once(job, tries):
    """Every other job fails at its first try."""
    return "failed" if job.id % 2 and tries == 0 else "finished"


DEVICES = 9
"""Names that the devices of `InProcess` have."""


class InProcess:
    """A backend whose results come in an order that the seed decides, killed after a number of events."""

    def __init__(self, world, seed=0, devices=3, events=None):
        self.world, self.random, self.devices, self.events = world, random.Random(seed), devices, events
        self.queue, self.running, self.submitted, self.stopped, self.given_up = [], [], [], [], []
        self.only_on = {}

    def free(self):
        return max(0, self.devices - len(self.queue) - len(self.running))

    def submit(self, jobs):
        self.queue += jobs
        self.submitted += [job.id for job in jobs]

    def submit_on(self, job, device, node):
        self.queue.insert(0, job)
        self.only_on[job.id] = device

    def live(self):
        if self.events == 0:
            raise Killed
        if self.events is not None:
            self.events -= 1

    def next_event(self, timeout_s):
        self.live()
        if (not self.queue and not self.running) or self.random.random() < 0.1:
            return None
        if self.queue and len(self.running) < self.devices and (not self.running or self.random.random() < 0.7):
            job = self.queue.pop(0)
            self.running.append(job)
            return Began(job.id, f"device {self.random.randrange(DEVICES)}", "node")
        return self.end(self.running.pop(self.random.randrange(len(self.running))))

    def end(self, job):
        return self.world.end(job)

    def stop(self, job):
        self.stopped.append(job)
        self.queue = [one for one in self.queue if one.id != job]
        self.running = [one for one in self.running if one.id != job]

    def give_up(self, device, node, reason):
        self.given_up.append(device)
        if len(self.given_up) >= DEVICES:
            raise UserError(f"no device is left: {reason}")

    def cancel(self):
        self.queue, self.running = [], []


class FirstInFirstOut(InProcess):
    """A backend whose results come in the order of submission."""

    def next_event(self, timeout_s):
        self.live()
        if self.queue and len(self.running) < self.devices:
            job = self.queue.pop(0)
            self.running.append(job)
            return Began(job.id, "device", "node")
        return self.end(self.running.pop(0)) if self.running else None


class OnDevices(InProcess):
    """Devices by name, of which some lose all that they are given, and sooner than others have trained it."""

    def __init__(self, world, seed=0, devices=3, bad=()):
        super().__init__(world, seed, devices)
        self.names, self.bad, self.on = [f"device {one}" for one in range(devices)], set(bad), {}
        self.lost_on = defaultdict(set)

    def next_event(self, timeout_s):
        self.live()
        free = [one for one in self.names if one not in self.on.values()]
        # As a backend does, a job that was lost is tried elsewhere.
        fit = [(job, device) for job in self.queue for device in free if self.fits(job, device)]
        if fit:
            job, device = self.random.choice(fit)
            self.queue.remove(job)
            self.running.append(job)
            self.on[job.id] = device
            return Began(job.id, device, "node")
        if not self.running:
            return None
        lossy = [job for job in self.running if self.on[job.id] in self.bad]
        job = self.random.choice(lossy or self.running)
        self.running.remove(job)
        device = self.on.pop(job.id)
        ended = self.end(job)
        if device in self.bad:
            ended = Lost(job.id, "no space left on device")
        if isinstance(ended, Lost):
            self.lost_on[job.id].add(device)
        return ended if isinstance(ended, Lost) else type(ended)(job.id, device, "node", ended.trained)

    def fits(self, job, device):
        if job.id in self.only_on:
            return device == self.only_on[job.id]
        elsewhere = set(self.names) - self.lost_on[job.id]
        return not self.lost_on[job.id] or device in (elsewhere or self.names)

    def give_up(self, device, node, reason):
        self.given_up.append(device)
        self.names.remove(device)
        self.devices -= 1
        if not self.names:
            raise UserError(f"no device is left: {reason}")


def prepared(journal, seed, retry=False, views=(), config=None):
    """The record of a run that begins or goes on, as the driver makes it, with its views."""
    record = Record(journal)
    record.catch_up(views)
    content = None if config is None else config.model_dump(mode="json")
    if record.history.run is None:
        record.append(RunBegan(seed, config=content))
        return record
    record.append(Resumed(config=content))
    close_interrupted(record, "the run was interrupted")
    if retry:
        for job in sorted(record.state.failed):
            record.append(Retried(job))
    return record


def close_interrupted(record, reason):
    for job in sorted(record.history.under_way):
        record.append(Lost(job, reason))


def search(path, config, backend, space=SPACE, retry=False, keep=lambda done: None, should_stop=lambda: False):
    """One process of a search, begun or resumed as the driver does it: its state and its history."""
    algorithm = make_algorithm(config, space)
    with Journal(path) as journal:
        record = prepared(journal, config.seed, retry, config=config)
        state = run_search(algorithm, record, backend, keep, should_stop, config.runtime.max_attempts)
    return state, record.history


def simulated(algorithm, fitness_of, devices=1, state=None, order=None, limit=10_000):
    """A search without loop or record: the states after each outcome, first the one it began with.

    `fitness_of(job)` is PSNR or None for a failure; `order` is a random generator of the order of results, without it
    they come as they were asked for.
    """
    state = state or State()
    states, under_way = [state], []
    for _ in range(limit):
        asked = algorithm.ask(state, max(0, devices - len(under_way)))
        for job in asked:
            state = with_asked(state, job)
        under_way += asked
        if not under_way:
            return states
        job = under_way.pop(0 if order is None else order.randrange(len(under_way)))
        state = tell(state, outcome_of(job, fitness_of(job)))
        states.append(state)
    raise AssertionError(f"no end after {limit} outcomes")


def outcome_of(job, psnr, **figures):
    """A job's outcome with that PSNR; failed where it is None."""
    if psnr is None:
        return Outcome(job.id, reason="diverged")
    return Outcome(job.id, Quality(float(psnr), float(psnr) - 2, figures.pop("ssim", 0.9)), **figures)


LEFT_OUT = ("time", "device", "node", "seconds", "attempt")


def records(path):
    """What must be the same: asked and finished, sorted by job, without times, hosts and attempts."""
    events = read_journal(path).events
    chosen = [one for one in events if one["event"] in ("asked", "finished")]
    plain = [{key: value for key, value in one.items() if key not in LEFT_OUT} for one in chosen]
    return sorted(plain, key=lambda one: (one["event"], one["job"]))


def events_of(path, kind):
    return [one for one in read_journal(path).events if one["event"] == kind]


def finished_in(path):
    """Jobs that a journal calls finished; none where it is not there yet."""
    return {one["job"] for one in events_of(path, "finished")} if path.exists() and path.stat().st_size else set()


# States made by hand.


def candidate(number, params=12_345, mult_adds=6_789_000):
    """A candidate; each number is another network."""
    genome = Genome((True, False, True), ("S_1_4_4", "S_1_8_8", f"C_1_4_{number + 4}"))
    return Candidate(number, genome, decode(genome), "random", (), params, mult_adds)


def told(*results, state=None, **figures):
    """The state after trainings of (candidate id, steps, PSNR), each with the next seed and a purpose of its own.

    A PSNR of None is a failure, "pending" no outcome yet; `figures` are those of the outcomes.
    """
    state = state or State()
    for one, steps, psnr in results:
        network = state.candidates.get(one) or candidate(one)
        before = state.jobs_of.get(one, ())
        seed = sum(state.jobs[job].steps == steps for job in before)
        purpose = "birth" if not before else "race" if seed else "promotion"
        state = with_asked(state, Job(state.next_job, network, steps, seed, purpose))
        if psnr != "pending":
            state = tell(state, outcome_of(state.jobs[state.next_job - 1], psnr, **figures))
    return state


def view_of(state, objectives=("psnr",), limits=None):
    """The state as the choices see it; `limits` by the objective's name."""
    of_limits = tuple((OBJECTIVES[name], limit) for name, limit in (limits or {}).items())
    return View(state, gather(state), tuple(OBJECTIVES[name] for name in objectives), of_limits)
