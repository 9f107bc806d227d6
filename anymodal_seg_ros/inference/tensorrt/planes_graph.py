"""The graph that normalises a picture of 8 bits: it stands before the network's own.

By itself, and not in the encoding graph, which takes the planes of other sensors as well: depth,
LiDAR and temperatures are no straight line of bytes. What is subtracted and divided by comes as
data, so one plan serves every kind of camera.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.preprocess import BytePlanes
from anymodal_seg_ros.inference.tensorrt import onnx_writer as onnx
from anymodal_seg_ros.inference.tensorrt.graphs import GraphSpec

ROLE = "planes"
_PER_PLANE = (1, 3, 1, 1)


def planes_graphs(manifest: Manifest) -> Mapping[str, GraphSpec]:
    """Return the graph under the name of its form, as there may be several of others."""
    shape = (1, 3, manifest.height, manifest.width)
    content = onnx.file(
        ROLE,
        [
            onnx.node("Cast", ["pixels"], "numbers", to=onnx.FLOAT),
            onnx.node("Mul", ["numbers", "scale"], "scaled"),
            onnx.node("Add", ["scaled", "shift"], "images"),
        ],
        [
            onnx.value("pixels", onnx.UINT8, shape),
            onnx.value("scale", onnx.FLOAT, _PER_PLANE),
            onnx.value("shift", onnx.FLOAT, _PER_PLANE),
        ],
        [onnx.value("images", onnx.FLOAT, shape)],
        {},
    )
    return {"bytes": GraphSpec(ROLE, "fp32", content, ("images",), ())}


def planes_inputs(row: BytePlanes) -> dict[str, npt.NDArray[np.generic]]:
    """Return what the graph takes of a picture."""
    mean, std = (np.reshape(of, _PER_PLANE) for of in (row.spec.mean, row.spec.std))
    scale, shift = ((1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32))
    return {"pixels": row.pixels[None], "scale": scale, "shift": shift}
