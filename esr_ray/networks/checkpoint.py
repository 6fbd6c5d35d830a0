"""Trained networks as files, with what is needed to build the network inside the file.

A run keeps MindSpore's own checkpoints (`.ckpt`). To hand a network on there is a plain file (`.safetensors`), which is
read without MindSpore and can hold half precision and the network's card.

Both have a digest of all that they hold, which is checked whenever they are read; files of versions that wrote none
are read without. It stands before the description of the network, under the same key: so no damage can take it away and
leave a file that reads. (MindSpore has a CRC of its own, at the end of a file; where its marker is damaged the file
counts as one without.)
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from esr_ray.errors import UserError
from esr_ray.space.spec import NetworkSpec, spec_from_json

PLAIN = ".safetensors"
"""How the name of a plain file ends."""
SUFFIXES = (".ckpt", PLAIN)
"""How names of files with trained networks end."""
_SHOWN = 300
"""So much of a description is shown in an error."""
_SPEC_KEY = "esr_ray.network"
_CARD_KEY = "esr_ray.card"
_SHA256 = "sha256:"
_TEXT = "str"
"""What MindSpore says of a text among the weights."""
_KINDS = {
    **{kind: np.dtype(kind.lower()) for kind in ("Float16", "Float32", "Float64", "Bool")},
    **{f"{sign}Int{bits}": np.dtype(f"{sign}int{bits}".lower()) for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
"""Numbers by the name that MindSpore's checkpoints have for them."""
_NAMES = {kind: name for name, kind in _KINDS.items()}
_UTF_32 = "utf-32-le"
"""What NumPy makes of a text, and MindSpore writes."""
Weights = dict[str, np.ndarray]


def checkpoint_bytes(parameters: dict[str, np.ndarray], spec: NetworkSpec) -> bytes:
    """The content of a `.ckpt` file that `mindspore.load_checkpoint` reads."""
    about = _sealed(parameters, {_SPEC_KEY: spec.to_json()})
    content = _messages().Checkpoint()
    for name, value in parameters.items():
        _add(content, name, _NAMES[value.dtype], value.shape, value.tobytes())
    for name, text in about.items():
        _add(content, name, _TEXT, (0,), text.encode(_UTF_32))
    whole: bytes = content.SerializeToString()
    return whole


def _add(content: Any, name: str, kind: str, shape: tuple[int, ...], data: bytes) -> None:
    entry = content.value.add()
    entry.tag = name
    entry.tensor.tensor_type = kind
    entry.tensor.dims.extend(shape)
    entry.tensor.tensor_content = data


