"""Reading pictures: every format becomes 8-bit RGB, conversions are said, and damaged files are named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from esr_ray.data.images import read_picture, read_size
from esr_ray.errors import UserError
from esr_ray.picture_files import list_pictures

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def saved(tmp_path, image, name="picture.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path):
    picture = read_picture(saved(tmp_path, Image.fromarray(RGB)))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.pixels.dtype == np.uint8
    assert picture.note is None


def test_grey_is_converted_and_said(tmp_path):
    picture = read_picture(saved(tmp_path, Image.fromarray(RGB[..., 0])))
    np.testing.assert_array_equal(picture.pixels, np.repeat(RGB[..., :1], 3, axis=2))
    assert picture.note == "grey, converted to RGB"


def test_alpha_is_dropped_without_touching_colours_and_said(tmp_path):
    alpha = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    picture = read_picture(saved(tmp_path, Image.fromarray(alpha)))
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.note == "alpha dropped"


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK"])
def test_other_modes_are_converted_and_said(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    picture = read_picture(saved(tmp_path, image, "picture.tif" if mode == "CMYK" else "picture.png"))
    assert picture.pixels.shape == (10, 14, 3)
    assert "converted to RGB" in picture.note


def test_transparent_palette_keeps_its_colours(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    picture = read_picture(saved(tmp_path, image, transparency=1))
    assert (picture.pixels == [10, 200, 30]).all()
    assert picture.note == "palette, converted to RGB; alpha dropped"


def test_16_bit_is_reduced_to_the_nearest_8_bit_level_and_said(tmp_path):
    deep = np.array([[0, 128, 129, 257, 40000, 65535]], np.uint16)
    picture = read_picture(saved(tmp_path, Image.fromarray(deep)))
    assert picture.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 156, 255]
    assert "16 bit" in picture.note


def test_16_bit_colour_is_said(tmp_path):
    # Pillow cannot write 16-bit RGB: the PNG is put together by hand.
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = RGB.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in (RGB.astype(">u2") * 257).astype(">u2"))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    path = tmp_path / "deep.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.note == "16 bit, reduced to 8"


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(RGB), f"turned.{kind}", exif=exif)
    picture = read_picture(path)
    assert picture.pixels.shape == (14, 10, 3)
    assert read_size(path) == (14, 10)
    assert "EXIF" in picture.note


def test_truncated_picture_is_named(tmp_path):
    big = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "b.jpg", "c.bmp"):
        path = saved(tmp_path, Image.fromarray(big), name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UserError, match=name):
            read_picture(path)


def test_damaged_picture_is_named(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB), "damaged.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.png"):
        read_picture(path)


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_not_a_picture_is_named(tmp_path, content):
    path = tmp_path / "text.png"
    path.write_bytes(content)
    for read in (read_picture, read_size):
        with pytest.raises(UserError, match=r"text\.png.*not a picture"):
            read(path)
    with pytest.raises(UserError, match="no such file"):
        read_picture(tmp_path / "missing.png")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PCX", "ICO"])
def test_formats_that_are_not_ours_are_not_opened_under_another_name(tmp_path, monkeypatch, kind):
    """To read EPS Pillow starts Ghostscript, which runs what is in the file."""
    path = tmp_path / "picture.png"
    if kind == "EPS":
        path.write_bytes(EPS)
    else:
        # Icons of all versions of Pillow are no smaller.
        Image.fromarray(RGB).resize((32, 32)).save(path, kind)
    # It is a picture that Pillow knows.
    with Image.open(path) as image:
        assert image.format == kind
    monkeypatch.setattr("subprocess.check_call", lambda *given, **keys: pytest.fail("a program was started"))
    for read in (read_picture, read_size):
        with pytest.raises(UserError, match=r"picture\.png: not a picture that Pillow can read"):
            read(path)


def test_floating_point_pictures_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.zeros((4, 4), np.float32)), "floats.tif")
    with pytest.raises(UserError, match=r"floats\.tif.*floating-point"):
        read_picture(path)


def test_pictures_are_listed_by_name_without_hidden_and_other_files(tmp_path):
    for name in ("b.png", "a.JPG", "c.tiff", "._a.png", "readme.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.JPG", "b.png", "c.tiff"]


def test_missing_and_empty_folders_and_files_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        list_pictures(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no pictures"):
        list_pictures(tmp_path)
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(UserError, match="not a folder"):
        list_pictures(tmp_path / "file.png")
