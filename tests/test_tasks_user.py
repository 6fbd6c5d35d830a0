"""A user's own task from a file: what it must define, and what is made of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import photo

from esr_ray.config.load import check_config
from esr_ray.data.crops import PicturePair, Share
from esr_ray.errors import UserError
from esr_ray.inference.measure import measure_baseline
from esr_ray.metrics import FIGURES, mean_quality
from esr_ray.tasks.make import make_task, network_spec, task_of
from esr_ray.tasks.user_files import load_files, read_files
from esr_ray.tasks.user_task import load_user_task
from esr_ray.training.batches import training_batch

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "jpeg_artefacts.py"
DARKER = """
import numpy as np
NAME = "darker"
def degrade(picture, random):
    return (picture * random.random() / 255).astype(np.float32)
"""
SMALLER = """
NAME = "every second pixel"
def degrade(picture, random):
    return picture[::2, ::2]
"""


def config(file, **task):
    return check_config({"task": {"file": str(file), **task}, "data": {"hr": "sample:scikit-image"}}, "test")


def made(tmp_path, text, **task):
    file = tmp_path / "mine.py"
    file.write_text(text)
    load_user_task(file)
    return make_task(config(file, **task).task)


@pytest.fixture
def pair():
    picture = np.asarray(photo(3))
    return PicturePair("a", picture, picture)


def test_the_example_of_the_documentation(pair):
    load_user_task(EXAMPLE)
    task = make_task(config(EXAMPLE).task)
    assert (task.title, task.scale, task.in_channels, task.out_channels) == ("JPEG artefacts", 1, 3, 3)
    assert (task.judged_by, FIGURES[task.judged_by].column) == ("score", "score")
    assert [one.name for one in task.baselines] == ["input"]
    given = task.degraded(pair)
    assert given.shape == (3, 64, 64)
    # By the picture's name, so the same again, and another for another picture.
    np.testing.assert_array_equal(given, task.degraded(pair))
    others = [task.degraded(PicturePair(name, pair.hr, pair.lr)) for name in "bcdef"]
    assert any(not np.array_equal(given, other) for other in others)
    (measured,) = measure_baseline([pair], task)
    np.testing.assert_array_equal(measured.sr, task.shown(pair))
    assert measured.quality.fitness == measured.quality.score == task.score(measured.sr, pair.hr)
    assert 15 < measured.quality.fitness < 50
    assert mean_quality([measured.quality] * 3).fitness == pytest.approx(measured.quality.fitness)


def test_crops_are_degraded_alike_for_every_network_and_every_share(tmp_path):
    task = made(tmp_path, DARKER)
    pictures = [PicturePair(str(seed), *([np.asarray(photo(seed))] * 2)) for seed in range(3)]
    training = config(tmp_path / "mine.py").fast_training.model_copy(update={"crop_size": 16, "batch_size": 4})
    given, wanted = training_batch(task, pictures, training, 7, 5)
    assert given.shape == wanted.shape == (4, 3, 16, 16)
    factors = [float(one.sum() / other.sum()) for one, other in zip(given, wanted, strict=True)]
    assert len({round(factor, 3) for factor in factors}) == 4
    halves = [training_batch(task, pictures, training, 7, 5, Share(rank, 2))[0] for rank in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves), given)
    assert not np.array_equal(training_batch(task, pictures, training, 7, 6)[0], given)


def test_a_degradation_that_makes_pictures_smaller(tmp_path, pair):
    task = made(tmp_path, SMALLER, scale=2)
    assert task.degraded(pair).shape == (3, 32, 32)
    assert task.title == "every second pixel x2"
    assert task.baseline.name == "bicubic"
    assert task.baseline.of(pair).shape == (64, 64, 3)
    assert (task.judged_by, task.score) == ("psnr_rgb", None)


def test_a_checkpoint_says_which_file_its_task_is_of(tmp_path):
    file = tmp_path / "mine.py"
    made(tmp_path, DARKER)
    spec = network_spec(("S_1_4_4",), config(file))
    assert str(tmp_path) not in spec.task
    assert task_of(spec).title == "darker"
    with pytest.raises(UserError, match=r"a user's file other\.py, .*run's folder"):
        task_of(replace(spec, task=spec.task.replace("mine", "other")))


def test_a_file_travels_as_text(tmp_path, pair):
    file = tmp_path / "travels.py"
    file.write_text(DARKER.replace("darker", "first"))
    (sent,) = read_files(config(file))
    assert (sent.kind, sent.name, sent.place) == ("task", "travels.py", "task/travels.py")
    # The original may change or be missing where it arrives.
    file.unlink()
    load_files([sent])
    assert make_task(config(file).task).title == "first"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 +", "mine.py: could not be imported: SyntaxError"),
        ("import nowhere", "could not be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("def degrade(picture, random): return picture", "must define NAME, what the task is called"),
        ("NAME = 'x'", r"must define a function degrade\(picture, random\)"),
        (DARKER + "score = 3", r"score must be a function score\(output, target\), or be left out \(it is 3\)"),
    ],
)
def test_files_that_define_no_task(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        made(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def degrade(picture, random): return 1 / 0", "degrade raised ZeroDivisionError: division by zero"),
        ("def degrade(picture, random): return picture[1:]", r"gave \(23, 24, 3\) .* should give \(24, 24, 3\)"),
        ("def degrade(picture, random): return picture.astype(int)", "degrade gave int64; give uint8, or finite"),
        ("def degrade(picture, random): return picture / float('nan')", "degrade gave float64; give uint8, or finite"),
        (DARKER + "def score(output, target): return float('nan')", "score gave nan; give a finite number"),
        (DARKER + "def score(output, target): return output.x", "score raised AttributeError"),
    ],
)
def test_functions_that_do_not_give_what_they_should(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        made(tmp_path, "NAME = 'x'\n" + text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"task\.file: .*nowhere\.py is not a file"):
        load_user_task(tmp_path / "nowhere.py")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "user"}, "file: give the Python file that defines the task"),
        ({"name": "denoising", "file": "a.py"}, "file: is for user, not for denoising; remove it"),
        ({"file": "a.py", "sigma": 3}, "sigma: is for denoising, not for user; remove it"),
        ({"file": "a.py", "scale": 5}, "scale"),
    ],
)
def test_keys_of_the_section(task, message):
    with pytest.raises(UserError, match=message):
        check_config({"task": task, "data": {"hr": "sample:scikit-image"}}, "test")
