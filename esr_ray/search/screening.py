"""Which child is trained: of many proposals, the one that a predictor thinks best."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esr_ray.search.breeding import Child, new_children, varied
from esr_ray.search.evidence import Floats
from esr_ray.search.predictor import Model, Predictor
from esr_ray.search.promise import best_first, promise_by
from esr_ray.search.ranking import View
from esr_ray.space.features import feature_matrix
from esr_ray.space.genome import decode
from esr_ray.space.space import Space
from esr_ray.space.spec import Arch

LEAST = 8
"""Trained candidates before which nothing is predicted."""
CLIPPED = 3.0
"""Median absolute deviations below the median: what is worse is learnt as if it had this value. A few bad networks
would else be most of what a model explains, and the good ones are those that it has to tell apart."""
MOST = 400
"""Trained candidates that are learnt from: to learn from n takes n^3. Half of them are the best; the others are the
last of all others, which correct what was thought too well of."""
ROUND = 20
"""Proposals of a round."""
KEPT = 5
"""Of all rounds before, as many of the best are varied in the next one."""
MANY, VERY_MANY, FEWEST = 250, 5_000, 5
"""Trained candidates from which on there are fewer proposals, down to one round, and from which on that has fewer too,
down to so many: a driver that proposes hundreds of networks for each of tens of thousands of trainings would be late
for a thousand devices."""


@dataclass(frozen=True)
class Screening:
    """Of so many `proposals` the one that the predictor thinks best is trained.

    They come in rounds. The first are children of the pool, as without a predictor; those of each later round are
    children of the best proposals so far: a small evolution within the predictor, as what is asked of a surrogate in
    Bayesian optimisation is found by evolution (White, Neiswanger and Savani 2021, BANANAS, section 4).
    """

    predictor: Predictor
    proposals: int
    mutation_rate: float

    def fit(self, view: View, space: Space) -> Model | None:
        """What the candidates of a view teach; None where they are too few."""
        if len(view.ids) < LEAST:
            return None
        rows = _taught(view.estimate.mean)
        archs = [view.state.candidates[view.ids[row]].arch for row in rows]
        values, errors = view.estimate.mean[rows], view.estimate.error[rows]
        middle = np.median(values)
        floor = middle - CLIPPED * np.median(np.abs(values - middle))
        return self.predictor(feature_matrix(archs, space), np.maximum(values, floor), errors)

    def child(
        self,
        first: Callable[[], Child],
        model: Model,
        view: View,
        known: Mapping[Arch, int],
        space: Space,
        rng: np.random.Generator,
    ) -> Child | None:
        """The child to train; `first` makes those of the first round. None where no network is new: not `known`."""
        proposals = self._affordable(len(view.ids))
        found = new_children(first, known, min(ROUND, proposals))
        archs = [decode(one.genome) for one in found]
        promise = promise_by(model, view, space)
        promised = promise.of(archs)
        while 1 < len(found) < proposals:
            best = [found[place] for place in best_first(promised)[:KEPT]]
            taken = ChainMap(dict.fromkeys(archs, -1), known)  # type: ignore[arg-type]
            wanted = min(ROUND, proposals - len(found))
            more = new_children(lambda best=best: varied(best, self.mutation_rate, space, rng), taken, wanted)  # type: ignore[misc]
            if not more:
                break
            new = [decode(one.genome) for one in more]
            found += more
            archs += new
            promised = np.concatenate([promised, promise.of(new)])
        return found[best_first(promised)[0]] if found else None

    def _affordable(self, trained: int) -> int:
        """Proposals for a child after so many trained candidates."""
        one_round = max(FEWEST, ROUND * VERY_MANY // max(VERY_MANY, trained))
        return min(self.proposals, max(one_round, self.proposals * MANY // max(MANY, trained)))


def _taught(values: Floats) -> NDArray[np.intp]:
    """Which of the candidates, in the order of their first results, are learnt from; in that order."""
    if len(values) <= MOST:
        return np.arange(len(values))
    best = np.argsort(-values, kind="stable")[: MOST // 2]
    others = np.setdiff1d(np.arange(len(values)), best)
    return np.sort(np.concatenate([best, others[-(MOST - len(best)) :]]))
