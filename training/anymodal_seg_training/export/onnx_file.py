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
from anymodal_seg_ros.networks import DeployedNetwork, EncodeHalf, FuseHalf
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
    _write(network, inputs, network.outputs, path)


def write_halves(
    network: DeployedNetwork, height: int, width: int, encode: Path, fuse: Path
) -> None:
    """Export the two halves of a network that splits, for images of one size.

    ``encode`` maps ``images`` float32 ``[k, 3, H, W]`` and ``modality_ids`` int64 ``[k]`` to
    :data:`PYRAMID`, float32 ``[k, C_i, H/s, W/s]``; ``fuse`` maps :data:`PYRAMID` with M rows and
    ``modality_ids`` int64 ``[M]`` to the outputs of the network but the mask.

    Raises:
        TrainingError: the network cannot be exported.
    """
    axis, images, ids = _rows(network, height, width)
    encoding, fusing = EncodeHalf(network), FuseHalf(network)
    _write(
        encoding,
        {"images": (images, {0: axis}), "modality_ids": (ids, {0: axis})},
        PYRAMID,
        encode,
    )
    with torch.no_grad():
        pyramid = encoding(images, ids)
    shapes = [stage.shape for stage in pyramid]
    maps = {n: (torch.zeros(s), {0: axis}) for n, s in zip(PYRAMID, shapes, strict=True)}
    _write(fusing, {**maps, "modality_ids": (ids, {0: axis})}, fusing.outputs, fuse)


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


def _write(
    module: nn.Module,
    inputs: Mapping[str, tuple[Tensor, Mapping[int, Any]]],
    outputs: Sequence[str],
    path: Path,
) -> None:
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
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on source files and lines, which name the trainer's machine."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
