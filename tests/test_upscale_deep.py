"""`esr_ray.upscale`: pictures of 16 bits, and what lies beside the pixels in every format."""

import random

import numpy as np
import PIL
import pytest
import tifffile
from PIL import Image
from test_upscale import SPEC, network, run, saved, smooth  # noqa: F401

from esr_ray.data.resize import upscale as bicubic
from esr_ray.inference.enlarge import enlarge
from esr_ray.inference.load import load_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.upscale.picture import Kept, open_picture
from esr_ray.upscale.png import PngWriter
from esr_ray.upscale.write import writing

PROFILE = b"profile " * 20


def deep(height, width, channels):
    """Smooth, with values between those of 8 bits."""
    fine = np.random.default_rng(1).integers(0, 257, (height, width, channels))
    return (
        (smooth(height, width, channels).reshape(height, width, channels) * 256.0 + fine)
        .clip(0, 65535)
        .astype(np.uint16)
    )


def deep_png(path, pixels, **beside):
    with path.open("wb") as file:
        writer = PngWriter(file, pixels.shape[1], pixels.shape[0], pixels.shape[2], True, **beside)
        writer.write(pixels)
        writer.close()
    return path


def deep_tiff(path, pixels, **options):
    if pixels.shape[2] in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    kind = "rgb" if pixels.shape[2] > 2 else "minisblack"
    tifffile.imwrite(
        path, pixels if pixels.shape[2] > 1 else pixels[..., 0], photometric=kind, metadata=None, **options
    )
    return path


