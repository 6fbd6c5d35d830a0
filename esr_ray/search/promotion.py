"""Which candidates are trained for longer: asynchronous successive halving (Li et al., MLSys 2020) over the lengths."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from esr_ray.search.job import Candidate
from esr_ray.search.ranking import View
from esr_ray.search.state import State


@dataclass(frozen=True)
class Promotion:
    """`lengths` in steps ascending, the first that of a birth; of those that have a length, the best `keep` get the
    next one, trained anew."""

    lengths: tuple[int, ...]
    keep: float

    @property
    def steps_of_birth(self) -> float:
        """Steps that a birth costs on the average, with the promotions that follow from it."""
        return fsum(self.keep**rung * steps for rung, steps in enumerate(self.lengths))

    def next(self, view: View, state: State) -> tuple[Candidate, int] | None:
        """The candidate to train for longer, and the steps; None where nobody is due.

        The view is what is known, the state what was asked for meanwhile. Longer lengths go first.
        """
        for shorter, longer in reversed(list(zip(self.lengths, self.lengths[1:], strict=False))):
            if shorter not in view.evidence.lengths:
                continue
            column = view.evidence.lengths.index(shorter)
            there = view.evidence.count[:, column] > 0
            allowed = int(self.keep * int(there.sum()))
            if allowed == 0 or _number_at(state, longer) >= allowed:
                continue
            for row in view.order:
                one = view.ids[row]
                if there[row] and not _was_asked(state, one, longer):
                    return state.candidates[one], longer
        return None


def _was_asked(state: State, candidate: int, steps: int) -> bool:
    return any(state.jobs[job].steps == steps for job in state.jobs_of[candidate])


def _number_at(state: State, steps: int) -> int:
    """Candidates that were asked for at a length by promotion."""
    return state.promoted.get(steps, 0)
