"""Trained networks as files, with what is needed to build the network inside the file.

A run keeps MindSpore's own checkpoints (`.ckpt`). To hand a network on there is a plain file (`.safetensors`), which is
read without MindSpore and can hold half precision and the network's card.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
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


def checkpoint_bytes(parameters: dict[str, np.ndarray], spec: NetworkSpec) -> bytes:
    """The content of a `.ckpt` file that `mindspore.load_checkpoint` reads."""
    import mindspore as ms

    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in parameters.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.ckpt"
        ms.save_checkpoint(entries, str(path), append_dict={_SPEC_KEY: spec.to_json()})
        return path.read_bytes()


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
    content: bytes = save(weights, about)
    return content


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], NetworkSpec]:
    """Weights by name (float32) and the network they belong to.

    Raises UserError if the file is missing, damaged, or was not written by esr_ray.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such checkpoint")
    if path.suffix == PLAIN:
        weights, about = _read_plain(path)
        return weights, _known_spec(path, about.get(_SPEC_KEY))
    # Imported late: it takes seconds, and a wrong path should be told at once.
    import mindspore as ms

    try:
        content = ms.load_checkpoint(str(path))
    except Exception as error:
        raise UserError(
            f"{path}: is not a readable checkpoint ({type(error).__name__}); it may be truncated"
        ) from error
    spec = content.pop(_SPEC_KEY, None)
    return {name: value.asnumpy() for name, value in content.items()}, _known_spec(path, spec)


def card_of(path: Path) -> dict[str, Any] | None:
    """The card inside a plain file; None if there is none. Raises UserError as `load_checkpoint`."""
    if path.suffix != PLAIN:
        return None
    text = _read_plain(path)[1].get(_CARD_KEY)
    try:
        card: dict[str, Any] | None = None if text is None else json.loads(text)
    except ValueError:
        raise UserError(f"{path}: its card is not JSON; write the file again") from None
    return card


def _read_plain(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            weights = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118
            return weights, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is not a readable checkpoint ({type(error).__name__}); it may be truncated") from None


def _known_spec(path: Path, spec: object) -> NetworkSpec:
    if spec is None:
        raise UserError(f"{path}: was not written by esr_ray: it does not say which network it belongs to")
    try:
        return spec_from_json(str(spec))
    except ValueError as error:
        shown = str(spec)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        raise UserError(
            f"{path}: names a network that this version of esr_ray does not know ({error}): {shown}"
        ) from None
