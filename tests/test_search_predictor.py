"""A predictor ranks networks that it has not seen, and of the proposals the one that it thinks best is trained."""

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from scipy.stats import spearmanr
from strategies import small_space
from worlds import SPACE, make_config, number, simulated, view_of

from esr_ray.metrics import Quality
from esr_ray.search.breeding import Child
from esr_ray.search.growing import growing
from esr_ray.search.job import Candidate, Job, Outcome
from esr_ray.search.make import make_algorithm
from esr_ray.search.pareto import fronts
from esr_ray.search.predictor import HEADROOM, ridge
from esr_ray.search.promise import OPTIMISM, best_first, promise_by
from esr_ray.search.screening import LEAST, ROUND, Screening
from esr_ray.search.state import State, tell, with_asked
from esr_ray.space.counts import mult_adds_720p
from esr_ray.space.features import feature_matrix
from esr_ray.space.genome import decode
from esr_ray.space.sample import sample_genome
from esr_ray.training.result import DeviceCost

WIDE = small_space(node_num=8, min_active=4, conv_num=(1, 2, 4), growth_rate=(4, 8, 12))


def networks(count, seed=0, space=WIDE):
    """Genomes by their networks, each network once."""
    rng = np.random.default_rng(seed)
    found = {}
    while len(found) < count:
        genome = sample_genome(space, rng)
        found.setdefault(decode(genome), genome)
    return found


def true_value(arch, space=WIDE):
    """A linear function of the features: bigger networks are better, and those of S blocks."""
    row = feature_matrix([arch], space)[0]
    return 20 + row[0] + sum(name[0] == "S" for name in arch) / 5 + row[3] / 20


def view(genomes, noise=0.0, objectives=("psnr",), space=WIDE):
    """What is known after each of the networks was trained once."""
    state = State()
    for one, (arch, genome) in enumerate(genomes.items()):
        cost = space.cost(arch)
        candidate = Candidate(one, genome, arch, "random", (), cost.params, mult_adds_720p(cost, space.scale))
        psnr = true_value(arch, space) + noise * (number("noise", arch) - 0.5)
        state = tell(with_asked(state, Job(one, candidate, 10, 0)), Outcome(one, Quality(psnr, psnr - 2, 0.9)))
    return view_of(state, objectives)


def screening_of(proposals):
    return Screening(ridge, proposals, mutation_rate=0.2)


def split(genomes, known):
    """The first networks with their genomes, and the others without."""
    items = list(genomes.items())
    return dict(items[:known]), [arch for arch, _ in items[known:]]


@pytest.mark.parametrize(("noise", "least"), [(0.0, 0.85), (0.3, 0.75)])
def test_networks_that_were_not_seen_are_ranked_nearly_as_they_are(noise, least):
    known, unknown = split(networks(180), 120)
    model = screening_of(10).fit(view(known, noise), WIDE)
    predicted = model(feature_matrix(unknown, WIDE), 0.0)
    assert predicted.shape == (60,)
    assert spearmanr(predicted, [true_value(arch) for arch in unknown]).statistic > least


def test_a_linear_function_is_learnt_as_good_as_exactly():
    known, unknown = split(networks(240), 180)
    predicted = screening_of(10).fit(view(known), WIDE)(feature_matrix(unknown, WIDE), 0.0)
    true = np.array([true_value(arch) for arch in unknown])
    # What is estimated of each network is drawn towards the mean, all alike.
    assert np.corrcoef(predicted, true)[0, 1] > 0.999


def products(count):
    """Features (count, 8) and values that are mostly products of two of them."""
    features = np.random.default_rng(0).standard_normal((count, 8))
    return features, 30 + features[:, 0] / 2 + 2 * features[:, 1] * features[:, 2] + features[:, 3] ** 2


