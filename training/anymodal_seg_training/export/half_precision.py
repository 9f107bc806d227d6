"""An exported graph in half precision, for GPUs: strongly typed, single where half would not hold.

The converter of ONNX Runtime brings what lies between two operators of single precision through
half precision, where it may overflow, and names a cast twice when two of them read one value; so
the types are given here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from anymodal_seg_training.errors import TrainingError

Inputs = Mapping[str, npt.NDArray[Any]]

SINGLE, HALF = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)

MOVING = frozenset(
    {
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Pad",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that compute nothing."""

COMPUTING = frozenset(
    {
        "Abs",
        "Add",
        "AveragePool",
        "Conv",
        "ConvTranspose",
        "Erf",
        "Gelu",
        "Gemm",
        "HardSigmoid",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mul",
        "Neg",
        "Relu",
        "Resize",
        "Sigmoid",
        "Sub",
        "Tanh",
        "Where",
    }
)
"""Operators that are as good in half precision; they do the work. All others stay in single: norms,
softmax, sums, means, powers, logarithms, divisions, whose inside overflows or loses its digits."""

LARGEST = 8192.0
"""What is larger on the frames that are looked at stays in single: an eighth of what half holds."""

SMALLEST = 6.2e-5
"""Constants that are smaller, as the epsilon of a norm, would lose their digits or become 0."""

FIXED = {"Resize": (1, 2)}
"""Inputs, by place, that are single precision whatever the operator computes in."""


def to_half(model: onnx.ModelProto, frames: Sequence[Inputs]) -> onnx.ModelProto:
    """Return a graph in half precision.

    Weights and activations are float16 but for what would not hold, see :data:`COMPUTING` and
    :data:`LARGEST`. Inputs and outputs keep their types but for maps that pass from one half of a
    network to the other, ``stride_…``, which are float16.

    Args:
        model: in single precision.
        frames: inputs by name on which magnitudes are looked at, at least one.

    Raises:
        TrainingError: it has operators with graphs of their own, or cannot be run.
    """
    known = onnx.shape_inference.infer_shapes(model, data_prop=True)
    if any(attribute.HasField("g") for node in known.graph.node for attribute in node.attribute):
        raise TrainingError("a graph with loops or branches cannot be brought to half precision")
    kinds = _kinds(known.graph)
    typing = _Typing(known.graph, kinds, _peaks(known, kinds, frames))
    return typing.converted(known)


def _kinds(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the element type of every value, by name."""
    values = [*graph.input, *graph.output, *graph.value_info]
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    return kinds


def _peaks(
    model: onnx.ModelProto, kinds: Mapping[str, int], frames: Sequence[Inputs]
) -> dict[str, float]:
    """Return the largest magnitude of every value that is computed, over some frames."""
    names = [name for node in model.graph.node for name in node.output if kinds.get(name) == SINGLE]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    for place, name in enumerate(names):
        size, peak = f"size_{place}", f"peak_{place}"
        watched.graph.node.append(helper.make_node("Abs", [name], [size]))
        watched.graph.node.append(helper.make_node("ReduceMax", [size], [peak], keepdims=0))
        watched.graph.output.append(helper.make_tensor_value_info(peak, SINGLE, []))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Fused operators would hide what lies between their parts.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = [session.run(None, dict(frame)) for frame in frames]
    except Exception as error:  # ONNX Runtime's errors have no common public base
        raise TrainingError(f"the graph cannot be run to see its magnitudes: {error}") from error
    return dict(zip(names, np.max(found, axis=0).tolist(), strict=True))


class _Typing:
    """Which precision every operator of a graph has, and the casts between them."""

    def __init__(
        self, graph: onnx.GraphProto, kinds: Mapping[str, int], peaks: Mapping[str, float]
    ) -> None:
        self._kinds, self._peaks = dict(kinds), peaks
        self._constants = {
            tensor.name: tensor for tensor in graph.initializer if tensor.data_type == SINGLE
        }
        self._made: dict[tuple[str, int], str] = {}
        """What holds a value in a precision, by the value's name and the precision."""
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def converted(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return the graph with its types."""
        graph = model.graph
        outputs = {value.name: value for value in graph.output}
        for value in graph.input:
            self._declare(value)
        for node in graph.node:
            self._add(node, outputs)
        kept = [tensor for tensor in graph.initializer if tensor.data_type != SINGLE]
        made = helper.make_graph(
            self._nodes, graph.name, graph.input, graph.output, [*kept, *self._weights]
        )
        result = helper.make_model(
            made, opset_imports=model.opset_import, ir_version=model.ir_version
        )
        result.producer_name = model.producer_name
        onnx.checker.check_model(result, full_check=True)
        return result

    def _declare(self, value: onnx.ValueInfoProto) -> None:
        """Give an input or output that passes between two halves its type."""
        if value.name.startswith("stride_"):
            value.type.tensor_type.elem_type = HALF
            self._kinds[value.name] = HALF

    def _add(self, node: onnx.NodeProto, outputs: Mapping[str, onnx.ValueInfoProto]) -> None:
        kind = HALF if self._holds(node) else SINGLE
        new = onnx.NodeProto()
        new.CopyFrom(node)
        fixed = FIXED.get(node.op_type, ())
        for place, name in enumerate(node.input):
            if self._floats(name):
                new.input[place] = self._in(name, SINGLE if place in fixed else kind)
        self._nodes.append(new)
        for place, name in enumerate(node.output):
            if self._kinds.get(name) != SINGLE:
                continue
            if name in outputs:
                self._declare(outputs[name])
                if (wanted := self._kinds[name]) != kind:
                    new.output[place] = f"{name}.{_word(kind)}"
                    self._made[name, kind] = new.output[place]
                    self._cast(new.output[place], name, wanted)
            self._made[name, self._kinds[name] if name in outputs else kind] = name
            if name not in outputs:
                self._kinds[name] = kind

    def _holds(self, node: onnx.NodeProto) -> bool:
        """Whether a node may compute in half precision."""
        if node.op_type not in MOVING | COMPUTING:
            return False
        if any(self._peaks.get(name, 0.0) > LARGEST for name in (*node.input, *node.output)):
            return False
        for name in node.input:
            if name in self._constants:
                values = np.abs(numpy_helper.to_array(self._constants[name]))
                if values.size and values.max() > LARGEST:
                    return False
                if values.size and 0.0 < values.max() < SMALLEST:
                    return False
        return True

    def _floats(self, name: str) -> bool:
        return bool(name) and self._kinds.get(name) in (SINGLE, HALF)

    def _in(self, name: str, kind: int) -> str:
        """Return the name that a value has in a precision; it is brought there if need be."""
        if (name, kind) in self._made:
            return self._made[name, kind]
        if name in self._constants:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(self._constants[name])
            if kind == HALF:
                values = numpy_helper.to_array(tensor).astype(np.float16)
                tensor = numpy_helper.from_array(values, f"{name}.half")
            self._weights.append(tensor)
            self._made[name, kind] = tensor.name
            return str(tensor.name)
        if self._kinds[name] == kind:
            return name
        self._made[name, kind] = f"{name}.{_word(kind)}"
        self._cast(name, self._made[name, kind], kind)
        return self._made[name, kind]

    def _cast(self, source: str, target: str, kind: int) -> None:
        self._nodes.append(helper.make_node("Cast", [source], [target], to=kind))


def _word(kind: int) -> str:
    return "half" if kind == HALF else "single"
