"""More of the same run: in another space, or for other objectives, with all that was trained and still counts."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import small_space
from worlds import (
    PROMOTION,
    RACE,
    SPACE,
    FirstInFirstOut,
    InProcess,
    Killed,
    World,
    failing_often,
    finished_in,
    make_config,
    records,
    search,
)

from esr_ray.runs.record import read_history
from esr_ray.runs.replay import Replayed, replay_run
from esr_ray.search.front import chosen, front_rows
from esr_ray.search.make import make_algorithm
from esr_ray.space.genome import decode
from esr_ray.training.result import DeviceCost

# About half of the networks of SPACE have so few blocks.
NARROW = small_space(node_num=4)
WIDE = small_space(node_num=9)
SCHEDULES = pytest.mark.parametrize("schedule", ["steady", "generational"])
MIXED = World(failing_often, 3)


class Measuring(World):
    """Every training is also measured on its device: latency is of the parameters."""

    def trained(self, job, wrong=0):
        found = super().trained(job, wrong)
        return replace(found, cost=DeviceCost(job.candidate.params / 1e5, 0.001, job.candidate.params / 1e3))


def gone_on(path, space, schedule, generations=8, **keys):
    """A search that goes on in a space: its algorithm, its state, and the candidates that are new."""
    config = make_config(generations, schedule=schedule, **keys)
    before = set(read_history(path).state.candidates)
    state, _ = search(path, config, InProcess(MIXED, 7), space)
    return make_algorithm(config, space), state, [one for one in state.candidates.values() if one.id not in before]


@SCHEDULES
@pytest.mark.parametrize("parts", [{}, {"promotion": PROMOTION, "race": RACE, "objectives": ["psnr", "mult_adds"]}])
def test_networks_that_a_changed_space_does_not_hold_are_left_out_of_all_choices(fresh, schedule, parts):
    path = fresh()
    before, _ = search(path, make_config(8, schedule=schedule), InProcess(MIXED))
    held = {one for one, candidate in before.candidates.items() if NARROW.holds(candidate.arch)}
    assert 0 < len(held) < len(before.candidates)
    algorithm, state, born = gone_on(path, NARROW, schedule, 40, **parts)
    assert len(born) > 8
    assert all(NARROW.holds(one.arch) for one in born)
    # Parents among the new, and of the old those that are held.
    parents = {parent for one in born for parent in one.parents}
    assert parents
    assert parents <= held | {one.id for one in born}
    view = algorithm.view(state)
    assert set(view.ids) <= held | {one.id for one in born}
    assert all(NARROW.holds(state.candidates[one].arch) for one in view.front)
    verdict = algorithm.verdict(state)
    assert all(NARROW.holds(one.candidate.arch) for one in verdict.finalists)
    assert all(NARROW.holds(row.arch) for row in front_rows(algorithm, state))
    assert all(NARROW.holds(state.candidates[one].arch) for one in chosen(algorithm, state, "front:3"))
    # Longer trainings and further seeds are of networks that count.
    later = [job for job in state.jobs.values() if job.id not in before.jobs]
    assert all(NARROW.holds(job.candidate.arch) for job in later)
    # Nothing is forgotten: the record has them, and a wider space would have them back.
    assert state.outcomes.items() >= before.outcomes.items()
    assert set(make_algorithm(make_config(), SPACE).view(before).ids) <= set(
        make_algorithm(make_config(), SPACE).view(state).ids
    )


@SCHEDULES
def test_without_promotion_from_now_on_a_new_candidate_can_win(fresh, schedule):
    path = fresh()
    before, _ = search(path, make_config(6, schedule=schedule, promotion=PROMOTION), InProcess(World()))
    assert {job.steps for job in before.jobs.values()} == {10, 30}
    better = World()
    better.fitness = lambda job: 40.0 + job.candidate.id / 100
    config = make_config(12, schedule=schedule)
    state, _ = search(path, config, InProcess(better), SPACE)
    new = [job for job in state.jobs.values() if job.id not in before.jobs]
    assert {job.steps for job in new} == {10}
    verdict = make_algorithm(config, SPACE).verdict(state)
    assert verdict.winner.candidate.id not in before.candidates


@SCHEDULES
def test_in_a_space_of_more_nodes_all_networks_count_and_their_genomes_are_fitted(fresh, schedule):
    path = fresh()
    before, _ = search(path, make_config(4, schedule=schedule), InProcess(MIXED))
    algorithm = make_algorithm(make_config(8, schedule=schedule), WIDE)
    seen = algorithm.view(before)
    assert seen.ids == make_algorithm(make_config(), SPACE).view(before).ids
    for one in seen.ids:
        fitted = seen.state.candidates[one]
        assert len(fitted.genome.blocks) == 9
        assert decode(fitted.genome) == fitted.arch == before.candidates[one].arch
    # As often as one looks, it is the same genome.
    again = make_algorithm(make_config(8, schedule=schedule), WIDE).view(before)
    assert again.state.candidates == seen.state.candidates
    _, state, born = gone_on(path, WIDE, schedule)
    assert born
    assert all(len(one.genome.blocks) == 9 for one in born)
    assert {parent for one in born for parent in one.parents} & set(before.candidates)
    assert {one: state.candidates[one] for one in before.candidates} == before.candidates


@SCHEDULES
def test_what_was_under_way_in_the_old_space_is_trained_and_then_left_out(fresh, schedule):
    """It was asked for: the record says so, and its result hurts nobody."""
    path = fresh()
    with pytest.raises(Killed):
        search(path, make_config(4, schedule=schedule), InProcess(MIXED, 1, 4, 25))
    pending = read_history(path).state.pending
    assert pending
    algorithm, state, _ = gone_on(path, NARROW, schedule)
    assert pending <= set(state.outcomes)
    assert all(NARROW.holds(state.candidates[one].arch) for one in algorithm.view(state).ids)


@SCHEDULES
def test_interrupted_in_the_changed_space_it_goes_on_to_the_same_search(fresh, schedule):
    first = fresh()
    search(first, make_config(3, schedule=schedule), FirstInFirstOut(MIXED, devices=2))
    content = first.read_bytes()
    config = make_config(16, schedule=schedule, promotion=PROMOTION)

    def go_on(path, events=None):
        return search(path, config, FirstInFirstOut(MIXED, devices=2, events=events), NARROW)[0]

    expected = go_on(first)
    for events in range(0, 30, 4):
        path = fresh()
        path.write_bytes(content)
        with pytest.raises(Killed):
            go_on(path, events)
        assert go_on(path) == expected
        assert records(path) == records(first)


@SCHEDULES
def test_choices_in_a_changed_space_are_made_again_by_replay(fresh, schedule):
    path = fresh()
    search(path, make_config(4, schedule=schedule), InProcess(MIXED))
    _, state, _ = gone_on(path, NARROW, schedule, promotion=PROMOTION)
    # The test's configurations do not say the space.
    spaces = iter((SPACE, NARROW))
    assert replay_run(path, lambda config: make_algorithm(config, next(spaces))) == Replayed(len(state.jobs), 2)


# Other objectives.


@SCHEDULES
@pytest.mark.parametrize("objectives", [["psnr", "mult_adds"], ["ssim", "params"], ["psnr", "latency", "memory"]])
def test_for_other_objectives_nothing_is_trained_again(fresh, schedule, objectives):
    path = fresh()
    before, _ = search(path, make_config(5, schedule=schedule), InProcess(Measuring()))
    config = make_config(5, schedule=schedule, objectives=objectives)
    backend = InProcess(Measuring(), 3)
    state, _ = search(path, config, backend)
    assert backend.submitted == []
    assert state == before
    algorithm = make_algorithm(config, SPACE)
    view = algorithm.view(state)
    assert view.ids == make_algorithm(make_config(5), SPACE).view(state).ids
    assert np.isfinite(view.costs).all()
    # SSIM is the same for all here.
    assert len(view.front) > 1 or "ssim" in objectives
    # With a greater budget only what is new is trained.
    done = finished_in(path)
    backend = InProcess(Measuring(), 4)
    search(path, make_config(7, schedule=schedule, objectives=objectives), backend)
    assert len(backend.submitted) == 8
    assert not done & set(backend.submitted)


@SCHEDULES
def test_latency_that_was_not_asked_for_before_is_predicted_for_the_old_and_measured_for_the_new(fresh, schedule):
    path = fresh()
    before, _ = search(path, make_config(5, schedule=schedule), InProcess(World()))
    config = make_config(9, schedule=schedule, objectives=["psnr", "latency"])
    backend = InProcess(Measuring(), 3)
    state, _ = search(path, config, backend)
    assert not set(before.jobs) & set(backend.submitted)
    view = make_algorithm(config, SPACE).view(state)
    assert np.isfinite(view.costs).all()
    new = [view.row_of[one] for one in state.candidates if one not in before.candidates]
    expected = [state.candidates[view.ids[row]].params / 1e5 for row in new]
    np.testing.assert_allclose(view.costs[new, 1], expected)
    old = [view.row_of[one] for one in before.candidates]
    true = [state.candidates[view.ids[row]].params / 1e5 for row in old]
    np.testing.assert_allclose(view.costs[old, 1], true, rtol=0.2)