def test_products_of_features_are_learnt_which_no_linear_model_sees():
    features, values = products(360)
    predicted = ridge(features[:160], values[:160], np.full(160, 0.01))(features[160:], 0.0)
    assert np.corrcoef(predicted, values[160:])[0, 1] > 0.97
    with_constant = np.column_stack([np.ones(360), features])
    linear = with_constant[160:] @ np.linalg.lstsq(with_constant[:160], values[:160], rcond=None)[0]
    assert np.corrcoef(linear, values[160:])[0, 1] < 0.5


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_the_unit_of_values_and_of_features_makes_no_difference(factor):
    features, values = products(60)
    errors = np.full(40, 0.01)
    one = ridge(features[:40], values[:40], errors)(features[40:], 2.0)
    other = ridge(features[:40] * factor + 7, values[:40] * factor, errors * factor)(features[40:] * factor + 7, 2.0)
    np.testing.assert_allclose(other / factor, one, rtol=1e-3)


def test_more_standard_errors_promise_more_up_to_a_bound():
    features, values = products(60)
    model = ridge(features[:40], values[:40], np.full(40, 0.01))
    assert (model(features[40:], 2.0) > model(features[40:], 0.0)).all()
    best, median = values[:40].max(), np.median(values[:40])
    assert model(features * 100, 50.0).max() <= best + HEADROOM * (best - median)


def test_of_many_the_best_and_the_last_are_learnt_from(monkeypatch):
    monkeypatch.setattr("esr_ray.search.screening.MOST", 40)
    monkeypatch.setattr("esr_ray.search.screening.CLIPPED", 1e9)
    known = networks(100)
    seen, taught = view(known), []

    def predictor(features, values, errors):
        assert len(features) == len(values) == len(errors)
        taught.extend(values)
        return ridge(features, values, errors)

    Screening(predictor, 10, 0.2).fit(seen, WIDE)
    values = list(seen.estimate.mean)
    best = sorted(values, reverse=True)[:20]
    last = [one for one in values if one not in best][-20:]
    assert taught == [one for one in values if one in best or one in last]


def test_nothing_is_learnt_from_a_few():
    genomes = networks(LEAST)
    screening = screening_of(10)
    assert screening.fit(view(split(genomes, LEAST - 1)[0]), WIDE) is None
    assert screening.fit(view(genomes), WIDE) is not None


def test_networks_that_are_all_alike_in_value_can_be_learnt_from():
    """All features or values the same: nothing is a number divided by nothing."""
    state = view(networks(20), noise=0).state
    same = {job: Outcome(job, Quality(30.0, 28.0, 0.9)) for job in state.outcomes}
    seen = view_of(replace(state, outcomes=growing(same)))
    predicted = screening_of(10).fit(seen, WIDE)(feature_matrix(list(networks(30)), WIDE), 0.0)
    np.testing.assert_allclose(predicted, 30.0, atol=0.02)


def handed(genomes):
    """Makes children of these genomes, one after the other and again; the parent of each is its place."""
    children = cycle([Child(genome, "random", (place,)) for place, genome in enumerate(genomes)])
    return lambda: next(children)


def test_the_best_predicted_of_the_children_is_taken():
    genomes = networks(140)
    known, children = split(genomes, 100)
    screening, seen = screening_of(ROUND), view(known)
    model = screening.fit(seen, WIDE)
    first = children[:ROUND]
    taken = screening.child(handed(genomes[arch] for arch in first), model, seen, {}, WIDE, np.random.default_rng(0))
    promised = promise_by(model, seen, WIDE).of(first)
    np.testing.assert_array_equal(promised[:, :2], 0)
    np.testing.assert_array_equal(promised[:, 2], model(feature_matrix(first, WIDE), OPTIMISM))
    best = first[int(np.argmax(promised[:, 2]))]
    assert decode(taken.genome) == best
    ranked = sorted(first, key=true_value, reverse=True)
    assert best == ranked[0]
    # With latency beside, or a limit of it, it is PSNR alone too as long as nothing was measured.
    beside = view(known, objectives=("psnr", "latency"))
    np.testing.assert_array_equal(promise_by(model, beside, WIDE).of(first), promised)
    limited = view_of(seen.state, limits={"latency": 0.1})
    np.testing.assert_array_equal(promise_by(model, limited, WIDE).of(first), promised)


