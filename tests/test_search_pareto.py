"""Pareto fronts: against their definitions, against pymoo where it is installed, and on shapes of known answers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from esr_ray.search.pareto import crowding, first_front, fronts, hypervolume, knee, ranks, spread_over

# A coarse grid makes ties and duplicates the rule. Six digits keep the others apart: pymoo squares differences to tell
# duplicates, and those of the least floats would vanish.
GRID = st.integers(0, 3).map(float)
NUMBERS = st.floats(-100, 100).map(lambda number: round(number, 6))
# A quarter of a circle, bulging away from the ideal.
CONCAVE = np.array([[math.sin(angle), math.cos(angle)] for angle in np.linspace(0, math.pi / 2, 21)])
few = settings(max_examples=30, deadline=None)


@st.composite
def points(draw, least=0, most=14, objectives=(1, 4)):
    shape = draw(st.integers(least, most)), draw(st.integers(*objectives))
    return draw(arrays(np.float64, shape, elements=draw(st.sampled_from([GRID, NUMBERS]))))


@st.composite
def constrained(draw):
    costs = draw(points())
    return costs, draw(arrays(np.float64, len(costs), elements=st.sampled_from([0.0, 0.0, 0.5, 1.0, math.inf])))


def peeled(count, better):
    """The fronts by definition: what nothing left is better than, taken away, until nothing is left."""
    left, found = list(range(count)), []
    while left:
        found.append([i for i in left if not any(better(j, i) for j in left)])
        left = [i for i in left if i not in found[-1]]
    return found


def crowded(costs):
    """Crowding distances by definition, for points without ties in any objective."""

    def beside(own, column):
        gap = column[column > own].min(initial=math.inf) - column[column < own].max(initial=-math.inf)
        return gap / np.ptp(column)

    return [np.mean([beside(own, column) for own, column in zip(point, costs.T, strict=True)]) for point in costs]


def volume_of_cells(costs, reference):
    """The hypervolume by definition: of the boxes between all coordinates, those that some point dominates."""
    axes = [np.unique(np.append(np.minimum(column, r), r)) for column, r in zip(costs.T, reference, strict=True)]
    low = np.array(list(itertools.product(*[axis[:-1] for axis in axes]))).reshape(-1, len(axes))
    size = np.array(list(itertools.product(*[np.diff(axis) for axis in axes]))).reshape(-1, len(axes))
    return float(size[(costs[:, None] <= low).all(axis=2).any(axis=0)].prod(axis=1).sum())


@few
@given(points())
def test_fronts_are_what_peeling_off_the_undominated_gives(costs):
    expected = peeled(len(costs), lambda a, b: (costs[a] <= costs[b]).all() and (costs[a] < costs[b]).any())
    assert [front.tolist() for front in fronts(costs)] == expected
    assert first_front(costs).tolist() == (expected[0] if expected else [])
    rank = {point: number for number, front in enumerate(expected) for point in front}
    assert ranks(costs).tolist() == [rank[point] for point in range(len(costs))]


@few
@given(constrained())
def test_a_less_violating_point_comes_before_whatever_the_costs_and_feasible_ones_are_ranked_by_them(given_points):
    costs, violation = given_points

    def better(a, b):
        dominates = (costs[a] <= costs[b]).all() and (costs[a] < costs[b]).any()
        return dominates if violation[a] == violation[b] == 0 else violation[a] < violation[b]

    expected = peeled(len(costs), better)
    assert [front.tolist() for front in fronts(costs, violation)] == expected
    assert first_front(costs, violation).tolist() == (expected[0] if expected else [])


@pytest.mark.parametrize(("objectives", "levels"), [*itertools.product([1, 2, 3, 5], [6, 10**6])])
def test_many_points_are_ranked_as_few_are(objectives, levels):
    """Several blocks of comparisons, which few points do not fill."""
    costs = np.random.default_rng(objectives).integers(0, levels, (700, objectives)).astype(float)
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better, left = no_worse & ~no_worse.T, np.ones(len(costs), bool)
    for front in fronts(costs):
        np.testing.assert_array_equal(front, np.flatnonzero(left & ~better[left].any(axis=0)))
        left[front] = False
    assert not left.any()
    np.testing.assert_array_equal(first_front(costs), fronts(costs)[0])


@few
@given(points(least=3))
def test_crowding_is_the_mean_gap_between_the_neighbours_of_a_point_where_nothing_ties(costs):
    costs = costs + np.random.default_rng(0).random(costs.shape) * 1e-3
    np.testing.assert_allclose(crowding(costs), crowded(costs))


def test_of_equal_points_the_first_is_crowded_as_if_alone_and_the_others_wholly():
    costs = [[0, 4], [1, 2], [1, 2], [3, 1], [4, 0], [4, 0]]
    np.testing.assert_allclose(crowding(costs), [np.inf, (3 / 4 + 3 / 4) / 2, 0, (3 / 4 + 2 / 4) / 2, np.inf, 0])
    assert crowding([[1, 2]] * 3).tolist() == [0, 0, 0]
    assert crowding([[1, 2]] * 2).tolist() == [np.inf, np.inf]
    assert crowding(np.zeros((0, 2))).tolist() == []


@few
@given(points(most=8), st.sampled_from([2.0, 3.0, 50.0, 101.0]))
def test_hypervolume_is_that_of_the_cells_dominated(costs, edge):
    """The reference may lie beyond all points, on some of them, or before them."""
    reference = edge + np.arange(costs.shape[1])
    assert hypervolume(costs, reference) == pytest.approx(volume_of_cells(costs, reference), rel=1e-9, abs=1e-9)


def test_points_not_better_than_the_reference_add_no_volume():
    assert hypervolume([[1, 1]], [2, 3]) == 2
    assert hypervolume([[1, 1], [0, 3], [2, 0], [np.inf, -5], [1, 1]], [2, 3]) == 2
    assert hypervolume([[2, 3]], [2, 3]) == 0
    assert hypervolume(np.zeros((0, 3)), [1, 1, 1]) == 0


@few
@given(points(least=1))
def test_fronts_are_pymoos(costs):
    sorting = pytest.importorskip("pymoo.util.nds.non_dominated_sorting", reason="compares with pymoo")
    expected, of_each = sorting.NonDominatedSorting().do(costs, return_rank=True)
    assert [front.tolist() for front in fronts(costs)] == [sorted(front) for front in expected]
    assert ranks(costs).tolist() == of_each.tolist()


@few
@given(points(least=1))
def test_crowding_is_pymoos(costs):
    metrics = pytest.importorskip("pymoo.operators.survival.rank_and_crowding.metrics", reason="compares with pymoo")
    expected = metrics.FunctionalDiversity(metrics.calc_crowding_distance, filter_out_duplicates=True).do(costs)
    np.testing.assert_allclose(crowding(costs), expected)


@few
@given(points(least=1, most=20))
def test_hypervolume_is_pymoos(costs):
    indicator = pytest.importorskip("pymoo.indicators.hv", reason="compares with pymoo")
    reference = np.quantile(costs, 0.8, axis=0) + 0.5
    assert hypervolume(costs, reference) == pytest.approx(indicator.HV(ref_point=reference)(costs), rel=1e-9, abs=1e-9)


def test_the_knee_is_where_the_front_bends_whatever_the_units():
    bent = np.array([[0, 10], [1, 9], [2, 2], [6, 1], [10, 0]], float)
    assert knee(bent) == 2
    assert knee(bent * [1, 1e6] + [5, -3]) == 2
    assert knee(1 - CONCAVE) == 10


def test_the_knee_in_three_objectives_is_the_point_furthest_below_the_plane_of_the_extremes():
    assert knee([*np.eye(3).tolist(), [0.3, 0.3, 0.3], [0.1, 0.2, 0.3], [0.5, 0.45, 0]]) == 4
    # The extremes are (1, 0, 0), (0, 1, 0) and (.2, .2, 1): x + y + .6·z = 1, and not x + y + z = 1, is their plane.
    assert knee([[1, 0, 0], [0, 1, 0], [0.2, 0.2, 1], [0.21, 0.05, 0.7], [0.5, 0.3, 0.01]]) == 3
    # With (.6, .6, 1) it would be x + y - .2·z = 1, to which a worse z is better: not taken.
    assert knee([[1, 0, 0], [0, 1, 0], [0.6, 0.6, 1], [0.2, 0.65, 0.3], [0.7, 0.2, 0.05]]) == 4
    assert knee([[0, 10, 1], [2, 2, 1], [10, 0, 1]]) == 1, "an objective in which all are equal says nothing"


def test_without_a_knee_the_most_balanced_point_is_taken():
    assert knee(CONCAVE) == 10
    assert knee([[i / 10, 1 - i / 10] for i in range(11)]) == 5


def test_the_knee_of_one_or_two_points():
    assert knee([[5, 5]]) == knee([[1, 1]] * 3) == 0
    assert knee([[0, 1, 1], [1, 0, 0]]) == 1
    assert knee([[2, 1], [1, 2]]) == 1, "the better in the first objective"


@few
@given(points(least=1, objectives=(2, 4)), st.randoms())
def test_neither_knee_nor_spread_depends_on_the_order_of_the_points_or_on_the_units(costs, random):
    front = np.unique(costs[first_front(costs)], axis=0)
    order = random.sample(range(len(front)), len(front))
    other = front[order] * 2.0 ** np.arange(0, 8 * front.shape[1], 8)
    assert order[knee(other)] == knee(front)
    assert [order[i] for i in spread_over(other, 5)] == spread_over(front, 5)


def test_spread_takes_the_extremes_then_halves_the_greatest_gap():
    line = np.array([[i, 8 - i] for i in range(9)], float)
    assert spread_over(line, 5) == [0, 8, 4, 2, 6]
    assert spread_over(line[:7], 7) == [0, 6, 3, 1, 2, 4, 5], "rounding does not decide between equal gaps"
    assert spread_over([[0, 1, 9], [0, 2, 1], [9, 0, 9]], 1) == [1], "of the best, the better otherwise"
    # That most points crowd at one end does not draw the choice there.
    assert spread_over([[x, 1 - x] for x in (0, 0.01, 0.02, 0.03, 0.04, 0.5, 1)], 3) == [0, 6, 5]


@few
@given(points(), st.integers(0, 20))
def test_spread_gives_as_many_points_as_there_are_each_once_and_a_beginning_of_the_longer_list(costs, count):
    chosen = spread_over(costs, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(costs))
    assert chosen == spread_over(costs, count + 3)[:count]
    assert len(np.unique(costs[chosen], axis=0)) == min(len(chosen), len(np.unique(costs, axis=0)))


@few
@given(points(least=1, objectives=(2, 2)), st.integers(2, 6))
def test_no_point_is_more_than_twice_as_far_from_a_spread_over_two_objectives_as_need_be(costs, count):
    front = np.unique(costs[first_front(costs)], axis=0)
    scaled = front / np.maximum(np.ptp(front, axis=0), 1e-12)

    def widest(chosen):
        return np.linalg.norm(scaled[:, None] - scaled[None, list(chosen)], axis=2).min(axis=1).max()

    best = min(widest(some) for some in itertools.combinations(range(len(front)), min(count, len(front))))
    assert widest(spread_over(front, count)) <= 2 * best + 1e-9


@pytest.mark.parametrize("call", [fronts, ranks, first_front, crowding, knee, lambda costs: spread_over(costs, 2)])
def test_nan_is_refused(call):
    with pytest.raises(ValueError, match="point 1 hold NaN"):
        call([[0, 1], [np.nan, 0], [1, 0]])


@pytest.mark.parametrize("call", [crowding, knee, lambda costs: spread_over(costs, 2)])
def test_infinite_costs_are_ranked_but_refused_where_distances_are_measured(call):
    costs = [[np.inf, 1], [np.inf, np.inf], [0, 2], [-np.inf, 3]]
    assert ranks(costs).tolist() == [0, 1, 0, 0]
    with pytest.raises(ValueError, match="infinity"):
        call(costs)


@pytest.mark.parametrize(
    ("call", "arguments", "match"),
    [
        *[(hypervolume, ([[cost]], [1]), "point 0") for cost in (np.nan, -np.inf)],
        *[(hypervolume, ([[0, 0]], reference), "reference") for reference in ([1], [1, np.nan], [1, np.inf], 1)],
        *[(ranks, ([[0, 1], [1, 0]], violation), "violation") for violation in ([0], [0, -1], [0, np.nan])],
        *[(ranks, (costs,), "shape") for costs in ([1, 2], [[], []])],
        (knee, (np.zeros((0, 2)),), "no points"),
        (spread_over, ([[0, 1]], -1), "cannot choose"),
    ],
)
def test_what_makes_no_sense_is_refused(call, arguments, match):
    with pytest.raises(ValueError, match=match):
        call(*arguments)
