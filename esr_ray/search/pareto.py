"""Pareto fronts in plain NumPy: non-dominated sorting, crowding, hypervolume, the knee, points spread over a front.

Throughout, `costs` is (n, m): n points of m objectives, all minimised, dominated where another point is nowhere worse
and somewhere better, so that equal points do not dominate each other. NaN is a ValueError everywhere. Infinite costs
can be ranked; what measures distances (`crowding`, `knee`, `spread_over`) refuses them.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Points compared with all earlier ones at once: large enough to be quick, small enough to bound the memory.
BLOCK = 256
# Differences below this, of objectives scaled to 0..1, are rounding and must not decide which point is chosen.
DIGITS = 9


def fronts(costs: ArrayLike, violation: ArrayLike | None = None) -> list[Indices]:
    """Return the fronts of `costs` (n, m), best first, each with its indices ascending: together 0..n-1 once each.

    Non-dominated sorting with constrained domination as in NSGA-II (Deb et al., IEEE TEC 6(2), 2002). `violation`
    (n,) says by how much each point breaks its constraints, 0 where it is feasible: feasible points come before all
    others and are ranked by their costs, the others by their violation alone, whatever their costs.
    """
    order = np.argsort(found := ranks(costs, violation), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(found[order])) + 1) if len(order) else []


def ranks(costs: ArrayLike, violation: ArrayLike | None = None) -> Indices:
    """Return (n,): the number, from 0, of the front of each point of `costs` (n, m); see `fronts`."""
    checked, broken = _checked(costs), _checked_violation(costs, violation)
    feasible = broken == 0
    result = np.zeros(len(checked), np.intp)
    first, which = _distinct(checked[feasible])
    of_distinct = _ranks_of_sorted(checked[feasible][first])
    result[feasible] = of_distinct[which]
    # All of them are dominated by every feasible point, and so come after the last feasible front.
    after = of_distinct.max() + 1 if len(of_distinct) else 0
    result[~feasible] = after + np.unique(broken[~feasible], return_inverse=True)[1]
    return result


def first_front(costs: ArrayLike, violation: ArrayLike | None = None) -> Indices:
    """Return the indices, ascending, of the first of the `fronts` of `costs` (n, m), without sorting out the others."""
    checked, broken = _checked(costs), _checked_violation(costs, violation)
    least = np.flatnonzero(broken == broken.min(initial=np.inf))
    if len(least) == 0 or broken[least[0]] > 0:
        return least
    first, which = _distinct(checked[least])
    return least[_undominated_of_sorted(checked[least][first])[which]]


def crowding(costs: ArrayLike) -> Floats:
    """Return (n,): how far the neighbours of each point of one front `costs` (n, m) are from it, infinite at its ends.

    Crowding distance of NSGA-II (Deb et al. 2002) as pymoo 0.6's `calc_crowding_distance` with duplicates filtered out:
    the mean, not the sum, over the objectives, each divided by its range. Two points or fewer are all infinite. Of
    more, the first of equal points is measured as though the others were not there, and these get 0; an objective in
    which all are equal counts 0, so that a front of only equal points is 0 throughout.
    """
    checked = _checked(costs, finite=True)
    if len(checked) <= 2:
        return np.full(len(checked), np.inf)
    kept = np.sort(_distinct(checked)[0])
    total = np.zeros(len(kept))
    for column in checked[kept].T:
        # Stable: among ties in one objective the lower index is the end, as in pymoo.
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]]
        if extent > 0:
            gaps = np.concatenate([[np.inf], np.diff(column[order]) / extent, [np.inf]])
            total[order] += gaps[:-1] + gaps[1:]
    result = np.zeros(len(checked))
    result[kept] = total / checked.shape[1]
    return result


def hypervolume(costs: ArrayLike, reference: ArrayLike) -> float:
    """Return the exact volume that `costs` (n, m) dominate within `reference` (m,) (Zitzler & Thiele, PPSN 1998).

    Points that are not better than the reference in every objective count for nothing. The volume is summed over the
    points by increasing last objective, each adding what only it dominates of those before it, a problem of one
    objective fewer (While, Bradstreet & Barone's WFG, IEEE TEC 16(1), 2012), down to a sweep for two.
    """
    checked, bound = _checked(costs), np.asarray(reference, np.float64)
    if bound.shape != checked.shape[1:] or not np.isfinite(bound).all():
        raise ValueError(f"the reference must be {checked.shape[1]} finite numbers, not {reference!r}")
    # What is still infinite then is a cost of minus infinity, whose volume would be infinite.
    clipped = _checked(np.minimum(checked, bound), finite=True)
    return _volume(clipped[(clipped < bound).all(axis=1)], bound)


def knee(costs: ArrayLike) -> int:
    """Return the index of the knee of one front `costs` (n, m): the point that bulges furthest towards the ideal.

    Each objective is scaled to 0..1 over the front, and the distance is to the hyperplane through the extremes (Das,
    Structural Optimization 18, 1999; Branke et al., PPSN 2004). The extreme of an objective is the point nearest its
    axis (Deb & Jain's NSGA-III, IEEE TEC 18(4), 2014), with two objectives the best of the other; where these span no
    plane that faces the ideal, it is the one through the unit points.

    Where nothing is on the ideal's side of it (a straight or concave front) there is no knee, and the answer is the
    most balanced point: its worst scaled objective is the least. Of two points it is the one better in more objectives.
    Ties go to the lexicographically least costs, so that the points' order does not matter. ValueError for no points.
    """
    checked = _checked(costs, finite=True)
    if len(checked) == 0:
        raise ValueError("no points, and so no knee")
    order = np.lexsort(checked.T[::-1])
    scaled = _scaled(checked[order])
    if len(scaled) <= 2 or scaled.shape[1] == 0:
        return int(order[np.argmin(scaled.sum(axis=1))])
    normal = _plane(scaled)
    beyond = np.round((1.0 - scaled @ normal) / np.linalg.norm(normal), DIGITS)
    balance = np.round(-scaled.max(axis=1), DIGITS)
    return int(order[np.argmax(beyond if beyond.max() > 0 else balance)])


def spread_over(costs: ArrayLike, count: int) -> list[int]:
    """Return the indices of `count` points spread evenly over one front `costs` (n, m); of all n where there are fewer.

    The best point of each objective comes first, in the order of the objectives, then always the point farthest from
    those chosen in objectives scaled to 0..1 (Gonzalez's farthest-first traversal, TCS 38, 1985: of two objectives, no
    point is left more than twice as far as need be). A smaller count gives the beginning of a greater one's list. Ties
    go to the lexicographically least costs; equal points are repeated only after all distinct ones.
    """
    checked = _checked(costs, finite=True)
    if count < 0:
        raise ValueError(f"cannot choose {count} points")
    if len(checked) == 0:
        return []
    order = np.lexsort(checked.T[::-1])
    scaled = _scaled(checked[order])
    # A dict keeps the order and drops a point that is the best of several objectives.
    chosen = list(dict.fromkeys(int(np.lexsort((scaled.sum(axis=1), column))[0]) for column in scaled.T))[:count]
    gap = np.full(len(scaled), np.inf)
    for position in range(min(count, len(scaled))):
        if position == len(chosen):
            chosen.append(int(np.argmax(np.round(gap, DIGITS))))
        gap = np.minimum(gap, np.linalg.norm(scaled - scaled[chosen[position]], axis=1))
        gap[chosen[position]] = -1.0
    return order[chosen].tolist() if chosen else []


def _checked(costs: ArrayLike, finite: bool = False) -> Floats:
    checked = np.asarray(costs, np.float64)
    if checked.ndim != 2 or checked.shape[1] == 0:
        raise ValueError(f"costs must be (points, objectives), not of shape {checked.shape}")
    wrong = np.argwhere(~np.isfinite(checked) if finite else np.isnan(checked))
    if len(wrong):
        raise ValueError(f"the costs of point {wrong[0][0]} hold NaN{' or infinity' if finite else ''}")
    return checked


def _checked_violation(costs: ArrayLike, violation: ArrayLike | None) -> Floats:
    count = len(np.asarray(costs))
    checked = np.zeros(count) if violation is None else np.asarray(violation, np.float64)
    # Written so that NaN, which is not at least 0, is refused as well.
    if checked.shape != (count,) or not (checked >= 0).all():
        raise ValueError(f"violation must be {count} numbers of at least 0")
    return checked


def _distinct(costs: Floats) -> tuple[Indices, Indices]:
    """Return the lowest index of each distinct row, in lexicographic order, and for each row which of these it is."""
    order = np.lexsort(costs.T[::-1])
    new = np.ones(len(costs), bool)
    new[1:] = (costs[order[1:]] != costs[order[:-1]]).any(axis=1)
    which = np.empty(len(costs), np.intp)
    which[order] = np.cumsum(new) - 1
    return order[new], which


def _no_worse(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Return (len(a), len(b)): whether each row of `a` is nowhere worse than each of `b`."""
    result = a[:, None, 0] <= b[None, :, 0]
    for objective in range(1, a.shape[1]):
        result &= a[:, None, objective] <= b[None, :, objective]
    return result


def _ranks_of_sorted(rows: Floats) -> Indices:
    """Return the ranks of distinct, lexicographically sorted rows: each is dominated only by earlier ones."""
    result = np.zeros(len(rows), np.intp)
    if rows.shape[1] <= 2:
        # The last point of a front has its least second objective; these increase from front to front.
        last: list[float] = []
        for position, value in enumerate(rows[:, -1].tolist()):
            result[position] = front = bisect_right(last, value)
            last[front : front + 1] = [value]
        return result
    for start in range(0, len(rows), BLOCK):
        block, own = rows[start : start + BLOCK], result[start : start + BLOCK]
        own[:] = (_no_worse(rows[:start], block) * (result[:start, None] + 1)).max(axis=0, initial=0)
        for position, dominated in enumerate(np.triu(_no_worse(block, block), 1)):
            np.maximum(own, dominated * (own[position] + 1), out=own)
    return result


def _undominated_of_sorted(rows: Floats) -> NDArray[np.bool_]:
    """Return which of distinct, lexicographically sorted rows no other dominates."""
    result = np.zeros(len(rows), bool)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        dominated = np.triu(_no_worse(block, block), 1).any(axis=0)
        result[start : start + BLOCK] = ~dominated & ~_no_worse(rows[:start][result[:start]], block).any(axis=0)
    return result


def _volume(points: Floats, bound: Floats) -> float:
    """Return the hypervolume of points that are better than the bound everywhere."""
    rows = points[_distinct(points)[0]]
    rows = rows[_undominated_of_sorted(rows)]
    if len(rows) == 0:
        return 0.0
    if len(rows) == 1 or len(bound) == 1:
        return float(np.prod(bound - rows[0]))
    if len(bound) == 2:
        above = np.concatenate([bound[1:], rows[:-1, 1]])
        return float(np.sum((bound[0] - rows[:, 0]) * (above - rows[:, 1])))
    total = 0.0
    for position, row in enumerate(rows := rows[np.argsort(rows[:, -1], kind="stable")]):
        # What earlier points dominate of this one's box is, in the last objective, as deep as the box itself.
        shared = _volume(np.maximum(rows[:position, :-1], row[:-1]), bound[:-1])
        face = float(np.prod(bound[:-1] - row[:-1])) - shared
        total += face * float(bound[-1] - row[-1])
    return total


def _scaled(costs: Floats) -> Floats:
    """Return the costs scaled to 0..1 without the objectives in which all are equal."""
    low, high = costs.min(axis=0), costs.max(axis=0)
    return (costs - low)[:, high > low] / (high - low)[high > low]


def _plane(scaled: Floats) -> Floats:
    """Return the vector whose product with each extreme is 1; ones where that does not face the ideal."""
    count = scaled.shape[1]
    others = [np.delete(scaled, objective, axis=1).max(axis=1, initial=0.0) for objective in range(count)]
    corners = scaled[[np.lexsort((scaled[:, objective], others[objective]))[0] for objective in range(count)]]
    if np.linalg.matrix_rank(corners) < count:
        return np.ones(count)
    normal = np.linalg.solve(corners, np.ones(count))
    return normal if (normal > 0).all() else np.ones(count)