@pytest.mark.parametrize("objectives", [("psnr",), ("psnr", "mult_adds")])
def test_later_rounds_are_bred_from_the_best_proposals_and_promise_more(objectives):
    genomes = networks(120)
    known, children = split(genomes, 100)
    seen = view(known, objectives=objectives)
    model = screening_of(2).fit(seen, WIDE)

    def taken(proposals):
        first, rng = handed(genomes[arch] for arch in children), np.random.default_rng(0)
        return screening_of(proposals).child(first, model, seen, {}, WIDE, rng)

    one, many = taken(ROUND), taken(10 * ROUND)
    archs = [decode(child.genome) for child in (one, many)]
    assert archs[0] in children
    assert archs[1] not in children
    assert WIDE.allows(archs[1])
    promised = promise_by(model, seen, WIDE).of(archs)
    assert tuple(promised[1]) > tuple(promised[0])
    assert many.operator in ("mutation", "crossover")
    assert set(many.parents) <= set(range(ROUND))


@pytest.mark.parametrize(
    ("trained", "proposals"),
    [(10, 90), (20, 90), (30, 60), (40, 45), (90, ROUND), (120, ROUND), (130, 18), (180, 13), (230, 12)],
)
def test_every_proposal_is_predicted_once_and_many_trained_networks_allow_fewer(trained, proposals, monkeypatch):
    monkeypatch.setattr("esr_ray.search.screening.MANY", 20)
    monkeypatch.setattr("esr_ray.search.screening.VERY_MANY", 120)
    monkeypatch.setattr("esr_ray.search.screening.FEWEST", 12)
    genomes = networks(260)
    known, children = split(genomes, trained)
    seen, predicted = view(known), []

    def model(features, deviations):
        predicted.extend(map(tuple, features))
        return features[:, 0]

    child = screening_of(90).child(
        handed(genomes[arch] for arch in children), model, seen, known, WIDE, np.random.default_rng(0)
    )
    assert len(predicted) == proposals
    # The model thinks the most of parameters, the first of the features.
    assert feature_matrix([decode(child.genome)], WIDE)[0, 0] == max(row[0] for row in predicted)


@pytest.mark.parametrize("proposals", [2, ROUND, 3 * ROUND + 1])
def test_no_network_that_is_known_is_taken(proposals):
    genomes = networks(140)
    known, children = split(genomes, 100)
    screening, seen = screening_of(proposals), view(known)
    model = screening.fit(seen, WIDE)
    asked = dict.fromkeys(known, 0)
    for turn in range(6):
        # Two of these that are known for each that is not.
        first = handed(genomes[arch] for pair in zip(known, children, strict=False) for arch in (pair[0], *pair))
        child = screening.child(first, model, seen, asked, WIDE, np.random.default_rng(turn))
        assert decode(child.genome) not in asked
        asked[decode(child.genome)] = turn
    assert (
        screening.child(handed([genomes[next(iter(known))]]), model, seen, asked, WIDE, np.random.default_rng()) is None
    )


@pytest.mark.parametrize("cost", ["params", "mult_adds"])
@pytest.mark.parametrize("seed", range(4))
def test_with_two_objectives_no_child_is_better_in_both_than_the_one_taken(cost, seed):
    known, children = split(networks(70, seed), 50)
    screening, seen = screening_of(20), view(known, 0.1, ("psnr", cost))
    model = screening.fit(seen, WIDE)
    best = int(best_first(promise_by(model, seen, WIDE).of(children))[0])
    costs = [getattr(WIDE.cost(arch), cost) for arch in children]
    promised = model(feature_matrix(children, WIDE), OPTIMISM)
    first = fronts(np.stack([-promised, costs], axis=1))[0]
    assert best in first


