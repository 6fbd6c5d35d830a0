"""TensorBoard's events, read back as TensorBoard does; and the strips of pictures in them."""

import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from esr_ray.data.resize import upscale
from esr_ray.evolution.population import Candidate, Individual, State
from esr_ray.runs.board import Board
from esr_ray.runs.history import History
from esr_ray.runs.pictures import comparison_strip, from_png, to_png
from esr_ray.space.genome import Genome


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def points(folder):
    """(tag, step, value) of every point; a picture's value is its PNG."""
    (path,) = folder.iterdir()
    assert path.name.startswith("events.out.tfevents.")
    content, found = path.read_bytes(), []
    while content:
        size, check = struct.unpack("<QI", content[:12])
        assert check == masked(content[:8])
        data, content = content[12 : 12 + size], content[16 + size :]
        event = Event.FromString(data)
        for value in event.summary.value:
            shown = value.image.encoded_image_string if value.HasField("image") else value.simple_value
            found.append((value.tag, event.step, shown))
    return found


def individual(number, fitness, params):
    return Individual(Candidate(number, 0, Genome((), ()), (f"S_1_4_{number + 1}",), "random", (), params, 10), fitness)


def test_candidates_are_shown_with_curve_quality_and_time(tmp_path):
    board = Board(tmp_path / "tensorboard")
    seconds = {"compile": 1.5, "steps": 2.0}
    board.finished({"id": 7, "curve": [[1, 0.5], [10, 0.25]], "psnr_y": 30.5, "seconds": seconds})
    board.devices(2)
    board.close()
    assert points(tmp_path / "tensorboard") == [
        ("candidate_loss/000007", 1, 0.5),
        ("candidate_loss/000007", 10, 0.25),
        ("candidates/psnr_y", 7, 30.5),
        ("candidate_seconds/compile", 7, 1.5),
        ("candidate_seconds/steps", 7, 2.0),
        ("devices/busy", 1, 2.0),
    ]


def test_generations_are_shown_with_best_mean_and_front(tmp_path):
    people = (individual(0, 30.0, 900), individual(1, 31.0, 500), individual(2, None, 700))
    board = Board(tmp_path / "tensorboard")
    board.generation(State(generation=3, population=people, elite=(people[1],)), History())
    board.close()
    assert points(tmp_path / "tensorboard") == [
        ("search/best_psnr_y", 2, 31.0),
        ("search/mean_psnr_y", 2, 30.5),
        ("search/failed", 2, 0.0),
        ("psnr_by_params/generation_002", 500, 31.0),
        ("psnr_by_params/generation_002", 900, 30.0),
    ]


def test_generation_of_failures_is_shown(tmp_path):
    board = Board(tmp_path / "tensorboard")
    board.generation(State(generation=1, population=(individual(0, None, 5),)), History())
    board.close()
    assert points(tmp_path / "tensorboard") == [("search/failed", 0, 0.0)]


def test_full_training_is_shown_beside_bicubic(tmp_path):
    board = Board(tmp_path / "tensorboard")
    board.training_loss("final", 5, 0.125)
    board.report({"sets": [{"name": "Set5", "network": {"psnr_y": 33.5}, "bicubic": {"psnr_y": 31.25}}]})
    board.close()
    assert points(tmp_path / "tensorboard") == [
        ("full_training_loss/final", 5, 0.125),
        ("report_psnr_y/Set5_final", 0, 33.5),
        ("report_psnr_y/Set5_bicubic", 0, 31.25),
    ]


def test_pictures_are_shown_as_they_are(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 22, 3), np.uint8)
    board = Board(tmp_path / "tensorboard")
    board.picture("strip", picture, 4)
    board.close()
    ((tag, step, png),) = points(tmp_path / "tensorboard")
    assert (tag, step) == ("strip", 4)
    np.testing.assert_array_equal(from_png(png), picture)


def test_what_generations_wrote_can_be_read_while_the_run_goes_on(tmp_path):
    board = Board(tmp_path / "tensorboard")
    board.generation(State(generation=1, population=(individual(0, 30.0, 5),)), History())
    assert len(points(tmp_path / "tensorboard")) == 3
    board.close()


def test_board_is_made_anew(tmp_path):
    for value in (1.0, 2.0):
        board = Board(tmp_path / "tensorboard")
        board.training_loss("final", 1, value)
        board.close()
    assert points(tmp_path / "tensorboard") == [("full_training_loss/final", 1, 2.0)]


def test_full_disk_neither_stops_nor_hangs_the_search(tmp_path):
    """A limit on the size of files, in a process of its own; a hang is ended by the time limit."""
    code = f"""
        import resource, signal
        from pathlib import Path
        import esr_ray.runs.board as board_module
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        board_module.FLUSH_S = 0
        board = board_module.Board(Path({str(tmp_path / "tensorboard")!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        for step in range(100):
            board.training_loss("final", step, 1.0)
        board.close()
        print("went on")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "went on\n"
    assert done.returncode == 0, done.stderr


# Strips.


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_strip_is_lr_bicubic_network_and_hr_beside_each_other(scale):
    rng = np.random.default_rng(scale)
    lr = rng.integers(0, 256, (9, 7, 3), np.uint8)
    sr, hr = (rng.integers(0, 256, (9 * scale, 7 * scale, 3), np.uint8) for _ in range(2))
    strip = comparison_strip(lr, sr, hr, scale)
    width = 7 * scale
    assert strip.dtype == np.uint8
    assert strip.shape == (9 * scale, 4 * width + 6, 3)
    parts = [strip[:, index * (width + 2) : index * (width + 2) + width] for index in range(4)]
    np.testing.assert_array_equal(parts[0][::scale, ::scale], lr)
    np.testing.assert_array_equal(parts[0][scale - 1 :: scale, scale - 1 :: scale], lr)
    for part, expected in zip(parts[1:], (upscale(lr, scale), sr, hr), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert (strip[:, width : width + 2] == 255).all()


def test_strip_shows_the_middle_of_large_pictures():
    hr = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    strip = comparison_strip(hr[::2, ::2], hr, hr, 2, side=16)
    assert strip.shape == (16, 4 * 16 + 6, 3)
    np.testing.assert_array_equal(strip[:, -16:], hr[12:28, 22:38])
    assert comparison_strip(hr[::2, ::2], hr, hr, 2, side=50).shape == (40, 4 * 50 + 6, 3)


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_array_equal(from_png(to_png(picture)), picture)