@cache
def _messages() -> Any:
    """MindSpore's own description of its checkpoints. MindSpore itself is not imported: that takes a second."""
    package = importlib.util.find_spec("mindspore")
    if package is None or not package.submodule_search_locations:
        raise ImportError("MindSpore is not installed")
    path = Path(package.submodule_search_locations[0]) / "train" / "checkpoint_pb2.py"
    found = importlib.util.spec_from_file_location("esr_ray.networks._checkpoint_pb2", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def checkpoint_from_bytes(content: bytes) -> tuple[dict[str, np.ndarray], NetworkSpec]:
    """The inverse of `checkpoint_bytes`; raises UserError as `load_checkpoint` does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.ckpt"
        path.write_bytes(content)
        return load_checkpoint(path)


def plain_bytes(
    parameters: Mapping[str, np.ndarray], spec: NetworkSpec, half: bool, card: Mapping[str, Any] | None = None
) -> bytes:
    """The content of a `.safetensors` file: weights (as float16 if `half`), the network, and its card as JSON."""
    from safetensors.numpy import save

    kind = np.float16 if half else np.float32
    weights = {name: np.ascontiguousarray(value, kind) for name, value in parameters.items()}
    about = {_SPEC_KEY: spec.to_json()}
    if card is not None:
        about[_CARD_KEY] = json.dumps(card)
    content: bytes = save(weights, _sealed(weights, about))
    return content


def load_checkpoint(path: Path) -> tuple[Weights, NetworkSpec]:
    """Weights by name (of a plain file always float32) and the network they belong to.

    Raises UserError if the file is missing, damaged, or was not written by esr_ray.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such checkpoint")
    weights, about = _read(path)
    spec = _known_spec(path, about.get(_SPEC_KEY))
    if path.suffix == PLAIN:
        weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    return weights, spec


def card_of(path: Path) -> dict[str, Any] | None:
    """The card inside a plain file; None if there is none. Raises UserError as `load_checkpoint`."""
    if path.suffix != PLAIN:
        return None
    text = _read(path)[1].get(_CARD_KEY)
    try:
        card: dict[str, Any] | None = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{path}: its card is not JSON; write the file again") from None
    if card is not None and not isinstance(card, dict):
        raise UserError(f"{path}: its card is no card, but {str(card)[:_SHOWN]}; write the file again")
    return card


def _digest(weights: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    """Of all weights with their names, kinds and shapes, and of the texts of ours beside them."""
    texts = {key: about[key] for key in (_SPEC_KEY, _CARD_KEY) if key in about}
    shapes = [(name, value.dtype.str, value.shape) for name, value in sorted(weights.items())]
    found = hashlib.sha256(json.dumps([texts, shapes], sort_keys=True).encode())
    for _, value in sorted(weights.items()):
        found.update(value.tobytes())
    return _SHA256 + found.hexdigest()


def _sealed(weights: Mapping[str, np.ndarray], about: Mapping[str, str]) -> dict[str, str]:
    return {**about, _SPEC_KEY: f"{_digest(weights, about)} {about[_SPEC_KEY]}"}


def _read(path: Path) -> tuple[Weights, dict[str, str]]:
    """Weights as the file has them, and the texts beside them, held against their digest if there is one."""
    try:
        weights, about = _read_plain(path) if path.suffix == PLAIN else _read_mindspore(path)
        if not all(isinstance(name, str) for name in weights):
            # Protocol buffers of some kinds give a text that is no UTF-8 as bytes.
            raise TypeError("a name is no text")
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        # Both libraries have exceptions of their own for each kind of damage.
        raise UserError(f"{path}: is not a readable checkpoint ({type(error).__name__}); it may be truncated") from None
    said, _, text = about.get(_SPEC_KEY, "").partition(" ")
    if said.startswith(_SHA256):
        about[_SPEC_KEY] = text
        if said != _digest(weights, about):
            raise UserError(
                f"{path}: is damaged: what it holds is not what was written (its SHA-256 is another); take another "
                "copy, or make the file again"
            )
    return weights, about


def _read_plain(path: Path) -> tuple[Weights, dict[str, str]]:
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_mindspore(path: Path) -> tuple[Weights, dict[str, str]]:
    """`mindspore.load_checkpoint` takes as much memory as the shapes ask for, whatever bytes there are."""
    content = _messages().Checkpoint.FromString(path.read_bytes())
    parts: dict[str, list[bytes]] = {}
    tensors = {}
    for entry in content.value:
        # A large tensor is in parts, one after the other.
        parts.setdefault(entry.tag, []).append(entry.tensor.tensor_content)
        tensors[entry.tag] = entry.tensor
    weights: Weights = {}
    about: dict[str, str] = {}
    for name, tensor in tensors.items():
        whole = b"".join(parts[name])
        if tensor.tensor_type == _TEXT:
            about[name] = whole.decode(_UTF_32).rstrip("\0")
        else:
            shape = () if list(tensor.dims) == [0] else tuple(tensor.dims)
            if min(shape, default=0) < 0:
                raise ValueError("a size below 0")
            weights[name] = np.frombuffer(bytearray(whole), _KINDS[tensor.tensor_type]).reshape(shape)
    return weights, about


def _known_spec(path: Path, spec: object) -> NetworkSpec:
    if spec is None:
        raise UserError(f"{path}: was not written by esr_ray: it does not say which network it belongs to")
    try:
        return spec_from_json(str(spec))
    except ValueError as error:
        shown, why = (" ".join(str(one).split()) for one in (spec, error))
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        raise UserError(
            f"{path}: names a network that this version of esr_ray does not know ({why[:_SHOWN]}): {shown}"
        ) from None