def seconds(arch, space=WIDE):
    """Latency of a network: S blocks are slow."""
    return 0.01 + 0.02 * sum(name[0] == "S" for name in arch)


def measured(genomes, objectives=("psnr",), limits=None):
    """As `view`, and every network was measured."""
    state = view(genomes).state
    told = {
        job: replace(outcome, cost=DeviceCost(seconds(state.jobs[job].candidate.arch), 0.001, 100.0))
        for job, outcome in state.outcomes.items()
    }
    return view_of(replace(state, outcomes=growing(told)), objectives, limits)


def test_what_children_would_take_is_predicted_and_counts_beside_their_psnr():
    known, children = split(networks(160), 100)
    seen = measured(known, ("psnr", "latency"))
    model = screening_of(ROUND).fit(seen, WIDE)
    promised = promise_by(model, seen, WIDE).of(children)
    costs = np.stack([-model(feature_matrix(children, WIDE), OPTIMISM), [seconds(arch) for arch in children]], axis=1)
    front = fronts(costs.round(6))[0]
    assert int(best_first(promised)[0]) in front
    # The slowest known network is of S blocks alone; with PSNR alone such a child would be taken.
    alone = promise_by(model, measured(known), WIDE).of(children)
    chosen = [children[int(best_first(one)[0])] for one in (promised, alone)]
    assert seconds(chosen[0]) < seconds(chosen[1])


@pytest.mark.parametrize("objectives", [("psnr",), ("psnr", "params"), ("psnr", "latency"), ("ssim", "latency")])
def test_a_child_that_keeps_the_limits_is_taken_before_one_that_does_not(objectives):
    known, children = split(networks(160), 100)
    limit = sorted(map(seconds, children))[len(children) // 4]
    seen = measured(known, objectives, {"latency": limit * 1.01, "memory": 101.0})
    model = screening_of(ROUND).fit(seen, WIDE)
    promised = promise_by(model, seen, WIDE).of(children)
    within = [seconds(arch) <= limit * 1.01 for arch in children]
    assert [one == 0 for one in promised[:, 0]] == within
    assert 0 < sum(within) < len(children)
    order = best_first(promised)
    assert all(within[place] for place in order[: sum(within)])
    # Those beyond it: the nearest first.
    beyond = [seconds(children[place]) for place in order[sum(within) :]]
    np.testing.assert_allclose(beyond, sorted(beyond), rtol=1e-6)


def test_the_same_is_learnt_and_chosen_from_the_same():
    genomes = networks(140)
    known, children = split(genomes, 100)
    screening, seen = screening_of(70), view(known, 0.3)
    one, other = (screening.fit(view(known, 0.3), WIDE) for _ in range(2))
    features = feature_matrix(children, WIDE)
    for deviations in (0.0, OPTIMISM):
        np.testing.assert_array_equal(one(features, deviations), other(features, deviations))
    taken = [
        screening.child(handed(genomes[arch] for arch in children), model, seen, {}, WIDE, np.random.default_rng(3))
        for model in (one, other)
    ]
    assert taken[0] == taken[1]


@pytest.mark.parametrize("schedule", ["steady", "generational"])
def test_a_search_with_a_predictor_breeds_better_children_from_the_same_beginning(schedule):
    """Where the world is linear; and it does the same again."""

    def births(**keys):
        algorithm = make_algorithm(make_config(9, schedule=schedule, **keys), SPACE)
        state = simulated(algorithm, lambda job: true_value(job.candidate.arch, SPACE))[-1]
        return [one.arch for one in state.candidates.values()]

    without, screened = births(), births(predictor="ridge")
    assert screened[:LEAST] == without[:LEAST]
    assert screened == births(predictor="ridge")
    values = [np.mean([true_value(arch, SPACE) for arch in found[LEAST:36]]) for found in (without, screened)]
    assert values[1] > values[0]