def all_bits(path):
    """The pixels of a file, (h, w, channels), of TIFF as another library reads it."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            found = file.pages[0].asarray()
        return found.reshape(*found.shape[:2], -1)
    with open_picture(path) as opened:
        rows = opened.rows()
        return rows.read(0, rows.height)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_are_read_and_written(channels, tmp_path):
    pixels = deep(33, 41, channels)
    np.testing.assert_array_equal(all_bits(deep_png(tmp_path / "a.png", pixels)), pixels)
    with Image.open(tmp_path / "a.png") as image:
        # Pillow's own reading has the upper bytes of colours, by whatever filters the rows have.
        upper = np.asarray(image)
    expected = pixels[..., 0] if channels == 1 else (pixels[..., [0, 0, 0, 1]] if channels == 2 else pixels) >> 8
    np.testing.assert_array_equal(upper, expected)
    with (
        open_picture(tmp_path / "a.png") as opened,
        writing(tmp_path / "b.tif", "TIFF", opened.rows(), Kept()) as writer,
    ):
        writer.write(pixels[:20])
        writer.write(pixels[20:])
        writer.close()
    np.testing.assert_array_equal(all_bits(tmp_path / "b.tif"), pixels)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"byteorder": ">"}])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiffs_of_sixteen_bits_are_read(channels, options, tmp_path):
    pixels = deep(20, 31, channels)
    path = deep_tiff(tmp_path / "a.tif", pixels, **options)
    with open_picture(path) as opened:
        assert opened.notes == ()
        np.testing.assert_array_equal(opened.rows().read(3, 17), pixels[3:17])


@pytest.mark.parametrize(("channels", "kind"), [(1, "png"), (2, "png"), (3, "png"), (4, "png"), (3, "tif"), (4, "tif")])
def test_a_picture_of_sixteen_bits_is_enlarged_with_them(channels, kind, tmp_path, network):  # noqa: F811
    pixels = deep(24, 30, channels)
    if channels in (2, 4):
        # What is transparent at 8 bits alone would be given other colours there.
        pixels[..., -1] |= 0x4000
    source = (deep_png if kind == "png" else deep_tiff)(tmp_path / f"a.{kind}", pixels)
    assert run(source, "--network", network) == 0
    made = all_bits(tmp_path / f"a_x2.{kind}")
    loaded = load_network(network, choose_predictor("auto", "CPU"))
    assert made.dtype == np.uint16
    assert made.shape == (48, 60, channels)
    assert len(np.unique(made)) > 1000, "more than 8 bits have"
    eight = enlarge(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8), loaded)
    assert np.abs(made / 257 - eight).max() < 4
    if channels == 3:
        task = loaded.task
        expected = 65535 * loaded.predictor.predict(task.given(pixels)[None])[0].transpose(1, 2, 0)
        assert np.abs(made - expected.clip(0, 65535)).max() < 1


def test_sixteen_bits_are_kept_through_repetition_the_last_resize_and_comparison(tmp_path, network):  # noqa: F811
    pixels = deep(20, 26, 3)
    deep_png(tmp_path / "a.png", pixels)
    assert run(tmp_path / "a.png", "--network", network, "--scale", 3, "--compare") == 0
    made = all_bits(tmp_path / "a_x3.png")
    assert (made.shape, made.dtype) == ((60, 78, 3), np.uint16)
    assert np.abs(made.astype(int) - bicubic(pixels, 3)).mean() < 12 * 257
    split = all_bits(tmp_path / "a_x3_compare.png")
    np.testing.assert_array_equal(split[:, :36], bicubic(pixels, 3)[:, :36])
    np.testing.assert_array_equal(split[:, 42:], made[:, 42:])


def test_formats_of_eight_bits_say_what_they_lose(tmp_path, network, capsys):  # noqa: F811
    deep_png(tmp_path / "a.png", deep(16, 16, 3))
    for ending in ("jpg", "webp", "bmp"):
        assert run(tmp_path / "a.png", "--network", network, "-o", tmp_path / f"b.{ending}") == 0
        assert "has 8 bits: the 16 bits are reduced" in capsys.readouterr().err
        with Image.open(tmp_path / f"b.{ending}") as made:
            assert made.size == (32, 32)


def test_colours_in_planes_of_sixteen_bits_are_refused(tmp_path, network, capsys):  # noqa: F811
    pixels = deep(12, 13, 3).transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    assert run(tmp_path / "a.tif", "--network", network) == 2
    assert "holds colours of 16 bits in planes" in capsys.readouterr().err


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(orientation, depth, tmp_path):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = smooth(11, 17)
    saved(tmp_path / "a.png", pixels, exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    if depth == 16:
        deep_png(tmp_path / "a.png", 257 * pixels.astype(np.uint16), exif=exif.tobytes())
        expected = 257 * expected.astype(np.uint16)
    with open_picture(tmp_path / "a.png") as opened:
        rows = opened.rows()
        np.testing.assert_array_equal(rows.read(0, rows.height), expected)
        np.testing.assert_array_equal(rows.read(2, 5), expected[2:5])
        assert ("turned as EXIF says" in opened.notes) == (orientation > 1)
    with open_picture(tmp_path / "a.png", mosaic=True) as opened:
        assert opened.rows().height == 11, "a mosaic is not turned"
    if depth == 8:
        saved(tmp_path / "a.tif", pixels, exif=exif)
        saved(tmp_path / "grey.tif", pixels[..., 0], exif=exif)
        for name, values in (("a.tif", expected), ("grey.tif", expected[..., :1])):
            with open_picture(tmp_path / name) as opened:
                np.testing.assert_array_equal(opened.rows().read(0, opened.rows().height), values)
                assert ("turned as EXIF says" in opened.notes) == (orientation > 1)


def with_beside(path, depth, dpi):
    """A picture with a profile, EXIF and a resolution, as far as its format has them."""
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    exif.get_ifd(0x8769).update({0x829A: 0.5})
    if depth == 16 and path.suffix == ".png":
        return deep_png(path, deep(12, 15, 3), icc=PROFILE, exif=exif.tobytes(), dpi=(dpi, dpi))
    if depth == 16:
        return deep_tiff(
            path, deep(12, 15, 3), iccprofile=PROFILE, resolution=(dpi, dpi), resolutionunit=2, description="a cat"
        )
    options = {"dpi": (dpi, dpi)}
    if path.suffix == ".webp":
        exif[0x011A], exif[0x011B], exif[0x0128] = dpi / 2.54, dpi / 2.54, 3
        options = {"lossless": True}
    if path.suffix != ".bmp":
        options |= {"exif": exif, "icc_profile": PROFILE}
    return saved(path, smooth(12, 15), **options)


@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize(
    ("source", "depth"), [(".png", 8), (".jpg", 8), (".webp", 8), (".tif", 8), (".bmp", 8), (".png", 16), (".tif", 16)]
)
def test_profile_exif_and_resolution_go_from_every_format_to_every_other(source, depth, target, tmp_path, network):  # noqa: F811
    given = with_beside(tmp_path / f"a{source}", depth, 300)
    made = tmp_path / f"b{target}"
    assert run(given, "--network", network, "-o", made) == 0
    with open_picture(made) as opened:
        assert opened.kept.dpi == pytest.approx((300, 300), rel=1e-3)
        if ".bmp" in (source, target):
            return
        assert opened.kept.icc == PROFILE
        assert opened.kept.exif[0x010E] == "a cat"
        # What makes the TIFF of this test leaves that part out.
        if source != ".tif":
            assert opened.kept.exif.get_ifd(0x8769)[0x829A] == 0.5


def test_a_resolution_that_differs_by_direction_is_kept(tmp_path, network):  # noqa: F811
    saved(tmp_path / "a.png", smooth(12, 12), dpi=(100, 200))
    for ending in ("png", "jpg", "webp", "tif", "bmp"):
        assert run(tmp_path / "a.png", "--network", network, "-o", tmp_path / f"b.{ending}") == 0
        with open_picture(tmp_path / f"b.{ending}") as opened:
            assert opened.kept.dpi == pytest.approx((100, 200), rel=1e-2), ending


ENDINGS = {
    ".png": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "LA16", "RGB16", "RGBA16"),
    ".jpg": ("L", "RGB", "CMYK", "YCbCr"),
    ".webp": ("RGB", "RGBA"),
    ".tif": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "RGB16", "RGBA16"),
    ".bmp": ("1", "L", "P", "RGB"),
}
OLD_PILLOW = int(PIL.__version__.split(".")[0]) < 13
"""Of YCbCr in a TIFF that is not compressed it takes three values a pixel for four (12 is the last for Python 3.10)."""
MADE = {"1": 1, "L": 1, "LA": 2, "P": 3, "PA": 4, "RGBA": 4, "I;16": 1, "LA16": 2, "RGBA16": 4}
"""Channels of the result; else 3."""


def write_random(chosen, path, mode, height, width):
    """Write a picture; its EXIF orientation."""
    channels = {"I;16": 1, "LA16": 2, "RGBA16": 4}.get(mode, 3)
    rng = np.random.default_rng(chosen.randrange(2**32))
    if "16" in mode:
        pixels = rng.integers(0, 65536, (height, width, channels), np.uint16)
        (deep_png if path.suffix == ".png" else deep_tiff)(path, pixels)
        return 1
    image = Image.fromarray(rng.integers(0, 256, (height, width, 4), np.uint8))
    options, orientation = {}, 1
    if mode in ("P", "PA"):
        image = image.convert("RGB").quantize(chosen.choice([2, 16, 200]))
        if mode == "PA":
            options["transparency"] = 0
    else:
        # Pillow makes these of RGB alone.
        image = (image.convert("RGB") if mode in ("CMYK", "YCbCr") else image).convert(mode)
    if chosen.random() < 0.5 and path.suffix != ".webp":
        options["dpi"] = (chosen.choice([1, 72, 1200]),) * 2
    if chosen.random() < 0.5 and path.suffix != ".bmp":
        options["icc_profile"] = PROFILE
    if chosen.random() < 0.5 and path.suffix != ".bmp":
        exif = Image.Exif()
        exif[0x0112] = orientation = chosen.randint(1, 8)
        exif[0x010E] = "a cat"
        options["exif"] = exif
    if OLD_PILLOW and mode == "YCbCr" and path.suffix == ".tif":
        options["compression"] = "tiff_lzw"
    image.save(path, **options)
    return orientation


def test_three_hundred_pictures_of_all_kinds_go_through(tmp_path, network, capsys):  # noqa: F811
    chosen = random.Random(0)
    folder = tmp_path / "many"
    folder.mkdir()
    expected = {}
    for index in range(300):
        ending = chosen.choice(list(ENDINGS))
        mode = chosen.choice(ENDINGS[ending])
        name = f"p{index:03d}{ending}"
        height, width = (chosen.choice([1, 2, chosen.randint(1, 40)]) for _ in range(2))
        turned = write_random(chosen, folder / name, mode, height, width)
        if turned >= 5:
            height, width = width, height
        expected[name] = (2 * height, 2 * width, MADE.get(mode, 3)), "16" in mode
    assert len({(mode, ending) for ending, modes in ENDINGS.items() for mode in modes}) == 32
    assert run(folder, "--network", network, "-o", tmp_path / "out") == 0
    assert "300 of 300 pictures enlarged" in capsys.readouterr().out
    for name, (shape, is_deep) in expected.items():
        path = tmp_path / "out" / name
        made = all_bits(path) if is_deep or path.suffix != ".tif" else np.asarray(Image.open(path))
        found = made.reshape(*made.shape[:2], -1)
        assert (found.shape, found.dtype == np.uint16) == (shape, is_deep), name
