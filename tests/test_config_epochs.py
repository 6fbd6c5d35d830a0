"""Trainings whose length is given in epochs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr_ray.config.epochs import in_steps
from esr_ray.config.load import check_config, load_config, with_overrides
from esr_ray.errors import UserError
from esr_ray.runs.folder import RunFolder, create, stored_config
from esr_ray.training.schedule import learning_rates


def config(**full):
    return check_config({"data": {"hr": "x"}, "full_training": {"batch_size": 16, **full}}, "user.yml")


def test_epochs_are_so_many_batches_of_the_training_pictures():
    # DIV2K's 800 pictures by 16: the release's file, whose 15,000 epochs are 750,000 steps.
    given_config = config(epochs=15_000, schedule={"type": "multistep", "milestones": [8000, 12000]})
    full = in_steps(given_config, 800)[0].full_training
    assert (full.steps, full.epochs, full.schedule.milestones) == (750_000, None, (400_000, 600_000))


def test_what_is_given_in_steps_stays_as_it_is():
    given_config = config(steps=70, schedule={"type": "multistep", "milestones": [50]})
    assert in_steps(given_config, 800) == (given_config, ())


def test_the_user_is_told_the_steps():
    notes = in_steps(config(epochs=100, schedule={"type": "multistep", "milestones": [40, 80]}), 50)[1]
    assert notes == (
        "full_training: 100 epochs of 3 batches (50 pictures, batch_size 16) are 300 steps, milestones 120, 240",
    )


@given(pictures=st.integers(1, 2000), batch_size=st.integers(1, 64), epochs=st.integers(1, 50))
def test_an_epoch_takes_no_picture_twice_unless_they_fill_no_batch(pictures, batch_size, epochs):
    full = in_steps(config(epochs=epochs, batch_size=batch_size), pictures)[0].full_training
    assert full.steps >= epochs
    assert full.steps * batch_size <= epochs * max(pictures, batch_size)
    assert len(learning_rates(full)) == full.steps


def test_the_fast_training_may_be_in_epochs_too():
    given_config = check_config({"data": {"hr": "x"}, "fast_training": {"batch_size": 8, "epochs": 5}}, "user.yml")
    assert in_steps(given_config, 80)[0].fast_training.steps == 50


def test_steps_beside_epochs_are_refused_in_one_line():
    with pytest.raises(UserError, match=r"^user.yml: full_training: give steps or epochs, not both"):
        config(epochs=3, steps=400)
    assert config(epochs=None, steps=70).full_training.steps == 70


def test_a_run_keeps_the_epochs_that_were_given(tmp_path: Path):
    folder = RunFolder(tmp_path)
    create(folder, config(epochs=3), {})
    assert stored_config(folder) == config(epochs=3)


def test_rates_of_epochs_are_not_guessed():
    with pytest.raises(ValueError, match="in epochs"):
        learning_rates(config(epochs=3).full_training)


def test_an_override_takes_epochs_back(tmp_path: Path):
    path = tmp_path / "user.yml"
    path.write_text("data: {hr: x}\nfull_training: {epochs: 3}\n")
    loaded = load_config(path, ["full_training.epochs=null", "full_training.steps=9"])
    assert (loaded.config.full_training.steps, loaded.config.full_training.epochs) == (9, None)


@pytest.mark.parametrize(
    ("given", "overrides", "length"),
    [
        ({"steps": 9}, ["full_training.epochs=3"], (3, None)),
        ({"epochs": 9}, ["full_training.steps=3"], (None, 3)),
        ({}, ["full_training.epochs=3"], (3, None)),
        ({"steps": 9}, ["full_training.epochs=null"], (None, 9)),
        ({"steps": 9}, ["full_training.epochs=3", "full_training={steps: 8}"], (None, 8)),
    ],
)
def test_an_override_takes_the_place_of_the_other_length(given, overrides, length):
    content = {"data": {"hr": "x"}, "full_training": given}
    # As it is in a file, and as a run's folder has it, with every key.
    for base in (content, check_config(content, "test").model_dump(mode="json")):
        full = check_config(with_overrides(base, overrides), "test").full_training
        assert full.epochs == length[0]
        if length[1] is not None:
            assert full.steps == length[1]


def test_both_lengths_as_overrides_are_refused():
    content = with_overrides({"data": {"hr": "x"}}, ["full_training.epochs=3", "full_training.steps=3"])
    with pytest.raises(UserError, match="steps or epochs, not both"):
        check_config(content, "test")
