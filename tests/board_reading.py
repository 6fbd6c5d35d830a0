"""TensorBoard's event files, read as TensorBoard does."""

import struct

from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def values(path):
    """(step, value) of every summary in an event file."""
    content, found = path.read_bytes(), []
    while content:
        size, check = struct.unpack("<QI", content[:12])
        assert check == masked(content[:8])
        data, content = content[12 : 12 + size], content[16 + size :]
        event = Event.FromString(data)
        found += [(event.step, value) for value in event.summary.value]
    return found


def points(folder):
    """(tag, step, value) of every point: of a picture its PNG, of a text the text. The layout of charts is left out."""
    (path,) = (one for one in folder.iterdir() if one.is_file())
    assert path.name.startswith("events.out.tfevents.")
    found = []
    for step, value in values(path):
        shown = value.simple_value
        if value.HasField("image"):
            shown = value.image.encoded_image_string
        if value.HasField("tensor"):
            shown = value.tensor.string_val[0].decode(errors="replace")
        if value.tag != "custom_scalars__config__":
            found.append((value.tag, step, shown))
    return found


def shown(folder, tag):
    return [(step, value) for one, step, value in points(folder) if one == tag]


def trials(folder):
    """The HParams table: columns of each row by name, as its plugin reads them."""
    table = {}
    for path in folder.iterdir():
        if path.is_dir():
            (file,) = path.iterdir()
            (content,) = (v.metadata.plugin_data.content for _, v in values(file) if v.tag.endswith("start_info"))
            given = HParamsPluginData.FromString(content).session_start_info.hparams
            table[path.name] = {
                name: value.string_value if value.HasField("string_value") else value.number_value
                for name, value in given.items()
            }
    return table
