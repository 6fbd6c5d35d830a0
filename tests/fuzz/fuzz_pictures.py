"""Files of pictures: every field of the heads of their formats made extreme, with checksums put right; damage; cuts."""

import io
import struct
import zlib
from functools import cache

import numpy as np
from fuzzing import Kind
from mutations import of_bytes, of_field
from PIL import Image

from esr_ray.data.images import read_picture, read_size
from esr_ray.inference.rows import bands_of
from esr_ray.upscale.picture import open_picture
from esr_ray.upscale.png import PngWriter

LEVELS = np.random.default_rng(0).integers(0, 256, (11, 13, 4), np.uint8)
RGB = Image.fromarray(LEVELS[..., :3])
RGBA = Image.fromarray(LEVELS)
GREY = Image.fromarray(LEVELS[..., 0])
DEEP = Image.fromarray(LEVELS[..., 0].astype(np.uint16) * 257)
INFO = Image.Exif()
INFO[0x0112], INFO[0x010E] = 6, "a picture"
PNG = b"\x89PNG\r\n\x1a\n"


def saved(image, kind, **keys):
    file = io.BytesIO()
    image.save(file, kind, **keys)
    return file.getvalue()


def deep_png(channels):
    file = io.BytesIO()
    writer = PngWriter(file, 13, 11, channels, True, b"profile" * 9, INFO.tobytes(), (300, 300))
    writer.write(LEVELS[..., :channels].astype(np.uint16) * 257)
    writer.close()
    return file.getvalue()


@cache
def files():
    """Whole files of every format, and the places of numbers in each: offset, bytes, order."""
    made = [
        *(saved(one, "PNG", exif=INFO, dpi=(72, 72)) for one in (RGB, RGBA, GREY, DEEP, GREY.convert("1"))),
        saved(RGB.quantize(16), "PNG", transparency=3),
        *(deep_png(channels) for channels in (1, 2, 3, 4)),
        saved(RGB, "JPEG", exif=INFO, icc_profile=b"profile" * 9, comment="x"),
        saved(RGB, "JPEG", progressive=True, subsampling=0),
        *(saved(one, "JPEG", dpi=(72, 72)) for one in (GREY, RGB.convert("CMYK"))),
        *(
            saved(one, "TIFF", compression=kind, exif=INFO)
            for one, kind in (
                *((RGB, kind) for kind in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
                *((one, None) for one in (GREY, DEEP, RGBA, RGB.convert("CMYK"), GREY.convert("F"), GREY.convert("I"))),
                (GREY.convert("1"), "group4"),
                (RGB.quantize(16), "tiff_lzw"),
                (DEEP, "tiff_adobe_deflate"),
            )
        ),
        deep_tiff(),
        saved(RGB, "TIFF", save_all=True, append_images=[GREY]),
        *(saved(one, "BMP", dpi=(72, 72)) for one in (RGB, GREY, RGBA, GREY.convert("1"), RGB.quantize(16))),
        run_lengths(),
        *(saved(one, "WEBP", exif=INFO, lossless=kind) for one in (RGB, RGBA) for kind in (True, False)),
        saved(RGB, "WEBP"),
        saved(RGB, "WEBP", save_all=True, append_images=[RGBA]),
        saved(RGB, "GIF", save_all=True, append_images=[GREY]),
        *(saved(one, "PPM") for one in (RGB, GREY, DEEP, GREY.convert("1"))),
        b"P3\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11 12\n",
    ]
    return [(content, fields(content)) for content in made]


def deep_tiff():
    """Colours of 16 bits, as Pillow cannot write them: a head, and the pixels behind it."""
    tags = [(256, 4, 13), (257, 4, 11), (258, 3, 16), (259, 3, 1), (262, 3, 2), (277, 3, 3), (278, 4, 11), (284, 3, 1)]
    tags += [(273, 4, 200), (279, 4, 11 * 13 * 6)]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags)) + bytes(4)
    # All samples have as many bits, so one number stands for them.
    return head.ljust(200, b"\0") + (LEVELS[..., :3].astype("<u2") * 257).tobytes()


def run_lengths():
    """A BMP whose rows are run lengths."""
    plain = bytearray(saved(GREY, "BMP"))
    start = struct.unpack_from("<I", plain, 10)[0]
    rows = b"".join(bytes([13, 5 * row, 0, 0]) for row in range(11)) + b"\0\1"
    struct.pack_into("<I", plain, 30, 1)
    return bytes(plain[:start]) + rows


