"""The graph that turns logits into the mask at a camera's size: it stands behind the network's own.

By itself, and not in the fusing graph, which has a profile for each number of sensors: with one for
each size of a mask as well there would be three times as many, and plans that were built before
would be of no use. It depends on nothing of a network but the shape of its logits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.tensorrt import onnx_writer as onnx
from anymodal_seg_ros.inference.tensorrt.graphs import GraphSpec, Range

ROLE = "mask"
CANVAS = "canvas"
"""An input of the size of the mask, of which nothing is ever read but its shape."""

RANGES: tuple[Range, ...] = (
    ((1, 1), (480, 640), (480, 640)),
    ((1, 1), (720, 1280), (768, 1280)),
    ((1, 1), (1080, 1920), (1200, 1920)),
)
"""Sizes of cameras. A plan takes the memory of the largest size of the range that a mask is in."""

MOST_BYTES = 256 << 20
"""Of logits at the size of a mask: with more, masks are made on the processor."""


def mask_graphs(manifest: Manifest) -> Mapping[str, GraphSpec]:
    """Return the forms that the graph may have, by name; none where the masks would be too large.

    Which one is the faster, TensorRT's version and the GPU decide: they are timed when plans are
    built. ``argmax`` is TensorRT's own search, ``equal`` looks for the largest value and for the
    first class that has it. Interpolation is that of
    :func:`~anymodal_seg_ros.inference.argmax.lazy_argmax`.
    """
    classes, height, width = len(manifest.classes), manifest.height, manifest.width
    ranges = tuple(some for some in RANGES if 4 * classes * some[-1][0] * some[-1][1] <= MOST_BYTES)
    if not ranges:
        return {}
    shape = (classes, -(-height // 4), -(-width // 4))
    return {
        form: GraphSpec(ROLE, "fp32", _file(form, shape), ("mask",), ranges)
        for form in ("argmax", "equal")
    }


def _file(form: str, shape: tuple[int, int, int]) -> bytes:
    classes = shape[0]
    nodes = [
        onnx.node("Shape", [CANVAS], "size"),
        onnx.node("Concat", ["one_of_all_classes", "size"], "sizes", axis=0),
        onnx.node("Unsqueeze", ["logits", "first"], "small"),
        onnx.node(
            *("Resize", ["small", "", "", "sizes"], "large"),
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        ),
    ]
    constants: dict[str, onnx.Constant] = {
        "one_of_all_classes": np.array([1, classes], np.int64),
        "first": np.array([0], np.int64),
    }
    if form == "argmax":
        nodes.append(onnx.node("ArgMax", ["large"], "class", axis=1, keepdims=0))
    else:
        nodes += [
            onnx.node("ReduceMax", ["large", "second"], "largest"),
            onnx.node("Equal", ["large", "largest"], "is_largest"),
            onnx.node("Where", ["is_largest", "ids", "none"], "candidates"),
            onnx.node("ReduceMin", ["candidates", "second"], "class", keepdims=0),
        ]
        constants |= {
            "second": np.array([1], np.int64),
            "ids": np.arange(classes, dtype=np.int32).reshape(1, classes, 1, 1),
            "none": np.array(classes, np.int32),
        }
    nodes += [
        onnx.node("Squeeze", ["class", "first"], "ids_of_pixels"),
        # TensorRT knows uint8 only as the type of an output, and makes it of floats alone.
        onnx.node("Cast", ["ids_of_pixels"], "as_numbers", to=onnx.FLOAT),
        onnx.node("Cast", ["as_numbers"], "mask", to=onnx.UINT8),
    ]
    size = ("height", "width")
    inputs = [onnx.value(CANVAS, onnx.FLOAT, size), onnx.value("logits", onnx.FLOAT, shape)]
    return onnx.file(ROLE, nodes, inputs, [onnx.value("mask", onnx.UINT8, size)], constants)
