"""What an unfinished training goes on from: weights, Adam's moments, averages, steps done; alike on either path."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from esr_ray.config.schema import TrainingConfig
from esr_ray.errors import UserError
from esr_ray.space.spec import NetworkSpec, spec_from_json
from esr_ray.training.loop import Progress

Named = dict[str, np.ndarray]
"""Arrays by the names of the parameters."""

STEPS = "steps"
_ABOUT = "esr_ray.state"
_VERSION = 1
_PROGRESS = ("steps", "curve", "losses")


def pack_state(kinds: Mapping[str, Named], steps: int, **more: np.ndarray) -> Named:
    """One flat dict of arrays, `KIND/PARAMETER`, of weights, moment1, moment2 and, where averaged, average."""
    state = {f"{kind}/{name}": value for kind, named in kinds.items() for name, value in named.items()}
    return {STEPS: np.array(steps, np.int64), **state, **more}


def unpack_state(
    state: Named, shapes: Mapping[str, tuple[int, ...]], config: TrainingConfig
) -> tuple[dict[str, Named], int]:
    """The inverse of `pack_state`: what each kind holds, and the steps done.

    Raises ValueError where it is the state of another network, or lacks the averages that `config` asks for.
    """
    wanted = ["weights", "moment1", "moment2"]
    if config.average_weights is not None:
        wanted.append("average")
    kinds: dict[str, Named] = {}
    for kind in wanted:
        found = {key.removeprefix(f"{kind}/"): value for key, value in state.items() if key.startswith(f"{kind}/")}
        if {name: value.shape for name, value in found.items()} != dict(shapes):
            raise ValueError(f"the state of another training: its {kind} are not those of this network")
        # In the order of the network's parameters.
        kinds[kind] = {name: found[name] for name in shapes}
    return kinds, int(state[STEPS])


@dataclass(frozen=True, eq=False)
class TrainingState:
    """What is kept of an unfinished training: the network, its settings, its arrays, and how far it is.

    `settings` are those that the steps done depend on, as JSON has them: another training cannot go on from it.
    """

    spec: NetworkSpec
    settings: dict[str, Any]
    arrays: Named
    progress: Progress


def state_bytes(state: TrainingState) -> bytes:
    """The content of a state's file (NumPy's npz)."""
    progress = asdict(state.progress)
    about = {
        "version": _VERSION,
        "network": state.spec.to_json(),
        "settings": state.settings,
        "progress": progress,
    }
    file = io.BytesIO()
    arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(about)), **state.arrays}
    np.savez(file, **arrays)
    return file.getvalue()


def state_from_bytes(content: bytes, name: str) -> TrainingState:
    """The inverse of `state_bytes`; raises UserError, with the file's `name`, where it is damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            _check_members(file.zip)
            arrays = {key: file[key] for key in file.files}
        about = json.loads(str(arrays.pop(_ABOUT)))
        if about["version"] != _VERSION:
            raise UserError(f"{name}: was written by another version of esr_ray; delete it to begin this training anew")
        said = about["progress"]
        # The seconds were not written from the beginning.
        progress = TypeAdapter(Progress).validate_python({**said, **{key: said[key] for key in _PROGRESS}})
        settings = TypeAdapter(dict[str, Any]).validate_python(about["settings"])
        return TrainingState(spec_from_json(about["network"]), settings, arrays, progress)
    except (MemoryError, UserError):
        raise
    except Exception as error:
        # NumPy and zipfile have exceptions of their own for each kind of damage.
        raise UserError(
            f"{name}: is not a readable training state ({type(error).__name__}); it may be truncated: delete it to "
            "begin this training anew"
        ) from None


def _check_members(archive: zipfile.ZipFile) -> None:
    """Raise ValueError where an array's head is not that of the bytes behind it: NumPy takes the memory of whatever
    shape it says."""
    for info in archive.infolist():
        with archive.open(info) as member:
            if np.lib.format.read_magic(member) != (1, 0) or info.compress_type != zipfile.ZIP_STORED:
                raise ValueError("an array that was not written by esr_ray")
            shape, _, kind = np.lib.format.read_array_header_1_0(member)
            if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != info.file_size - member.tell():
                raise ValueError("an array of another size than its head says")
