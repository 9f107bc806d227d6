"""A deployed network as ONNX files, whole and in its two halves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from anymodal_seg_ros.inference.manifest import PYRAMID
from anymodal_seg_ros.networks import DeployedNetwork
from anymodal_seg_training.errors import TrainingError

OPSET = 20
"""The newest that TensorRT 10.0 reads; older ones write GELU as a chain of slow operators."""
MAX_MODALITIES = 16


def write_onnx(
    network: DeployedNetwork, height: int, width: int, path: Path, any_size: bool = False
) -> None:
    """Export a whole network: any number of modalities that it takes, fixed height and width.

    With ``any_size`` height and width may be any multiples of 32; that makes engines slower.

    Inputs are ``images`` float32 ``[M, 3, H, W]`` and ``modality_ids`` int64 ``[M]``, outputs are
    those of the network.

    Raises:
        TrainingError: the network cannot be exported.
    """
    axis, images, ids = _rows(network, height, width)
    sides: dict[int, Any] = {}
    if any_size:
        for place, name in ((2, "rows"), (3, "columns")):
            sides[place] = 32 * torch.export.Dim(f"{name}_of_32", min=1, max=256)
    inputs = {"images": (images, {0: axis, **sides}), "modality_ids": (ids, {0: axis})}
    _save(_exported(network, inputs, network.outputs), path)


def write_split(
    network: DeployedNetwork, height: int, width: int, whole: Path, encode: Path, fuse: Path
) -> None:
    """Export a network that splits, for images of one size: whole, and its two halves.

    ``whole`` is what :func:`write_onnx` writes. ``encode`` maps ``images`` float32
    ``[k, 3, H, W]`` and ``modality_ids`` int64 ``[k]`` to :data:`PYRAMID`, float32
    ``[k, C_i, H/s, W/s]``; ``fuse`` maps :data:`PYRAMID` with M rows and ``modality_ids`` int64
    ``[M]`` to the outputs of the network but the mask. The halves are cut out of the whole, so
    that they are the same operators with the same weights, and tracing, which takes long, is done
    once.

    Raises:
        TrainingError: the network cannot be exported.
    """
    axis, images, ids = _rows(network, height, width)
    inputs = {"images": (images, {0: axis}), "modality_ids": (ids, {0: axis})}
    model = _exported(_WithPyramid(network), inputs, (*PYRAMID, *network.outputs))
    fused = [name for name in network.outputs if name != "mask"]
    _save(cut(model, list(inputs), network.outputs), whole)
    _save(cut(model, list(inputs), PYRAMID), encode)
    _save(cut(model, [*PYRAMID, "modality_ids"], fused), fuse)


class _WithPyramid(nn.Module):
    """A deployed network that also returns what its two halves hand over."""

    def __init__(self, whole: DeployedNetwork) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, images: Tensor, modality_ids: Tensor) -> tuple[Tensor, ...]:
        pyramid = self.whole.encode(images, modality_ids)
        decoded = self.whole.decoded(pyramid, modality_ids)
        return (*pyramid, *self.whole.results(decoded, *images.shape[-2:]))


def cut(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """Return what leads from some values of a graph to others, as a graph of its own.

    Args:
        model: has no subgraphs.
        inputs: inputs, outputs or inner values whose types the graph tells.
        outputs: likewise.

    Raises:
        TrainingError: the outputs also need something else than the inputs.
    """
    graph, given = model.graph, set(inputs)
    needed, nodes = set(outputs) - given, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(name for name in node.input if name and name not in given)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    made = {name for node in nodes for name in node.output}
    if lacking := needed - made - {tensor.name for tensor in constants}:
        raise TrainingError(
            f"the network cannot be exported: {', '.join(outputs)} cannot be told from "
            f"{', '.join(inputs)} alone, but also need {', '.join(sorted(lacking))}"
        )
    types = {v.name: v for v in (*graph.value_info, *graph.output, *graph.input)}
    inner = (made | needed) - set(outputs)
    part = onnx.helper.make_graph(
        nodes[::-1],
        graph.name,
        [types[name] for name in inputs],
        [types[name] for name in outputs],
        constants,
        value_info=[value for name, value in types.items() if name in inner],
    )
    return onnx.helper.make_model(
        part,
        ir_version=model.ir_version,
        opset_imports=model.opset_import,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _rows(network: DeployedNetwork, height: int, width: int) -> tuple[Any, Tensor, Tensor]:
    """Return the axis of the modalities, and images and ids to trace with."""
    most = MAX_MODALITIES if network.network.set_like else len(network.network.modalities)
    # An example with one modality would make the exporter believe that there is always one.
    rows = min(3, most)
    # A method with one place for each kind, and one kind only, has nothing dynamic.
    axis = torch.export.Dim("modalities", min=1, max=most) if most > 1 else None
    return axis, torch.zeros(rows, 3, height, width), torch.arange(rows)


def _exported(
    module: nn.Module,
    inputs: Mapping[str, tuple[Tensor, Mapping[int, Any]]],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """Export a module; ``inputs`` are examples with the axes that are dynamic, by name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                module,
                tuple(example for example, _ in inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple(dict(axes) for _, axes in inputs.values()),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise TrainingError(f"the network cannot be exported to ONNX: {error}") from error
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    return model


def _save(model: onnx.ModelProto, path: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on source files and lines, which name the trainer's machine."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
