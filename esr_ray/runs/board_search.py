"""What TensorBoard shows of a search: its curves, the front and the candidates' loss curves as pictures, two tables.

The number of tags and files does not grow with the number of candidates. A loss curve of its own for each would be a
card of its own for each on the first page, or, all in one card, an event file for each; so they are drawn. The good
candidates are a table in Markdown on the page "Text". The page "HParams" can sort and filter, but wants a folder with
an event file for each row: it has the front and the best few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from esr_ray.metrics import FIGURES
from esr_ray.runs.board_events import EventFile, Paced, Thinned, Trial, Trials
from esr_ray.runs.charts import PALETTE, Mark, curves_chart, front_chart
from esr_ray.runs.history import History
from esr_ray.search.algorithm import Algorithm
from esr_ray.search.events import Dropped, Failed, Finished
from esr_ray.search.front import FrontRow, row_of
from esr_ray.search.objectives import OBJECTIVES, Objective
from esr_ray.search.pareto import first_front, hypervolume, spread_over
from esr_ray.search.race import Verdict
from esr_ray.search.ranking import View

POINTS = 256
"""So many trainings have a point each in the curves of the search; of later ones fewer and fewer."""
PAST_POINTS = 64
"""The same of the past of a run that goes on: candidates are ordered for each point, and nobody is to wait for that."""
DRAW_S, TRIALS_S = 10.0, 120.0
"""How often pictures are drawn and the HParams table is written at first."""
TRIALS, LINES = 16, 64
"""Rows of the HParams table and of the one in Markdown."""
COLUMNS = ("K parameters", "G mult-adds", "latency, ms")
NO_BREAK = "\N{NO-BREAK SPACE}"
CURVE_POINTS, CURVES, DOTS = 24, 400, 3000
"""What is kept of a loss curve, how many are drawn, and how many candidates beside the front."""

UNITS = {
    "mult_adds": (1e9, "G mult-adds for 1280x720"),
    "params": (1e3, "K parameters"),
    "latency": (1e-3, "latency, ms"),
    "memory": (1.0, "memory, MB"),
}
"""Of a cost: what its axis counts in, and its name there."""

Told = Finished | Failed | Dropped
Floats = NDArray[np.float64]


class SearchBoard:
    """Takes in how jobs ended. Points of curves are over the seconds that devices have trained, of all together.

    Of the past nothing is drawn; `caught_up` draws where that has led to.
    """

    def __init__(
        self, events: EventFile, trials: Trials, algorithm: Algorithm, judged_by: str, clock: Callable[[], float]
    ) -> None:
        self.events, self.trials, self.algorithm, self.judged_by = events, trials, algorithm, judged_by
        self.x: Objective = next((one for one in algorithm.objectives if not one.maximised), OBJECTIVES["mult_adds"])
        self.seconds = 0.0
        self._points, self._past_points = Thinned(POINTS), Thinned(PAST_POINTS)
        self._drawing = Paced(DRAW_S, clock)
        self._writing = Paced(TRIALS_S, clock, at_once=False)
        self._told, self._shown, self._drawn = 0, 0, 0
        self._since: list[Finished] = []
        self._curves: dict[int, tuple[int, Floats]] = {}
        self._members: tuple[tuple[int, ...], int] | None = None
        self._volume = Volume(max(4, algorithm.initial))

    @property
    def step(self) -> int:
        """Where the curves are now."""
        return int(self.seconds)

    def told(self, event: Told, history: History) -> None:
        """A job ended."""
        self._told += 1
        if isinstance(event, Finished):
            self.seconds += event.seconds.total
            self._since.append(event)
            self._keep_curve(event, history.state.jobs[event.job].steps)
        # The order of candidates costs the more the more there are: it is looked at only where there is a point.
        due, past_due = self._points.due(), self._past_points.due()
        if due if history.is_live else past_due:
            self._show(history)
            if history.is_live and self._drawing.due():
                self._draw_changed(history)

    def caught_up(self, history: History) -> None:
        """What comes from now on happens now."""
        if self._shown < self._told:
            self._show(history)
        if self._told:
            self._draw(history)

    def end(self, history: History) -> None:
        """The search is over, or interrupted."""
        if self._shown < self._told:
            self._show(history)
        if self._drawn < self._told:
            self._draw(history)
        self._write_trials(history)

    def _keep_curve(self, event: Finished, steps: int) -> None:
        if event.curve and steps >= self._curves.get(event.candidate, (0, None))[0]:
            chosen = np.unique(np.linspace(0, len(event.curve) - 1, CURVE_POINTS).round().astype(int))
            self._curves[event.candidate] = steps, np.array([event.curve[index] for index in chosen], np.float64)

    def _show(self, history: History) -> None:
        """A point of each curve."""
        self._shown = self._told
        state, add = history.state, self.events.add_scalar
        view, verdict = self.algorithm.view(state), self.algorithm.verdict(state)
        if verdict is not None:
            best, by = verdict.winner, self.judged_by
            add(f"1_search/best_{by}", best.value, self.step)
            add(f"1_search/best_{by}_standard_error", best.error, self.step)
            add("1_search/confidence", verdict.confidence, self.step)
            add(f"6_band/best_{by}_lower", best.value - best.error, self.step)
            add(f"6_band/best_{by}_upper", best.value + best.error, self.step)
            if len(self.algorithm.objectives) > 1:
                add("1_search/front_size", len(view.front), self.step)
                add("1_search/front_hypervolume", self._volume.of(view), self.step)
        for purpose, steps in state.spent.items():
            add(f"1_search/steps_{purpose}", steps, self.step)
        add("1_search/trainings", len(state.outcomes), self.step)
        add("1_search/trainings_failed", len(state.failed), self.step)
        if self._since:
            add(f"2_candidates/{self._since[0].by}", _mean([one.quality.fitness for one in self._since]), self.step)
            for part in asdict(self._since[0].seconds):
                values = [getattr(one.seconds, part) for one in self._since]
                add(f"2_candidates/seconds_{part}", _mean(values), self.step)
            self._since.clear()

    def _draw_changed(self, history: History) -> None:
        verdict = self.algorithm.verdict(history.state)
        if verdict is None:
            return
        members = self._front(self.algorithm.view(history.state)), verdict.winner.candidate.id
        if members != self._members:
            self._draw(history)
            if self._writing.due():
                self._write_trials(history)

    def _draw(self, history: History) -> None:
        """The pictures and the table in Markdown."""
        view, verdict = self.algorithm.view(history.state), self.algorithm.verdict(history.state)
        if verdict is None:
            return
        self._drawn = self._told
        self._drawing.done()
        front, winner = self._front(view), verdict.winner.candidate.id
        self._members = front, winner
        title = f"{len(history.state.outcomes):,} trainings, {_time(self.seconds)} on devices"
        self.events.add_png("1_search/front", self._front_chart(title, view, front, winner), self.step)
        if self._curves:
            self.events.add_png("2_candidates/loss_curves", self._curves_chart(front, winner), self.step)
        self.events.add_text("1_search/candidates", self._table(title, view, verdict, front), self.step)
        self.events.flush()

    def _front(self, view: View) -> tuple[int, ...]:
        """The front; of PSNR alone, that of PSNR against mult-adds, which the user may want to know of."""
        if len(self.algorithm.objectives) > 1 or not view.ids:
            return view.front
        costs = np.stack([-view.estimate.mean, self.x.costs(view.state, view.ids)], axis=1)
        return tuple(view.ids[row] for row in first_front(costs, view.violation))

    def _front_chart(self, title: str, view: View, front: tuple[int, ...], winner: int) -> bytes:
        unit, label = UNITS[self.x.name]
        cost, psnr = self.x.values(view.state, view.ids) / unit, view.estimate.mean
        measured = np.flatnonzero(np.isfinite(cost))
        every = measured[:: 1 + len(measured) // DOTS]
        longest = view.evidence.at_longest[every]
        points = np.stack([cost[every], psnr[every]], axis=1)
        marks = {
            one: Mark(float(cost[row]), float(psnr[row]), float(view.estimate.error[row]), f"candidate {one}")
            for one in {*front, winner}
            if np.isfinite(cost[row := view.row_of[one]])
        }
        # With three objectives some of the front are behind others in the two that are drawn: the line leaves them out.
        flat = np.array([(one.x, -one.psnr) for one in marks.values()]).reshape(-1, 2)
        line = {[*marks][index] for index in (first_front(flat) if len(flat) else [])}
        return front_chart(
            title,
            label,
            points[~longest],
            points[longest],
            [mark for one, mark in marks.items() if one in front],
            [mark for one, mark in marks.items() if one in line and one in front],
            marks.get(winner),
            FIGURES[self.judged_by].column,
        )

    def _curves_chart(self, front: tuple[int, ...], winner: int) -> bytes:
        named = [one for one in dict.fromkeys((winner, *front)) if one in self._curves][: len(PALETTE)]
        others = [curve for one, (_, curve) in self._curves.items() if one not in named]
        curves = [(f"candidate {one}", self._curves[one][1]) for one in named]
        return curves_chart(f"loss of {len(self._curves):,} candidates", others[:: 1 + len(others) // CURVES], curves)

    def _table(self, title: str, view: View, verdict: Verdict, front: tuple[int, ...]) -> str:
        rows = self._rows(view, front, verdict.winner.candidate.id, LINES)
        tolerance = 0.0 if self.algorithm.race is None else self.algorithm.race.tolerance
        figure = FIGURES[self.judged_by]
        within = f" or within {tolerance:g}{figure.unit} of it" if tolerance else ""
        lines = [
            f"**{title}.** The winner is candidate {verdict.winner.candidate.id}, the best{within} with probability "
            f"{verdict.confidence:.2f}. {figure.short} is the estimate after the longest training, ± standard error.",
            "",
            _line("", "candidate", figure.column, "steps", "trainings", *COLUMNS, "operator", "parents"),
            "|---|" + "---:|" * (4 + len(COLUMNS)) + "---|---|",
        ]
        for row in rows:
            mark = "winner" if row.id == verdict.winner.candidate.id else "front" if row.id in front else ""
            candidate = view.state.candidates[row.id]
            latency = "" if row.latency_s is None else f"{1e3 * row.latency_s:.1f}"
            psnr = f"{row.psnr:.3f} ± {row.error:.3f}"
            costs = f"{row.params / 1e3:.1f}", f"{row.mult_adds / 1e9:.2f}", latency
            parents = " ".join(map(str, candidate.parents))
            lines.append(
                _line(mark, row.id, psnr, f"{row.steps:,}", row.trainings, *costs, candidate.operator, parents)
            )
        if len(view.ids) > len(rows):
            lines += ["", f"{len(view.ids) - len(rows):,} more are in population.jsonl."]
        # In a column of their own they would leave no room to the others.
        return "\n".join([*lines, "", *(f"- {row.id}: {' '.join(row.arch)}" for row in rows)])

    def _rows(self, view: View, front: tuple[int, ...], winner: int, count: int) -> list[FrontRow]:
        """The winner, the front (or what is spread over it) and the best of the others, the best in PSNR first."""
        if len(front) > count:
            costs = np.stack([-view.estimate.mean, self.x.costs(view.state, view.ids)], axis=1)
            placed = [one for one in front if np.isfinite(costs[view.row_of[one]]).all()]
            front = tuple(placed[index] for index in spread_over(costs[[view.row_of[one] for one in placed]], count))
        ids = [*dict.fromkeys((winner, *front, *(view.ids[row] for row in view.order)))][:count]
        return sorted((row_of(view, one) for one in ids), key=lambda row: (-row.psnr, row.id))

    def _write_trials(self, history: History) -> None:
        view, verdict = self.algorithm.view(history.state), self.algorithm.verdict(history.state)
        if verdict is None:
            return
        self._writing.done()
        front, winner = self._front(view), verdict.winner.candidate.id
        rows = self._rows(view, front, winner, TRIALS)
        marks = dict.fromkeys(front, "front") | {winner: "winner"}
        self.trials.write(
            {f"{marks.get(row.id, 'candidate')}_{row.id}": _trial(row, view, self.judged_by) for row in rows}
        )


class Volume:
    """Hypervolume of the front, 1 where it is the box between the worst and the best value of each objective when
    first looked at: when `first` candidates have results. Only then is it comparable from moment to moment."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._box: tuple[Floats, Floats] | None = None

    def of(self, view: View) -> float | None:
        """None before there are so many that differ in each objective."""
        if self._box is None:
            known = view.costs[np.isfinite(view.costs).all(axis=1)]
            if len(known) < self.first or not (known.max(axis=0) > known.min(axis=0)).all():
                return None
            self._box = known.min(axis=0), known.max(axis=0)
        low, high = self._box
        costs = view.costs[[view.row_of[one] for one in view.front]]
        return hypervolume((costs - low) / (high - low), np.ones(len(low)))


