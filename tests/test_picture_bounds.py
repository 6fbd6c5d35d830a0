"""Pictures that are meant to take all memory are refused by their heads; those that are only large are not."""

import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esr_ray import picture_files
from esr_ray.data.images import read_picture, read_size
from esr_ray.errors import UserError
from esr_ray.upscale.picture import open_picture

TRUE_COLOUR = 2


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(path, width, height, bits=8, rows=b"", end=b""):
    """A PNG of RGB whose head says so many pixels, whatever `rows` (compressed) there are."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, TRUE_COLOUR, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + (chunk(b"IDAT", rows) if rows else b"") + end)
    return path


def black(width, height, bits=8):
    """The rows of a black picture, compressed as far as it goes."""
    compress = zlib.compressobj(9)
    row = bytes(1 + width * 3 * bits // 8)
    return b"".join(compress.compress(row) for _ in range(height)) + compress.flush()


def opened(path):
    with open_picture(path):
        pass


READERS = pytest.mark.parametrize("read", [read_picture, read_size, opened])


@READERS
@pytest.mark.parametrize(
    ("width", "height", "bits", "what"),
    [
        (13_000, 13_000, 8, "has 13,000 x 13,000 pixels in 0 KB, as no photograph has"),
        (6_000, 6_000, 16, "has 6,000 x 6,000 pixels in 0 KB, as no photograph has"),
        (2_000_000_000, 2_000_000_000, 8, "has 4,000,000,000,000 million pixels, and 179 million are the most"),
        (100_000, 100_000, 8, "has 10,000 million pixels, and 179 million are the most that are decoded"),
    ],
)
def test_a_head_that_promises_far_more_than_the_file_has_is_refused_with_what_it_says(
    tmp_path, read, width, height, bits, what
):
    path = png(tmp_path / "bomb.png", width, height, bits, black(10, 10))
    with pytest.raises(UserError) as caught:
        read(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: {what}")
    assert "cut it into parts" in told
    assert "\n" not in told


CODE = """
import sys
from pathlib import Path
from test_picture_bounds import opened, read_picture, UserError
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
try:
    (opened if sys.argv[1] == "opened" else read_picture)(Path(sys.argv[2]))
except UserError as error:
    print(error)
print(peak() - before)
"""


@pytest.mark.parametrize("read", ["opened", "read_picture"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_what_is_refused_has_taken_no_memory(tmp_path, read, kind):
    """Half a megabyte of PNG took 2.3 GB."""
    path = tmp_path / f"bomb.{kind.lower()}"
    if kind == "PNG":
        png(path, 13_000, 13_000, rows=black(13_000, 13_000), end=chunk(b"IEND", b""))
    else:
        Image.new("RGB", (8, 8)).save(path, kind)
        content = bytearray(path.read_bytes())
        if kind == "WEBP":
            # Fourteen bits each of a frame of VP8, at their greatest.
            place = content.index(b"\x9d\x01\x2a") + 3
            content[place : place + 4] = struct.pack("<HH", 16_383, 16_383)
        elif kind == "BMP":
            content[18:26] = struct.pack("<ii", 13_000, 13_000)
        else:
            content = content.replace(struct.pack("<HHII", 256, 4, 1, 8), struct.pack("<HHII", 256, 4, 1, 13_000))
            content = content.replace(struct.pack("<HHII", 257, 4, 1, 8), struct.pack("<HHII", 257, 4, 1, 13_000))
        path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", CODE, read, str(path)],
        env={"PYTHONPATH": f"{sys.path[0]}:{':'.join(sys.path[1:])}"},
        capture_output=True,
        text=True,
        check=True,
    )
    told, taken = done.stdout.splitlines()
    assert told.startswith(f"{path}: has ")
    # In kilobytes.
    assert int(taken) < 50_000


@READERS
def test_a_large_picture_is_one_that_its_file_is_large_for(tmp_path, monkeypatch, read):
    monkeypatch.setattr(picture_files, "PLAIN_PIXELS", 1000)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    read(tmp_path / "noise.png")
    Image.new("RGB", (80, 60)).save(tmp_path / "black.png")
    with pytest.raises(UserError, match=r"black\.png: has 80 x 60 pixels in 0 KB"):
        read(tmp_path / "black.png")


@pytest.fixture
def little_memory():
    """A quarter of a gigabyte beyond what the process has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 28), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@READERS
def test_no_more_is_read_than_there_is(tmp_path, little_memory, read):
    """A part of a PNG may say that it has gigabytes, for which Python makes room before it reads."""
    path = png(tmp_path / "long.png", 10, 10, rows=black(10, 10))
    content = path.read_bytes()
    place = content.index(b"IDAT") - 4
    path.write_bytes(content[:place] + struct.pack(">I", 2**31 - 1) + content[place + 4 :])
    # Some readers have all rows then, and some miss the end; none asks for the memory, which is not there.
    told = []
    try:
        read(path)
    except UserError as error:
        told.append(str(error))
    assert all(one.startswith(f"{path}: ") for one in told)


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9, 65535])
def test_a_size_is_that_of_the_decoded_picture_whatever_its_orientation_says(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{kind}"
    Image.new("RGB", (14, 10)).save(path, exif=exif)
    assert read_size(path) == read_picture(path).pixels.shape[:2]


def test_an_orientation_that_is_a_text_turns_nothing(tmp_path):
    path = tmp_path / "text.png"
    entry = struct.pack("<HHI4s", 0x0112, 2, 4, b"six")
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + entry + bytes(4)
    Image.new("RGB", (14, 10)).save(path, exif=exif)
    assert read_size(path) == read_picture(path).pixels.shape[:2] == (10, 14)
    opened(path)


def test_what_pillow_warns_of_is_not_shown(tmp_path, recwarn, monkeypatch):
    """Such as that a picture is large: it warns of more than this, and refuses twice as many."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / "a.tif"
    Image.new("RGB", (14, 10)).save(path)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(path).close()
    recwarn.clear()
    read_picture(path)
    opened(path)
    assert not recwarn.list
