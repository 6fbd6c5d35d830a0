"""Files with trained networks, and states of trainings: damaged as bytes, and changed in what they say."""

import io
import json
import struct
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from fuzzing import Kind
from mutations import EXTREMES, as_json, of_bytes, of_text, of_tree
from safetensors.numpy import save

from esr_ray.inference.load import ready_network
from esr_ray.inference.predictor import choose_predictor
from esr_ray.networks.checkpoint import PLAIN, card_of, checkpoint_bytes, load_checkpoint, plain_bytes
from esr_ray.networks.initial import initial_parameters
from esr_ray.networks.parameters import parameter_shapes
from esr_ray.space.spec import NetworkSpec
from esr_ray.training.loop import CurvePoint, Progress
from esr_ray.training.state import TrainingState, pack_state, state_bytes, state_from_bytes

SPEC = NetworkSpec(("S_1_4_4", "C_1_4_4"), 4, 2, "nearest", task='{"scale": 2}')
CARD = {"name": "mine", "licence": "none", "report": {"sets": []}}
STATE = ".npz"
MOST = 200_000
"""Parameters of a network that is run: others would take their time."""


@cache
def weights():
    return initial_parameters(parameter_shapes(SPEC), 1, False)


@cache
def files():
    """Whole files by name: those with a digest, and those of before."""
    state = pack_state({kind: weights() for kind in ("weights", "moment1", "moment2")}, 7)
    progress = Progress(7, (CurvePoint(7, 0.5),), (0.5, 0.25), 1.0)
    return {
        "sealed.ckpt": checkpoint_bytes(weights(), SPEC),
        f"sealed{PLAIN}": plain_bytes(weights(), SPEC, False, CARD),
        f"half{PLAIN}": plain_bytes(weights(), SPEC, True),
        f"older{PLAIN}": save(weights(), {"esr_ray.network": SPEC.to_json(), "esr_ray.card": json.dumps(CARD)}),
        f"a{STATE}": state_bytes(TrainingState(SPEC, {"steps": 9}, state, progress)),
    }


@cache
def whole(name):
    """What a whole file says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(files()[name])
        return said(path)


def make(random):
    name = random.choice(list(files()))
    content = files()[name]
    if random.random() < 0.4:
        return name, of_bytes(random, content), name != f"older{PLAIN}"
    if name.endswith(".ckpt"):
        return name, of_mindspore(random, content), False
    return name, (of_state if name.endswith(STATE) else of_plain)(random, content), False


def of_plain(random, content):
    """Another head, its length put right; in it the description and the card are texts of JSON."""
    (length,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + length])
    about = head["__metadata__"]
    if random.random() < 0.6:
        about["esr_ray.network"] = description(random)
    if random.random() < 0.3:
        card = of_tree(random, CARD)
        about["esr_ray.card"] = random.choice((as_json(card), of_text(random, as_json(card)), "[" * 100_000))
    if random.random() < 0.5:
        head = of_tree(random, head)
    text = as_json(head).encode()
    said = len(text) if random.random() < 0.95 else random.choice(EXTREMES) % (1 << 64)
    return struct.pack("<Q", said) + text + content[8 + length :]


def description(random):
    text = as_json(of_tree(random, json.loads(SPEC.to_json())))
    return random.choice((text, text, text, of_text(random, text), f"sha256:{'0' * 64} {text}"))


def of_mindspore(random, content):
    from mindspore.train.checkpoint_pb2 import Checkpoint

    changed = Checkpoint.FromString(content)
    entry = random.choice(changed.value)
    match random.randrange(6):
        case 0:
            sizes = [
                random.choice((*entry.tensor.dims, 0, 1, -1, 1 << 20, 1 << 40)) for _ in range(random.randrange(6))
            ]
            del entry.tensor.dims[:]
            entry.tensor.dims.extend(sizes)
        case 1:
            entry.tensor.tensor_type = random.choice(("Float16", "Float64", "Int8", "BFloat16", "Int4", "str", "", "x"))
        case 2:
            entry.tensor.tensor_content = of_bytes(random, entry.tensor.tensor_content)
        case 3:
            entry.tag = random.choice(("", "x", "esr_ray.network", *(one.tag for one in changed.value)))
        case 4:
            if random.random() < 0.5:
                entry.maptensor.SetInParent()
            else:
                changed.value.remove(entry)
        case _:
            entry = next(one for one in changed.value if one.tag == "esr_ray.network")
            entry.tensor.tensor_content = description(random).encode("utf-32-le", "surrogatepass")
    return changed.SerializeToString()


def of_state(random, content):
    """Another member of the archive, with checksums that are right."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as before,
        zipfile.ZipFile(file, "w", random.choice((0, 0, 0, 8))) as after,
    ):
        chosen = random.choice(before.namelist())
        for name in before.namelist():
            part = before.read(name)
            if name == chosen or (name.startswith("esr_ray") and random.random() < 0.5):
                part = of_member(random, part)
            after.writestr(name, part)
    return file.getvalue()


def of_member(random, part):
    """A NumPy array with another shape or kind in its head, or of another text, or with other bytes."""
    array = np.load(io.BytesIO(part), allow_pickle=False)
    if array.dtype.kind == "U" and random.random() < 0.8:
        file = io.BytesIO()
        np.save(file, np.array(as_json(of_tree(random, json.loads(str(array))))))
        return file.getvalue()
    if random.random() < 0.5:
        return of_bytes(random, part)
    shape = str(tuple(random.choice((0, 1, 3, 1 << 20, 1 << 40, 1 << 62, -1)) for _ in range(random.randrange(5))))
    kind = random.choice(("<f4", "|O", "<U9", "<f8", "|V0", "<c16", "[('a','<f4')]"))
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + random.randbytes(40)


def said(path):
    """All that a file says, to be compared."""
    if path.suffix == STATE:
        state = state_from_bytes(path.read_bytes(), str(path))
        return {name: (one.shape, one.tobytes()) for name, one in state.arrays.items()}, state.spec, state.progress
    found, spec = load_checkpoint(path)
    return {name: (one.shape, one.tobytes()) for name, one in found.items()}, spec, card_of(path)


def read(given, place):
    name, content, damaged = given
    path = place.with_name(place.name + Path(name).suffix)
    path.write_bytes(content)
    found = said(path)
    if damaged:
        assert found == whole(name), "damage is read as another network"
    if path.suffix == STATE:
        return
    network = ready_network(*load_checkpoint(path), choose_predictor("auto", "CPU"), str(path))
    spec = network.spec
    if sum(np.prod(shape) for shape, _ in found[0].values()) < MOST:
        made = network.predictor.predict(np.zeros((1, spec.in_channels, 6, 5), np.float32))
        assert made.shape == (1, spec.out_channels, 6 * spec.scale, 5 * spec.scale)


CHECKPOINTS = Kind("checkpoints", make, read, lambda: [(name, content, True) for name, content in files().items()])