def _trial(row: FrontRow, view: View, judged_by: str) -> Trial:
    """The plugin sorts columns by name and shows the first five; so latency has a name that comes after them."""
    found: dict[str, str | float] = {
        "mult_adds_g": row.mult_adds / 1e9,
        "operator": view.state.candidates[row.id].operator,
        "params_k": row.params / 1e3,
        "score" if judged_by == "score" else f"{judged_by}_db": row.psnr,
        "steps": row.steps,
    }
    if row.latency_s is not None:
        found["time_ms"] = 1e3 * row.latency_s
    return found


def _line(*cells: object) -> str:
    """A row of a Markdown table, whose cells are not to be broken."""
    return f"| {' | '.join(str(cell).replace(' ', NO_BREAK) for cell in cells)} |"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _time(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def layout(by: str) -> Mapping[str, Mapping[str, tuple[str, list[str]]]]:
    """The page "Custom Scalars", where several curves are in one chart, of a search for the figure `by`."""
    figure = FIGURES[by]
    name = f"{figure.short} in{figure.unit}" if figure.unit else figure.short
    return {
        "search": {
            f"best {name}, ± standard error, over device seconds": (
                "Margin",
                [f"1_search/best_{by}", f"6_band/best_{by}_lower", f"6_band/best_{by}_upper"],
            ),
            "steps of training asked for, by purpose": ("Multiline", [r"1_search/steps_.*"]),
            "seconds of a training": ("Multiline", [r"2_candidates/seconds_.*"]),
        },
        "full training": {
            "loss": ("Multiline", [r"3_full_training/loss_.*"]),
            f"{name}, validation pictures": ("Multiline", [rf"3_full_training/{by}_.*"]),
        },
    }
