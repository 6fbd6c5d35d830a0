"""What the driver shows of a run while it runs: status, log lines, TensorBoard, population, checkpoints, pictures.

All of it can be made again from the journal (pictures and weights: from the files beside it); `catch_up` does so.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from esr_ray.data.crops import PicturePair
from esr_ray.evolution.population import Candidate, State
from esr_ray.metrics import Quality, mean_quality
from esr_ray.runs.board import Board
from esr_ray.runs.folder import FINAL, RunFolder, write_atomically
from esr_ray.runs.history import History
from esr_ray.runs.journal import Event, Journal
from esr_ray.runs.pictures import comparison_strip, from_png, to_png
from esr_ray.runs.population import population_lines
from esr_ray.runs.status import Status
from esr_ray.runtime.backend import Finished, Lost, Started


class Recorder:
    """A `Watcher` of the search; its status may be read from other threads."""

    def __init__(self, folder: RunFolder, history: History, num_generation: int, scale: int) -> None:
        self.folder, self.history, self.scale = folder, history, scale
        self.sample: PicturePair | None = None
        self.board = Board(folder.tensorboard)
        self._status = Status(num_generation=num_generation)
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._busy = 0
        self._new_best = False
        self._candidate_s: list[float] = []
        # The first individual that population.jsonl does not have yet, and the results of retried ones that it has.
        self._listed: int | None = None
        self._retries_listed = 0
        self._steps_began = time.monotonic()
        self._label = FINAL
        self._first_step: int | None = None
        self._log = folder.log.open("a", encoding="utf-8")

    # What a client asks for.

    def status(self, since: int) -> Status:
        """Where the run stands, with the log lines from number `since` on."""
        with self._lock:
            lines = tuple(self._lines[since:])
            status = replace(self._status, lines=lines, next_line=len(self._lines), process=os.getpid())
        return replace(status, eta_s=self._eta(status))

    def say(self, line: str) -> None:
        """Add a line to the log."""
        with self._lock:
            self._lines.append(line)
        # A full disk is told by the journal, which cannot do without; the log can.
        with suppress(OSError):
            self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
            self._log.flush()

    def update(self, **changes: object) -> None:
        """Change fields of the status."""
        with self._lock:
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]

    def _eta(self, status: Status) -> float | None:
        if status.phase == "search" and self._candidate_s and status.devices:
            mean = sum(self._candidate_s) / len(self._candidate_s)
            return mean * (status.expected - status.finished - status.failed) / status.devices
        if status.phase == "full training" and self._first_step is not None and status.step > self._first_step:
            step_s = (time.monotonic() - self._steps_began) / (status.step - self._first_step)
            return step_s * (status.steps - status.step)
        return None

    # What the search tells.

    def asked(self, generation: int, candidates: Sequence[Candidate], to_train: int) -> None:
        again = len(candidates) - to_train
        known = f", {again} of them known already" if again else ""
        self.update(generation=generation)
        self.say(f"generation {generation}: {len(candidates)} individuals{known}")

    def started(self, event: Started) -> None:
        self._set_busy(self._busy + 1)
        self.say(f"candidate {event.id}: training on {event.device} of {event.node}")

    def keep_weights(self, result: Finished) -> None:
        write_atomically(self.folder.candidate_checkpoint(result.id), result.trained.weights)

    def finished(self, result: Finished, event: Event) -> None:
        self._set_busy(self._busy - 1)
        seconds = result.trained.seconds
        self._candidate_s.append(seconds.total)
        candidate = self.history.candidates[result.id]
        self._count()
        best = self._status.best_psnr
        psnr = result.trained.quality.psnr_y
        mark = ""
        if best is None or psnr > best:
            self.update(best_psnr=psnr, best_id=result.id)
            self._picture(result)
            mark = " (best so far)"
        self.say(
            f"candidate {result.id}: {psnr:.3f} dB, {candidate.params / 1e3:.1f} K parameters, "
            f"{candidate.mult_adds / 1e9:.2f} G mult-adds, {seconds.total:.1f} s (compile {seconds.compile:.1f}){mark}"
        )
        self.board.finished(event)

    def failed(self, candidate_id: int, reason: str) -> None:
        self._set_busy(max(0, self._busy - 1))
        self._count()
        self.say(f"candidate {candidate_id}: failed: {reason}")

    def lost(self, event: Lost, attempt: int, again: bool) -> None:
        if again:
            # Otherwise `failed` follows.
            self._set_busy(self._busy - 1)
        self.say(f"candidate {event.id}: lost: {event.reason}" + ("; it is trained again" if again else ""))

    def told(self, state: State) -> None:
        self.board.generation(state, self.history)
        self._list_population()
        if state.generation >= self.history.next_generation:
            # Earlier generations are told again on resume: the elite of later ones must not go.
            self._keep_elite(state)
        strip = self._strip(_trained_as(state.best.candidate)) if state.best is not None else None
        if strip is not None and strip.is_file():
            self.board.picture("search/LR_bicubic_SR_HR", from_png(strip.read_bytes()), state.generation - 1)
        if state.best is not None:
            fitness = [one.fitness for one in state.population if one.fitness is not None]
            mean = f"{sum(fitness) / len(fitness):.3f}" if fitness else "none"
            self.say(
                f"generation {state.generation - 1}: best {state.best.fitness:.3f} dB (candidate {state.best.id}), "
                f"mean {mean}"
            )
        else:
            self.say(f"generation {state.generation - 1}: every candidate failed")

    def _list_population(self) -> None:
        """Add the individuals of this generation; all are written anew at first, and where failed ones were retried."""
        # Results of retries: they change lines that are there.
        retries = sum(len(self.history.attempts(one)) for one, _ in self.history.retries)
        if self._listed is None or self._retries_listed != retries:
            write_atomically(self.folder.population, population_lines(self.history))
        else:
            with self.folder.population.open("ab") as file:
                file.write(population_lines(self.history, self._listed))
        self._listed, self._retries_listed = next(reversed(self.history.candidates), -1) + 1, retries

    def catch_up(self, expected: int) -> None:
        """Take in what the journal already has, on resume."""
        for event in self.history.finished.values():
            self.board.finished(event)
            best = self._status.best_psnr
            if best is None or event["psnr_y"] > best:
                self.update(best_psnr=event["psnr_y"], best_id=event["id"])
        for label, trained in self.history.trained.items():
            for step, loss in trained["curve"]:
                self.board.training_loss(label, step, loss)
        for label, validated in self.history.validated.items():
            for step, psnr_y in validated.items():
                self.board.validated(label, step, psnr_y)
        for reported in self.history.reported.values():
            self.board.report(reported)
        self.update(expected=expected)
        self._count()

    # What the full training tells.

    def train(self, label: str, steps: int) -> None:
        """A full training begins, or goes on: what is told next is of the network with that label."""
        self._label = label
        self._first_step = None
        self.update(phase="full training", step=0, steps=steps)

    def training_progress(self, step: int, loss: float) -> None:
        if self._first_step is None:
            # A training that goes on from a state did the steps before in another process.
            self._first_step = step
            self._steps_began = time.monotonic()
        self.update(step=step)
        self.board.training_loss(self._label, step, loss)

    def keep_state(self, content: bytes) -> None:
        """Raises UserError where the disk is full; the state before is then still there."""
        write_atomically(self.folder.state(self._label), content)

    def validated(self, journal: Journal, step: int, quality: Sequence[Quality], sr: np.ndarray) -> None:
        mean = mean_quality(quality)
        self.history.add(journal.append("validated", {"network": self._label, "step": step, **asdict(mean)}))
        self.board.validated(self._label, step, mean.psnr_y)
        if self.sample is not None:
            strip = comparison_strip(self.sample.lr, sr, self.sample.hr, self.scale)
            self.board.picture(f"full_training/{self._label}_LR_bicubic_SR_HR", strip, step)
        bicubic = self._status.bicubic_psnr
        beside = f" (bicubic {bicubic:.3f})" if bicubic is not None else ""
        self.say(f"full training: step {step}: validation {mean.psnr_y:.3f} dB{beside}")

    def close(self) -> None:
        self.board.close()
        with suppress(OSError):
            self._log.close()

    def _count(self) -> None:
        failed = len(self.history.failed)
        self.update(finished=len(self.history.outcomes) - failed, failed=failed)

    def _set_busy(self, busy: int) -> None:
        self._busy = busy
        self.update(busy=busy)
        self.board.devices(busy)

    def _picture(self, result: Finished) -> None:
        if self.sample is None or result.trained.picture is None:
            return
        strip = comparison_strip(self.sample.lr, result.trained.picture, self.sample.hr, self.scale)
        write_atomically(self._strip(result.id), to_png(strip))

    def _strip(self, candidate_id: int) -> Path:
        return self.folder.pictures / f"best_{candidate_id:06d}.png"

    def _keep_elite(self, state: State) -> None:
        """Only the elite's weights are kept, so that the disk does not fill with those of all candidates."""
        kept = {self.folder.candidate_checkpoint(_trained_as(one.candidate)) for one in state.elite}
        for path in self.folder.checkpoints.glob("candidate_*.ckpt"):
            if path not in kept:
                path.unlink()


def _trained_as(candidate: Candidate) -> int:
    """The id whose weights and picture are this candidate's: its own, or that of the one it is a duplicate of."""
    return candidate.id if candidate.same_as is None else candidate.same_as