def fields(content):
    """Of the heads: where each number is, how many bytes it has, and their order."""
    if content.startswith(PNG):
        return [
            (place + within, size, "big")
            for place, length in chunks(content)
            for within, size in ((0, 4), (4, 4), *_parts(content[place + 4 : place + 8], length))
        ]
    if content.startswith(b"\xff\xd8"):
        return _of_jpeg(content)
    if content[:2] in (b"II", b"MM"):
        return _of_tiff(content)
    if content.startswith(b"BM"):
        pairs = [(26, 2), (28, 2), *((place, 4) for place in (2, 10, 14, 18, 22, *range(30, 14 + content[14], 4)))]
        return [(place, size, "little") for place, size in pairs]
    if content.startswith(b"RIFF"):
        found, place = [(4, 4, "little")], 12
        while place + 8 <= len(content):
            length = struct.unpack_from("<I", content, place + 4)[0]
            found += [(place, 4, "little"), (place + 4, 4, "little")]
            found += [(place + 8 + one, size, "little") for one in range(min(length, 18)) for size in (1, 2, 3)]
            place += 8 + length + length % 2
        return [one for one in found if one[0] + one[1] <= len(content)]
    if content.startswith(b"GIF"):
        return [(6, 2, "little"), (8, 2, "little"), *((place, 1, "little") for place in (10, 11, 12))]
    return [(place, 1, "little") for place in range(15)]


def chunks(content):
    """Of a PNG: where each chunk begins, and how many bytes are in it."""
    place = len(PNG)
    while place + 12 <= len(content):
        length = struct.unpack_from(">I", content, place)[0]
        yield place, length
        place += 12 + length


def _parts(kind, length):
    if kind == b"IHDR":
        return [(8, 4), (12, 4), *((place, 1) for place in range(16, 21))]
    return [(8 + place, size) for place in range(min(length, 16)) for size in (1, 4) if place + size <= length]


def _of_jpeg(content):
    found, place = [], 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        length = struct.unpack_from(">H", content, place + 2)[0]
        found += [(place + 1, 1, "big"), (place + 2, 2, "big")]
        found += [(place + 4 + one, size, "big") for one in range(min(length - 2, 20)) for size in (1, 2)]
        if content[place + 1] == 0xDA:
            break
        place += 2 + length
    return found


def _of_tiff(content):
    order, sign = ("little", "<") if content[:2] == b"II" else ("big", ">")
    found, place, seen = [(2, 2, order), (4, 4, order)], struct.unpack_from(sign + "I", content, 4)[0], set()
    while place and place not in seen and place + 2 <= len(content):
        seen.add(place)
        count = struct.unpack_from(sign + "H", content, place)[0]
        found.append((place, 2, order))
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            found += [(entry, 2, order), (entry + 2, 2, order), (entry + 4, 4, order), (entry + 8, 4, order)]
            value = struct.unpack_from(sign + "I", content, entry + 8)[0]
            if value + 4 < len(content):
                found += [(value, 2, order), (value, 4, order)]
        (place,) = struct.unpack_from(sign + "I", content, place + 2 + 12 * count)
    return found


def make(random):
    content, places = random.choice(files())
    kind = random.random()
    if kind < 0.1:
        return content[: random.randrange(len(content))]
    if kind < 0.3:
        changed = of_bytes(random, content)
    else:
        changed = content
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            changed = of_field(random, changed, *random.choice(places))
    return repaired(changed) if content.startswith(PNG) and random.random() < 0.9 else changed


def repaired(content):
    """A PNG with checksums that are right."""
    changed = bytearray(content)
    for place, length in chunks(content):
        checksum = zlib.crc32(content[place + 4 : place + 8 + length])
        changed[place + 8 + length : place + 12 + length] = struct.pack(">I", checksum)
    return bytes(changed)


def read(given, place):
    place.write_bytes(given)
    raised = []
    for look in (_upscaled, _sized, _trained_on):
        try:
            look(place)
        except Exception as error:
            raised.append(error)
    # The first that is no clean error, if there is one.
    for error in sorted(raised, key=lambda one: type(one).__name__ == "UserError"):
        raise error


def _upscaled(place):
    with open_picture(place) as opened:
        rows = opened.rows()
        for band in bands_of(rows):
            assert band.shape[1:] == (rows.width, rows.channels)
        assert opened.rows().height == rows.height


def _sized(place):
    height, width = read_size(place)
    assert height > 0
    assert width > 0


def _trained_on(place):
    pixels = read_picture(place).pixels
    assert pixels.shape == (*read_size(place), 3)
    assert pixels.dtype == np.uint8


def sound():
    """PPM, pictures of several frames and of floating point are not taken by all readers."""
    return [content for content, _ in files() if content.startswith((PNG, b"\xff\xd8", b"BM"))]


# As many pixels as are decoded from any file take half of this, those of WebP nearly all.
PICTURES = Kind("pictures", make, read, sound, memory=1 << 31)
