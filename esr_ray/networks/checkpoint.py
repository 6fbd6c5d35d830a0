"""Checkpoints: MindSpore's own format, with what is needed to build the network inside the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from esr_ray.errors import UserError
from esr_ray.space.spec import NetworkSpec, spec_from_json

_SPEC_KEY = "esr_ray.network"


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


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], NetworkSpec]:
    """Weights by name and the network they belong to.

    Raises UserError where the file is missing, damaged, or was not written by esr_ray.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such checkpoint")
    # Imported late: it takes seconds, and a wrong path should be told at once.
    import mindspore as ms

    try:
        content = ms.load_checkpoint(str(path))
    except Exception as error:
        raise UserError(
            f"{path}: is not a readable checkpoint ({type(error).__name__}); it may be truncated"
        ) from error
    spec = content.pop(_SPEC_KEY, None)
    if spec is None:
        raise UserError(f"{path}: was not written by esr_ray: it does not say which network it belongs to")
    try:
        known = spec_from_json(str(spec))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: names a network that this version of esr_ray does not know: {spec}") from None
    return {name: value.asnumpy() for name, value in content.items()}, known
