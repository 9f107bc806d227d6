"""A deployed network as an ONNX file, and the proof that the file computes the same."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from anymodal_seg_ros.networks import DeployedNetwork
from anymodal_seg_training.errors import TrainingError

OPSET = 20
"""The newest that TensorRT 10.0 reads; older ones write GELU as a chain of slow operators."""
MAX_MODALITIES = 16
MIN_AGREEMENT = 0.999
"""Smallest share of pixels to which file and network must give the same class."""


def write_onnx(
    network: DeployedNetwork, height: int, width: int, path: Path, any_size: bool = False
) -> None:
    """Export a network: any number of modalities that it takes, fixed height and width.

    With ``any_size`` height and width may be any multiples of 32; that makes engines slower.

    Inputs are ``images`` float32 ``[M, 3, H, W]`` and ``modality_ids`` int64 ``[M]``, outputs are
    those of the network.

    Raises:
        TrainingError: the network cannot be exported.
    """
    most = MAX_MODALITIES if network.network.set_like else len(network.network.modalities)
    # An example with one modality would make the exporter believe that there is always one.
    rows = min(3, most)
    example = (torch.zeros(rows, 3, height, width), torch.arange(rows))
    # A method with one place for each kind, and one kind only, has nothing dynamic.
    axis = torch.export.Dim("modalities", min=1, max=most) if most > 1 else None
    sides = {}
    if any_size:
        for place, name in ((2, "rows"), (3, "columns")):
            sides[place] = 32 * torch.export.Dim(f"{name}_of_32", min=1, max=256)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=["images", "modality_ids"],
                output_names=list(network.outputs),
                dynamic_shapes=({0: axis, **sides}, {0: axis}),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise TrainingError(f"the network cannot be exported to ONNX: {error}") from error
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def agreement(
    network: DeployedNetwork,
    path: Path,
    images: npt.NDArray[np.float32],
    modality_ids: npt.NDArray[np.int64],
) -> float:
    """Return the share of pixels to which ONNX Runtime and PyTorch give the same class.

    Other outputs are not compared.

    Args:
        network: what was exported.
        path: the ONNX file.
        images: float32 ``[N, M, 3, H, W]``, N frames with the same M modalities.
        modality_ids: int64 ``[M]``.
    """
    session = open_session(path)
    equal = []
    for frame in images:
        (mask,) = session.run(["mask"], {"images": frame, "modality_ids": modality_ids})
        with torch.inference_mode():
            result = network(torch.from_numpy(frame), torch.from_numpy(modality_ids))
        expected = result[0] if isinstance(result, tuple) else result
        equal.append(np.mean(mask == expected.numpy()))
    return float(np.mean(equal))


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes on source files and lines, which name the trainer's machine."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
