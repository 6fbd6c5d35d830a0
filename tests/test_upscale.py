"""`esr_ray.upscale`: pictures of all kinds through a network, and what is wrong with them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_evaluate_command import make_checkpoint

from esr_ray.config.load import check_config
from esr_ray.data.resize import upscale as bicubic
from esr_ray.inference.bleeding import unbled
from esr_ray.inference.enlarge import enlarge
from esr_ray.inference.load import load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.checkpoint import checkpoint_bytes
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.spec import NetworkSpec
from esr_ray.tasks.make import network_spec
from esr_ray.upscale import write as write_module
from esr_ray.upscale.__main__ import main

SPEC = NetworkSpec(("S_2_4_8", "C_1_4_4"), 8, 2, "bicubic")


@pytest.fixture
def network(tmp_path):
    """As far as its skip goes bicubic, and a little more."""
    rng, shapes = np.random.default_rng(0), parameter_shapes(SPEC)
    parameters = {
        name: (rng.standard_normal(shape) * (len(shape) > 1) / 20).astype(np.float32) for name, shape in shapes.items()
    }
    path = tmp_path / "net.ckpt"
    path.write_bytes(checkpoint_bytes(parameters, SPEC))
    return path


def smooth(height, width, channels=3, seed=0):
    """The same for the same arguments, whichever tests ran before."""
    coarse = np.random.default_rng((height, width, channels, seed)).integers(
        0, 256, (height // 8 + 2, width // 8 + 2, channels)
    )
    big = Image.fromarray(coarse.astype(np.uint8).squeeze()).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(big)


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def run(*arguments):
    return main([*map(str, arguments)])


def test_a_picture_is_what_the_network_makes_of_it(tmp_path, network, capsys):
    pixels = smooth(37, 52)
    source = saved(tmp_path / "photo.png", pixels)
    assert run(source, "--network", network) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "photo_x2.png")
    loaded = load_network(network, choose_predictor("auto", "CPU"))
    expected = loaded.task.complete(loaded.predictor.predict(loaded.task.given(pixels)[None])[0], pixels)
    made = np.asarray(Image.open(tmp_path / "photo_x2.png"))
    np.testing.assert_array_equal(made, expected)
    assert np.abs(made.astype(int) - bicubic(pixels, 2)).max() > 0


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("colour", ["rgb", "luminance"])
def test_tiles_are_within_one_level_of_the_whole_picture(scale, colour, tmp_path):
    channels = 1 if colour == "luminance" else 3
    settings = f'{{"name": "super_resolution", "scale": {scale}, "colour": "{colour}"}}'
    spec = NetworkSpec(("S_1_4_8", "C_1_4_4"), 4, scale, "bicubic", channels, channels, settings)
    rng = np.random.default_rng(0)
    parameters = {
        name: (rng.standard_normal(shape) / 8).astype(np.float32) for name, shape in parameter_shapes(spec).items()
    }
    path = tmp_path / "net.ckpt"
    path.write_bytes(checkpoint_bytes(parameters, spec))
    loaded = load_network(path, choose_predictor("auto", "CPU"))
    down, right = np.linspace(0, 255, 181), np.linspace(0, 255, 202)
    gradient = np.stack(
        [np.add.outer(down, right) / 2, np.add.outer(down, -right) / 2 + 127, np.outer(down, right) / 255]
    )
    picture = gradient.transpose(1, 2, 0).round().astype(np.uint8)
    told = []
    tiled = enlarge(picture, loaded, 2, told.append, side=64)
    whole = enlarge(picture, loaded, 1)
    assert len(told) > 4
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_other_factors_are_repetition_and_a_last_resize(network):
    loaded = load_network(network, choose_predictor("auto", "CPU"))
    picture = smooth(20, 26)
    twice = enlarge(enlarge(picture, loaded), loaded)
    np.testing.assert_array_equal(enlarge(picture, loaded, scale=4), twice)
    told = []
    third = enlarge(picture, loaded, progress=told.append, scale=3)
    assert third.shape == (60, 78, 3)
    assert np.abs(third.astype(int) - bicubic(picture, 3)).mean() < 12
    assert told[-1] == pytest.approx(1)
    assert told == sorted(told)


def kinds(tmp_path):
    """Name, file, mode of the result, and how far it may lie from bicubic."""
    colour, grey = smooth(24, 31), smooth(24, 31, 1)
    alpha = np.full((24, 31), 255, np.uint8)
    alpha[:, :12] = 0
    yield "rgb.png", Image.fromarray(colour), {}, "RGB"
    yield "rgb.jpg", Image.fromarray(colour), {"quality": 95}, "RGB"
    yield "rgb.webp", Image.fromarray(colour), {"lossless": True}, "RGB"
    yield "rgb.tiff", Image.fromarray(colour), {}, "RGB"
    yield "rgb.bmp", Image.fromarray(colour), {}, "RGB"
    yield "grey.png", Image.fromarray(grey), {}, "L"
    yield "grey.jpg", Image.fromarray(grey), {}, "L"
    yield "deep.png", Image.fromarray(grey.astype(np.uint16) * 257), {}, "I;16"
    yield "bits.png", Image.fromarray(grey > 127), {}, "L"
    yield "palette.png", Image.fromarray(colour).quantize(64), {}, "RGB"
    yield "rgba.png", Image.fromarray(np.dstack([colour, alpha])), {}, "RGBA"
    yield "rgba.webp", Image.fromarray(np.dstack([colour, alpha])), {"lossless": True, "exact": True}, "RGBA"
    yield "la.png", Image.fromarray(np.dstack([grey, alpha])), {}, "LA"
    yield "cmyk.jpg", Image.fromarray(colour).convert("CMYK"), {}, "RGB"
    clear = Image.fromarray(colour).quantize(16)
    yield "clear.png", clear, {"transparency": 3}, "RGBA"


def test_every_kind_of_picture_keeps_its_mode_and_is_enlarged(tmp_path, network):
    for name, image, options, mode in kinds(tmp_path):
        source = tmp_path / name
        image.save(source, **options)
        target = tmp_path / "out" / name
        assert run(source, "--network", network, "-o", target) == 0, name
        with Image.open(target) as made:
            assert (made.mode, made.size) == (mode, (62, 48)), name
            with Image.open(source) as given:
                expected = bicubic(np.asarray(given.convert("RGB")), 2).astype(int)
            if given.mode.startswith("I"):
                continue
            seen = np.ones((48, 62), bool)
            if "A" in mode:
                seen = np.asarray(made.getchannel("A")) > 128
            difference = np.abs(np.asarray(made.convert("RGB")).astype(int) - expected)[seen]
            assert difference.mean() < 12, name


def test_what_lies_beside_the_colours_is_kept(tmp_path, network, capsys):
    image = Image.fromarray(smooth(16, 24))
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a cat", 6
    exif.get_ifd(0x8769).update({0x829A: 0.5, 0xA002: 24})
    profile = b"profile " * 20
    image.save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, dpi=(300, 300), quality=95)
    assert run(tmp_path / "a.jpg", "--network", network) == 0
    assert "turned as EXIF says" in capsys.readouterr().err
    with Image.open(tmp_path / "a_x2.jpg") as made:
        assert made.size == (32, 48), "turned by a quarter"
        assert made.info["icc_profile"] == profile
        assert tuple(map(round, made.info["dpi"])) == (300, 300)
        kept = made.getexif()
        assert (kept[0x010E], kept.get(0x0112, 1)) == ("a cat", 1)
        assert kept.get_ifd(0x8769).get(0x829A) == 0.5
        assert 0xA002 not in kept.get_ifd(0x8769), "the size of before"


def test_colours_that_nobody_sees_do_not_bleed():
    colour = np.zeros((6, 9, 3), np.uint8)
    colour[:, 5:] = (200, 100, 50)
    colour[:, :5] = (0, 255, 0)
    alpha = np.zeros((6, 9), np.uint8)
    alpha[:, 5:] = 255
    assert (unbled(colour, alpha) == (200, 100, 50)).all()
    np.testing.assert_array_equal(unbled(colour, np.full_like(alpha, 7)), colour)
    np.testing.assert_array_equal(unbled(colour, np.zeros_like(alpha)), colour)


def test_transparent_edges_show_no_hidden_colour(tmp_path, network):
    pixels = np.zeros((20, 24, 4), np.uint8)
    pixels[..., :3], pixels[:, :12, :3] = (220, 20, 20), (0, 255, 0)
    pixels[:, 12:, 3] = 255
    saved(tmp_path / "cut.png", pixels)
    assert run(tmp_path / "cut.png", "--network", network) == 0
    made = np.asarray(Image.open(tmp_path / "cut_x2.png"))
    seen = made[..., 3] > 0
    assert seen.mean() > 0.4
    assert made[..., 1][seen].max() < 80


def test_jpeg_says_that_transparency_is_lost(tmp_path, network, capsys):
    pixels = np.dstack([smooth(16, 16), np.full((16, 16), 90, np.uint8)])
    saved(tmp_path / "a.png", pixels)
    assert run(tmp_path / "a.png", "--network", network, "-o", tmp_path / "b.jpg") == 0
    assert "JPEG has no transparency: it is lost" in capsys.readouterr().err


def test_folders_and_patterns_and_one_bad_file_among_good_ones(tmp_path, network, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        saved(folder / name, smooth(12, 14))
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no picture")
    assert run(folder, "--network", network, "-o", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "2 of 4 pictures enlarged" in captured.out
    failures = [line for line in captured.err.splitlines() if line.startswith("failed:")]
    assert len(failures) == 2
    assert "bad.png" in failures[0]
    assert "empty.jpg: is empty" in failures[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert run(folder / "?.png", "--network", network, "-o", tmp_path / "two") == 0
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["a.png", "b.png"]


def test_compare_splits_the_picture(tmp_path, network):
    pixels = smooth(12, 16)
    saved(tmp_path / "a.png", pixels)
    assert run(tmp_path / "a.png", "--network", network, "--compare") == 0
    split = np.asarray(Image.open(tmp_path / "a_x2_compare.png"))
    np.testing.assert_array_equal(split[:, :14], bicubic(pixels, 2)[:, :14])
    np.testing.assert_array_equal(split[:, 18:], np.asarray(Image.open(tmp_path / "a_x2.png"))[:, 18:])
    assert (split[:, 16] == 255).all()
    # A comparison is a result too: it is not replaced unasked.
    (tmp_path / "a_x2.png").unlink()
    assert run(tmp_path / "a.png", "--network", network, "--compare") == 2
    assert not (tmp_path / "a_x2.png").exists()


def test_what_is_wrong_is_one_line(tmp_path, network, capsys):
    def refused(*arguments):
        assert run(*arguments) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        return line

    source = saved(tmp_path / "a.png", smooth(12, 12))
    with_network = ("--network", network)
    assert "no such checkpoint" in refused(source, "--network", tmp_path / "none.ckpt")
    assert "none.png: there is no such file" in refused(tmp_path / "none.png", *with_network)
    assert "matches no pictures" in refused(tmp_path / "*.bmp", *with_network)
    (tmp_path / "hollow").mkdir()
    assert "holds no pictures" in refused(tmp_path / "hollow", *with_network)
    (tmp_path / "text.png").write_text("no picture")
    assert "text.png: is no picture" in refused(tmp_path / "text.png", *with_network)
    (tmp_path / "zero.png").touch()
    assert "zero.png: is empty" in refused(tmp_path / "zero.png", *with_network)
    frames = [Image.fromarray(smooth(12, 12, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    assert "moving.webp: has 3 frames; --first-frame" in refused(tmp_path / "moving.webp", *with_network)
    assert run(tmp_path / "moving.webp", *with_network, "--first-frame") == 0
    assert "is there already; --force" in refused(tmp_path / "moving.webp", *with_network, "--first-frame")
    assert run(tmp_path / "moving.webp", *with_network, "--first-frame", "--force") == 0
    assert "is no format that is written" in refused(source, *with_network, "-o", tmp_path / "a.xyz")
    assert "its own result" in refused(source, *with_network, "-o", source, "--force")
    assert "must be 1 or more" in refused(source, *with_network, "--scale", "0")
    twin = tmp_path / "twin"
    twin.mkdir()
    saved(twin / "a.png", smooth(12, 12))
    assert "both would be written to" in refused(source, twin / "a.png", *with_network, "-o", tmp_path / "out")
    assert "there are 2 pictures; give a folder" in refused(source, network, *with_network, "-o", twin / "a.png")
    (tmp_path / "file").touch()
    assert "cannot be made" in refused(source, *with_network, "-o", tmp_path / "file" / "b.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_an_interruption_leaves_no_half_file(tmp_path, network, monkeypatch, ending):
    source = saved(tmp_path / "a.png", smooth(30, 30))
    writer = write_module._Fitted.write
    written = []

    def interrupt(self, band):
        writer(self, band)
        written.append(len(band))
        raise KeyboardInterrupt

    monkeypatch.setattr(write_module._Fitted, "write", interrupt)
    assert run(source, "--network", network, "-o", tmp_path / "out" / f"a.{ending}") == 130
    assert written == [60]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_network_that_diverged_makes_no_picture(tmp_path, capsys):
    path = tmp_path / "net.ckpt"
    shapes = parameter_shapes(SPEC)
    path.write_bytes(
        checkpoint_bytes({name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}, SPEC)
    )
    assert run(saved(tmp_path / "a.png", smooth(12, 12)), "--network", path) == 2
    assert "the network made no picture of it" in capsys.readouterr().err
    assert not (tmp_path / "a_x2.png").exists()


def test_plain_kernels_enlarge_too(tmp_path, network):
    source = saved(tmp_path / "a.png", smooth(20, 24))
    made = []
    for kernels in ("auto", "plain"):
        assert run(source, "--network", network, "--kernels", kernels, "-o", tmp_path / f"{kernels}.png") == 0
        made.append(np.asarray(Image.open(tmp_path / f"{kernels}.png")).astype(int))
    assert np.abs(made[0] - made[1]).max() <= 1


def test_networks_are_found_in_run_folders_too(tmp_path, capsys):
    for name in ("a", "b"):
        make_checkpoint(tmp_path / f"{name}.ckpt")
    source = saved(tmp_path / "p.png", smooth(12, 12))
    assert run(source, "--network", tmp_path) == 2
    assert "has 2 networks; give one of them" in capsys.readouterr().err


def test_a_network_against_noise_keeps_the_size(tmp_path, capsys):
    given = check_config(
        {"task": {"name": "denoising"}, "data": {"hr": "unused"}, "space": {"base_channels": 8}}, "test"
    )
    spec = network_spec(("S_1_4_8", "C_1_4_4"), given)
    parameters = initial_parameters(parameter_shapes(spec), 1, True)
    path = tmp_path / "net.ckpt"
    path.write_bytes(checkpoint_bytes(parameters, spec))
    pixels = smooth(19, 27)
    # It is its skip still: nothing is changed.
    assert run(saved(tmp_path / "a.png", pixels), "--network", path, "-o", tmp_path / "b.png") == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)
    assert run(tmp_path / "a.png", "--network", path, "-o", tmp_path / "c.png", "--scale", "2") == 2
    assert "keeps the size of pictures" in capsys.readouterr().err
    with pytest.raises(ValueError, match="keeps the size of pictures: no scale 2"):
        enlarge(pixels, load_network(path, choose_predictor("auto", "CPU")), scale=2)


def test_a_network_of_a_later_version_is_named_in_one_line(tmp_path, capsys):
    parameters = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(SPEC).items()}
    source = saved(tmp_path / "a.png", smooth(8, 8))
    path = tmp_path / "net.ckpt"
    path.write_bytes(checkpoint_bytes(parameters, replace(SPEC, task='{"name": "colouring"}')))
    assert run(source, "--network", path) == 2
    assert "is for a task that this version of esr_ray does not know" in capsys.readouterr().err

    class Later:
        def to_json(self):
            return SPEC.to_json()[:-1] + ', "later": 1}'

    path.write_bytes(checkpoint_bytes(parameters, Later()))
    assert run(source, "--network", path) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "names a network that this version of esr_ray does not know" in line
