"""`esr_ray.upscale` with networks of other tasks, and what is wrong with what it is given."""

import os

import numpy as np
import pytest
from PIL import Image
from test_upscale import network, run, saved, smooth  # noqa: F401
from test_upscale_deep import all_bits, deep

import esr_ray
from esr_ray.config.load import check_config
from esr_ray.data.crops import PicturePair
from esr_ray.inference.enlarge import enlarge
from esr_ray.networks.checkpoint import checkpoint_bytes
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.tasks.make import network_spec


def made(path, **task):
    given = check_config({"task": task, "data": {"hr": "unused"}, "space": {"base_channels": 8}}, "test")
    spec = network_spec(("S_1_4_8", "C_1_4_4"), given)
    rng = np.random.default_rng(0)
    parameters = {
        name: (rng.standard_normal(shape) * (len(shape) > 1) / 40).astype(np.float32)
        for name, shape in parameter_shapes(spec).items()
    }
    path.write_bytes(checkpoint_bytes(parameters, spec))
    return path


@pytest.fixture
def demosaicking(tmp_path):
    return made(tmp_path / "mosaic.ckpt", name="demosaicking", pattern="GRBG")


def mosaic_of(picture):
    """What a sensor behind GRBG sees of a picture, (h, w)."""
    seen = picture[..., 1].copy()
    seen[0::2, 1::2] = picture[0::2, 1::2, 0]
    seen[1::2, 0::2] = picture[1::2, 0::2, 2]
    return seen


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_mosaic_becomes_rgb_of_its_size(depth, ending, demosaicking, tmp_path):
    picture = smooth(44, 58) if depth == 8 else deep(44, 58, 3)
    source = saved(tmp_path / f"a.{ending}", mosaic_of(picture))
    assert run(source, "--network", demosaicking, "--task", "demosaicking") == 0
    found = all_bits(tmp_path / f"a_clean.{ending}")
    loaded = esr_ray.load(demosaicking).loaded
    assert (found.shape, found.dtype) == ((44, 58, 3), np.uint8 if depth == 8 else np.uint16)
    if depth == 8:
        # As the network is measured.
        pair = PicturePair("a", picture, np.ascontiguousarray(picture[::2, ::2]))
        expected = loaded.task.complete(loaded.predictor.predict(loaded.task.degraded(pair)[None])[0], picture)
        np.testing.assert_array_equal(found, expected)
    assert np.abs(found.astype(float) - picture).mean() < (12 if depth == 8 else 12 * 257)


@pytest.mark.parametrize("size", [(33, 46), (40, 31), (21, 21), (1, 1), (1, 2), (2, 3)])
def test_mosaics_of_odd_sizes_go_on_as_their_pattern_does(size, demosaicking):
    loaded = esr_ray.load(demosaicking).loaded
    mosaic = mosaic_of(smooth(60, 60))[: size[0], : size[1]]
    found = enlarge(mosaic[..., None], loaded)
    assert found.shape == (*size, 3)
    if min(size) > 1:
        padded = np.pad(mosaic, ((0, size[0] % 2), (0, size[1] % 2)), mode="reflect")
        np.testing.assert_array_equal(found, enlarge(padded[..., None], loaded)[: size[0], : size[1]])


def test_tiles_of_a_mosaic_are_those_of_the_whole(demosaicking):
    loaded = esr_ray.load(demosaicking).loaded
    mosaic = mosaic_of(smooth(301, 260))[..., None]
    tiled, whole = enlarge(mosaic, loaded, side=48), enlarge(mosaic, loaded, side=512)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_a_mosaic_from_python(demosaicking):
    network = esr_ray.load(demosaicking)  # noqa: F811
    mosaic = mosaic_of(smooth(20, 24))
    assert network.scale == 1
    assert network.upscale(mosaic).shape == (20, 24, 3)
    image = network.upscale(Image.fromarray(mosaic))
    assert (image.mode, image.size) == ("RGB", (24, 20))
    with pytest.raises(ValueError, match="takes grey pictures, the mosaic of a sensor"):
        network.upscale(smooth(20, 24))
    with pytest.raises(ValueError, match="keeps the size of pictures"):
        network.upscale(mosaic, scale=2)


def test_a_mosaic_is_not_turned(demosaicking, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(tmp_path / "a.png", mosaic_of(smooth(20, 24)), exif=exif)
    assert run(tmp_path / "a.png", "--network", demosaicking) == 0
    assert "its EXIF orientation is kept" in capsys.readouterr().err
    with Image.open(tmp_path / "a_clean.png") as image:
        assert image.size == (24, 20)
        assert image.getexif()[0x0112] == 6
    saved(tmp_path / "a.tif", mosaic_of(smooth(20, 24)), exif=exif)
    assert run(tmp_path / "a.tif", "--network", demosaicking) == 2
    assert "a mosaic cannot be turned" in capsys.readouterr().err


def test_a_network_of_another_task_is_refused(tmp_path, network, demosaicking, capsys):  # noqa: F811
    def refused(*arguments):
        assert run(*arguments) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        return line

    source = saved(tmp_path / "a.png", smooth(12, 14))
    denoising = made(tmp_path / "noise.ckpt", name="denoising")
    assert "--task denoising: " in refused(source, "--network", network, "--task", "denoising")
    assert "is for x2; give another network" in refused(source, "--network", network, "--task", "demosaicking")
    assert "is for denoising" in refused(source, "--network", denoising, "--task", "super_resolution")
    for pixels in (smooth(12, 14), np.dstack([smooth(12, 14, 1), smooth(12, 14, 1)])):
        saved(source, pixels)
        assert "a.png: has colours or transparency, and" in refused(source, "--network", demosaicking)
    assert "keeps the size of pictures" in refused(source, "--network", demosaicking, "--scale", 2)
    assert run(source, "--network", denoising, "--task", "denoising", "--scale", 1) == 0
    # Among mosaics a picture is what failed.
    saved(tmp_path / "b.png", mosaic_of(smooth(12, 14)))
    assert run(source, tmp_path / "b.png", "--network", demosaicking, "-o", tmp_path / "out") == 1
    assert "failed: " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_where_all_pictures_fail_the_status_says_so(tmp_path, network, capsys):  # noqa: F811
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert run(tmp_path / "a.png", tmp_path / "b.png", "--network", network) == 2
    assert "0 of 2 pictures enlarged" in capsys.readouterr().out


def test_output_that_cannot_be_written_is_one_line(tmp_path, network, capsys, monkeypatch):  # noqa: F811
    source = saved(tmp_path / "a.png", smooth(12, 14))

    def refused(*arguments):
        assert run(source, "--network", network, *arguments) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        return line

    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "folder.png").mkdir()
    with monkeypatch.context() as patched:
        # Root may write anywhere.
        patched.setattr(os, "access", lambda path, mode: "closed" not in str(path))
        assert "closed: cannot be written in" in refused("-o", closed / "b.png")
    with monkeypatch.context() as patched:

        def full(descriptor):
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        assert "b.png: the disk is full" in refused("-o", tmp_path / "b.png")
    assert "webp: WEBP holds 16383 pixels a side" in refused("-o", tmp_path / "b.webp", "--scale", 1200)
    assert not list(tmp_path.glob("*b.*"))
    assert not list(tmp_path.glob(".*"))
