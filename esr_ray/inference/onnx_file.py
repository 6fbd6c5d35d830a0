"""An ONNX file as a network that enlarges pictures: one that `esr_ray.export` wrote, or another program's.

It is run by onnxruntime, which is in the extra `onnx`. Values are taken to be in [0, 1], (B, C, H, W).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from esr_ray.errors import UserError
from esr_ray.inference.load import Loaded
from esr_ray.inference.tiles import SIDE, UNKNOWN, Sight, side_for, sight_of
from esr_ray.space.spec import NetworkSpec, spec_from_json
from esr_ray.tasks.make import task_of

NETWORK = "esr_ray.network"
"""The entry of a file's metadata in which `esr_ray.export` writes the network."""
PROBED = 128
"""How far to each side it is looked what a network of another program sees: one that sees farther is given whole
pictures."""
STEP = 8
"""Multiples of pixels at which tiles of a network of another program begin: it may halve the resolution three times."""
TRIED = (3, 1)
"""Channels that a network of another program may have, if it does not say."""
_REALS: dict[str, np.dtype[Any]] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}
_SEEN = 1e-5
"""A change of the output that is none: far less than a level of 8 bits."""


class OnnxPredictor:
    """Implements `Predictor` with onnxruntime, one thread a call: tiles are computed at the same time."""

    def __init__(self, session: Any, real: np.dtype[Any], kernels: str) -> None:
        self.kernels = kernels
        self._session, self._real = session, real
        self._input = session.get_inputs()[0].name

    def compile_predict(self, lr: np.ndarray) -> None:
        """Nothing is compiled: any size is taken."""

    def predict(self, lr: np.ndarray) -> np.ndarray:
        (output,) = self._session.run(None, {self._input: lr.astype(self._real, copy=False)})
        return np.asarray(output, np.float32)


def load_onnx(path: Path) -> Loaded:
    """The network of an ONNX file. One of another program is run on noise, to see how large its output is and how far
    it sees.

    Raises UserError where onnxruntime is not installed, where the file is missing or damaged, and for a network that
    does not take pictures of any size.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError(f"{path}: needs the package onnxruntime: pip install 'esr_ray[onnx]'") from None
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Errors only: what it says is in the exceptions.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # It has an exception type for each kind of damage.
        raise UserError(f"{path}: is no ONNX file that onnxruntime can run ({_first_line(error)})") from None
    predictor = OnnxPredictor(session, _check_ends(session, path), f"onnxruntime {onnxruntime.__version__}")
    kept = session.get_modelmeta().custom_metadata_map.get(NETWORK)
    if kept is None:
        return _of_another_program(predictor, session, path)
    try:
        spec = spec_from_json(kept)
        side, sight = side_for(spec), sight_of(spec)
    except (json.JSONDecodeError, TypeError, KeyError, ValueError, UserError):
        raise UserError(f"{path}: names a network that this version of esr_ray does not know") from None
    channels = session.get_inputs()[0].shape[1]
    if channels == 3 and spec.in_channels == 1:
        # Its luminance alone goes through the network; what makes the colours is in the graph.
        spec = replace(spec, in_channels=3, out_channels=3, task=json.dumps({"scale": spec.scale}))
    return Loaded(spec, task_of(spec), predictor, str(path), 1, sight, side)


def _check_ends(session: Any, path: Path) -> np.dtype[Any]:
    """The kind of numbers of a graph. Raises UserError where its input or output is none of pictures."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise UserError(
            f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; a network for pictures has one each"
        )
    if inputs[0].type not in _REALS or outputs[0].type not in _REALS:
        raise UserError(f"{path}: is for {inputs[0].type}; a network for pictures takes and gives float, or float16")
    shape = inputs[0].shape
    if len(shape) != 4:
        raise UserError(f"{path}: takes {len(shape)} dimensions; a network for pictures takes (batch, channels, h, w)")
    if any(isinstance(one, int) for one in shape[2:]):
        raise UserError(f"{path}: takes pictures of {shape[3]}x{shape[2]} only; export it with free height and width")
    return _REALS[inputs[0].type]


def _of_another_program(predictor: OnnxPredictor, session: Any, path: Path) -> Loaded:
    said = session.get_inputs()[0].shape[1]
    failure = ""
    for channels in (said,) if isinstance(said, int) else TRIED:
        if channels not in TRIED:
            raise UserError(f"{path}: takes {channels} channels; give a network for RGB, or for luminance alone")
        try:
            scale = _probed_scale(predictor, channels)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except Exception as error:
            failure = _first_line(error)
            continue
        colour = "rgb" if channels == 3 else "luminance"
        settings = {"scale": scale, "colour": colour} if scale > 1 else {"name": "denoising"}
        if scale == 1 and channels == 1:
            raise UserError(f"{path}: keeps the size of pictures, and takes luminance alone; give a network for RGB")
        spec = NetworkSpec((), 0, scale, "none", channels, channels, json.dumps(settings))
        title = f"x{scale}" if scale > 1 else "pictures of the same size"
        task = replace(task_of(spec), title=f"{title} (of another program)")
        reach = _probed_reach(predictor, channels, scale)
        sight = UNKNOWN if reach is None else Sight(reach, STEP)
        return Loaded(spec, task, predictor, str(path), 1, sight, SIDE // 2)
    raise UserError(f"{path}: cannot be run on a picture of any size ({failure})")


def _probed_scale(predictor: OnnxPredictor, channels: int) -> int:
    """How many times as large the output is. Raises UserError where it is no picture, or of no scale that is known, and
    whatever onnxruntime raises where the graph does not take these sizes."""
    rng = np.random.default_rng(0)
    scales = set()
    # Odd sizes too: pictures have any.
    for height, width in ((48, 64), (37, 51)):
        made = predictor.predict(rng.random((1, channels, height, width), np.float32))
        if made.ndim != 4 or made.shape[:2] != (1, channels):
            raise UserError(f"makes {made.shape} of {(1, channels, height, width)}: no picture of as many channels")
        scales.add((made.shape[2] / height, made.shape[3] / width))
    found = scales.pop()
    if scales or found[0] != found[1] or found[0] not in (1, 2, 3, 4):
        raise UserError(
            f"makes pictures {found[1]:.3g} times as wide and {found[0]:.3g} times as high; 1 to 4 times are known"
        )
    return int(found[0])


def _probed_reach(predictor: OnnxPredictor, channels: int, scale: int) -> int | None:
    """How many pixels to each side an output pixel depends on; None where that is PROBED or more.

    Half of a picture of noise is made black, and it is seen how far into the other half the output changes. A tenth is
    added: what little there may be farther out changes less than _SEEN.
    """
    whole = np.random.default_rng(0).random((1, channels, 16, 2 * PROBED), np.float32)
    half = whole.copy()
    half[..., PROBED:] = 0
    seen = 0
    # To the right, down, to the left and up.
    for turns in range(4):
        made = [predictor.predict(np.ascontiguousarray(np.rot90(one, turns, (2, 3)))) for one in (whole, half)]
        changed = np.rot90(np.abs(made[0] - made[1]), -turns, (2, 3))
        columns = np.flatnonzero(changed.max((0, 1, 2)) > _SEEN) // scale
        if len(columns):
            seen = max(seen, PROBED - int(columns.min()))
    return seen + seen // 10 + 1 if seen < PROBED - STEP else None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
