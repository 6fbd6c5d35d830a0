"""A network as an ONNX file of plain standard operators, written from the description of its layers.

Batch, height and width are free; what odd sizes need is inside of the graph. Values are float32 (or float16) in [0, 1],
(B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from esr_ray.errors import UserError
from esr_ray.inference.onnx_file import NETWORK
from esr_ray.metrics import RGB_FROM_YCBCR, YCBCR_FROM_RGB, YCBCR_OFFSET
from esr_ray.space.filters import phase_filters
from esr_ray.space.layers import Step
from esr_ray.space.spec import NetworkSpec, network_layers

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""The version of ONNX's operators that files are written in."""
NEEDS = "ONNX files need the package onnx: pip install 'esr_ray[onnx]'"


def to_onnx(
    spec: NetworkSpec, parameters: Mapping[str, np.ndarray], rgb: bool = False, half: bool = False
) -> onnx.ModelProto:
    """The model of a network; input `input` (B, C, H, W), output `output`.

    With `rgb` a network of luminance takes and gives RGB: the graph takes the colours apart, enlarges them by bicubic,
    and clips the result to [0, 1]. `half` makes weights and values float16. Raises UserError where onnx is not
    installed, and for a network that has no ONNX form (a user's block).
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise UserError(NEEDS) from None
    graph = _Graph(np.dtype(np.float16 if half else np.float32))
    if rgb and spec.in_channels == 1:
        output = _of_rgb(graph, spec, parameters)
        ends = 3, 3
    else:
        output = _network(graph, spec, parameters, "input")
        ends = spec.in_channels, spec.out_channels
    graph.node("Identity", [output], "output")
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    value = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "esr_ray",
            [value("input", kind, ["batch", ends[0], "height", "width"])],
            [value("output", kind, ["batch", ends[1], f"{spec.scale}*height", f"{spec.scale}*width"])],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        producer_name="esr_ray",
        ir_version=9,
    )
    onnx.helper.set_model_props(model, {NETWORK: spec.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


@dataclass
class _Graph:
    """Nodes and constants while they are written down."""

    real: np.dtype[Any]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def node(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        """Add an operator; the name of its output."""
        import onnx

        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: np.ndarray, name: str = "", real: np.dtype[Any] | None = None) -> str:
        """Add a constant, in the graph's own kind of number if it is of floats; its name. One that is there is used
        again: a convolution may be applied several times."""
        import onnx

        if name in self.known:
            return name
        name = name or f"constant_{len(self.constants)}"
        self.known.add(name)
        value = value.astype(real or self.real) if value.dtype.kind == "f" else value
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def conv(self, value: str, weight: np.ndarray, bias: np.ndarray, name: str, groups: int = 1) -> str:
        """A convolution that keeps the size, by zero padding."""
        kernel = weight.shape[2]
        given = [value, self.constant(weight, f"{name}.weight"), self.constant(bias, f"{name}.bias")]
        return self.node("Conv", given, kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, group=groups)

    def size(self, value: str) -> str:
        """Height and width of a value."""
        return self.node("Shape", [value], start=2, end=4)

    def bicubic(self, value: str, channels: int, scale: int) -> str:
        """A value enlarged as `esr_ray.networks.skips.BicubicSkip` does it."""
        padded = self.node("Pad", [value, self.integers(0, 0, 2, 2, 0, 0, 2, 2)], mode="edge")
        filters = self.constant(np.tile(phase_filters(scale), (channels, 1, 1, 1)))
        phases = self.node("Conv", [padded, filters], kernel_shape=[5, 5], group=channels)
        return self.shuffled(phases, scale)

    def shuffled(self, value: str, factor: int) -> str:
        return self.node("DepthToSpace", [value], blocksize=factor, mode="CRD")


def _network(graph: _Graph, spec: NetworkSpec, parameters: Mapping[str, np.ndarray], picture: str) -> str:
    """Add a network's layers; the name of its output."""
    names: list[str] = []
    steps = network_layers(spec)
    for step in steps:
        if step.kind == "user":
            raise UserError(f"{step.name}: a block type of a user's file has no ONNX form; export MindIR instead")
        names.append(
            picture if step.kind == "input" else _step(graph, step, [names[i] for i in step.inputs], parameters)
        )
    return names[-1]


def _step(graph: _Graph, step: Step, given: list[str], parameters: Mapping[str, np.ndarray]) -> str:
    """Add one layer; the name of its value."""
    match step.kind:
        case "conv":
            assert step.conv is not None, "a step of kind conv has a convolution"
            name = step.conv.name
            weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            return graph.conv(given[0], weight, bias, name, step.conv.groups)
        case "relu":
            return graph.node("Relu", given)
        case "add":
            return graph.node("Add", given)
        case "concat":
            return graph.node("Concat", given, axis=1) if len(given) > 1 else given[0]
        case "channel_shuffle":
            places, size = np.arange(step.channels), step.channels // step.factor
            order = graph.constant(places % step.factor * size + places // step.factor)
            return graph.node("Gather", [given[0], order], axis=1)
        case "pixel_shuffle":
            return graph.shuffled(given[0], step.factor)
        case "pool":
            return graph.node("AveragePool", given, kernel_shape=[step.factor] * 2, strides=[step.factor] * 2)
        case "even":
            odd = graph.node("Mod", [graph.size(given[0]), graph.integers(2, 2)])
            pads = graph.node("Concat", [graph.integers(0, 0, 0, 0, 0, 0), odd], axis=0)
            return graph.node("Pad", [given[0], pads], mode="edge")
        case "mosaic":
            mix = np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]], np.float64).reshape(3, 4, 1, 1)
            return graph.node("Conv", [given[0], graph.constant(mix)], kernel_shape=[1, 1])
        case "skip":
            if step.name == "bicubic":
                return graph.bicubic(given[0], step.channels, step.factor)
            # Of float32 in any graph.
            scales = graph.constant(np.array([1, 1, step.factor, step.factor], np.float32), real=np.dtype(np.float32))
            return graph.node(
                "Resize",
                [given[0], "", scales],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        case "crop":
            ends = graph.node("Mul", [graph.size(given[1]), graph.integers(step.factor, step.factor)])
            return graph.node("Slice", [given[0], graph.integers(0, 0), ends, graph.integers(2, 3)])
    raise AssertionError(f"a layer of kind {step.kind} has no ONNX form")


def _of_rgb(graph: _Graph, spec: NetworkSpec, parameters: Mapping[str, np.ndarray]) -> str:
    """Add a network of luminance with the colours around it; the name of its RGB output."""
    matrix, back = (one.reshape(3, 3, 1, 1).astype(np.float64) for one in (YCBCR_FROM_RGB, RGB_FROM_YCBCR))
    ycbcr = graph.conv("input", matrix, YCBCR_OFFSET.astype(np.float64), "to_ycbcr")
    luminance, colours = (
        graph.node("Slice", [ycbcr, graph.integers(first), graph.integers(last), graph.integers(1)])
        for first, last in ((0, 1), (1, 3))
    )
    enlarged = _network(graph, spec, parameters, luminance)
    joined = graph.node("Concat", [enlarged, graph.bicubic(colours, 2, spec.scale)], axis=1)
    rgb = graph.conv(joined, back, -(RGB_FROM_YCBCR @ YCBCR_OFFSET), "to_rgb")
    limits = [graph.constant(np.array(limit, np.float32)) for limit in (0.0, 1.0)]
    return graph.node("Clip", [rgb, *limits])
