"""Graphs in half precision: typed throughout, finite, and the same classes as in single."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from anymodal_seg_ros.inference.manifest import PYRAMID, half_role
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.verification.self_test import (
    HALF,
    frame_of,
    read_self_test,
    subsets,
)
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.half_precision import LARGEST, to_half
from anymodal_seg_training.export.onnx_file import open_session

SINGLE, HALVED = TensorProto.FLOAT, TensorProto.FLOAT16


def graph_of(nodes: list[Any], weights: dict[str, np.ndarray], size: int = 4) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", SINGLE, ["rows", size])],
        [helper.make_tensor_value_info("y", SINGLE, ["rows", size])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Compute as the types say; ONNX Runtime on a CPU leaves half precision out where it can."""
    with np.errstate(all="ignore"):
        (y,) = ReferenceEvaluator(model).run(["y"], {"x": x})
    return np.asarray(y)


def types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value, by inference from the operators alone."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    known = onnx.shape_inference.infer_shapes(bare, strict_mode=True).graph
    values = [*known.value_info, *known.output, *known.input]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def overflowing() -> tuple[onnx.ModelProto, np.ndarray]:
    """A product of 2e5, moved about and brought back to 1: half precision ends at 65504."""
    nodes = [
        helper.make_node("MatMul", ["x", "large"], ["product"]),
        helper.make_node("Transpose", ["product"], ["moved"], perm=[1, 0]),
        helper.make_node("Transpose", ["moved"], ["back"], perm=[1, 0]),
        helper.make_node("MatMul", ["back", "small"], ["y"]),
    ]
    weights = {"large": 2e3 * np.eye(4), "small": 5e-4 * np.eye(4)}
    return graph_of(nodes, weights), np.array([[100.0, 50.0, -100.0, 25.0]], np.float32)


def test_what_overflows_stays_in_single_precision_all_the_way() -> None:
    model, x = overflowing()
    found = run(to_half(model, [{"x": x}]), x)
    np.testing.assert_allclose(found, x, rtol=1e-3)


def test_without_a_look_at_the_magnitudes_it_would_overflow() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("Sub", ["squares", "squares"], ["y"]),
    ]
    model, x = graph_of(nodes, {}), np.full((1, 4), 300.0, np.float32)
    assert np.isnan(run(to_half(model, [{"x": np.ones_like(x)}]), x)).all()
    assert (run(to_half(model, [{"x": x}]), x) == 0).all()


def test_norms_softmax_and_tiny_constants_stay_in_single_precision() -> None:
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "offset"], ["normed"], epsilon=1e-6),
        helper.make_node("MatMul", ["normed", "weight"], ["hidden"]),
        helper.make_node("Softmax", ["hidden"], ["shares"]),
        helper.make_node("Add", ["shares", "epsilon"], ["positive"]),
        helper.make_node("Log", ["positive"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    weights = {"scale": np.ones(4), "offset": np.zeros(4), "epsilon": np.array(1e-9)}
    model = graph_of(nodes, {**weights, "weight": rng.standard_normal((4, 4))})
    x = rng.standard_normal((3, 4)).astype(np.float32)
    half = to_half(model, [{"x": x}])
    kinds = types(half)
    assert kinds["normed"] == kinds["shares"] == kinds["positive"] == SINGLE
    assert kinds["hidden"] == HALVED
    stored = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert stored == {"scale": SINGLE, "offset": SINGLE, "weight.half": HALVED, "epsilon": SINGLE}
    np.testing.assert_allclose(run(half, x), run(model, x), atol=1e-2)


def test_a_value_that_several_read_is_cast_once_and_outputs_keep_their_type() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"]),
        helper.make_node("Exp", ["a"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    x = np.array([[0.0, 1.0, -2.0, 0.5]], np.float32)
    model = graph_of(nodes, {})
    half = to_half(model, [{"x": x}])
    made = [name for node in half.graph.node for name in node.output]
    assert len(made) == len(set(made))
    assert types(half)["y"] == SINGLE
    np.testing.assert_allclose(run(half, x), run(model, x), rtol=1e-3)


def test_what_is_large_is_said_by_the_frames() -> None:
    model, x = overflowing()
    kinds = types(to_half(model, [{"x": x}]))
    assert {kinds[name] for name in ("product", "moved", "back", "y")} == {SINGLE}
    kinds = types(to_half(model, [{"x": x / 100}]))
    assert {kinds[name] for name in ("product", "moved", "back")} == {HALVED}
    assert LARGEST < 65504 / 4


def test_a_graph_with_branches_is_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])],
        "branch",
        [],
        [helper.make_tensor_value_info("z", SINGLE, ["rows", 4])],
    )
    condition = numpy_helper.from_array(np.array(True), "always")
    node = helper.make_node("If", ["always"], ["y"], then_branch=branch, else_branch=branch)
    model = graph_of([node], {})
    model.graph.initializer.append(condition)
    with pytest.raises(TrainingError, match="loops or branches"):
        to_half(model, [{"x": np.ones((1, 4), np.float32)}])


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


def test_the_bundled_graphs_in_half_precision_give_the_classes_of_every_subset(
    model: Model,
) -> None:
    """The maps between the halves are float16, everything else is typed as in single precision."""
    test = read_self_test(model)
    assert test is not None
    whole, encode, fuse = (
        open_session(model.file(half_role(role))) for role in ("onnx", "encode", "fuse")
    )
    for subset, expected in zip(subsets(4), test.masks, strict=True):
        frame = frame_of(test.images, subset)
        inputs = {"images": frame.images, "modality_ids": frame.modality_ids}
        rows = dict(zip(PYRAMID, encode.run(PYRAMID, inputs), strict=True))
        assert {stage.dtype for stage in rows.values()} == {np.dtype(np.float16)}
        found = [
            *whole.run(["logits"], inputs),
            *fuse.run(["logits"], {**rows, "modality_ids": frame.modality_ids}),
        ]
        for logits in found:
            assert logits.dtype == np.float32 and np.isfinite(logits).all()
            assert np.mean(logits.argmax(axis=0) == expected) >= HALF, subset


def test_the_work_is_done_in_half_precision(model: Model) -> None:
    """Products and convolutions are, norms and softmax are not; so the file is half as large."""
    for role in ("onnx", "encode", "fuse"):
        half = onnx.load(model.file(half_role(role)))
        kinds = types(half)
        for node in half.graph.node:
            if node.op_type in ("MatMul", "Conv"):
                assert kinds[node.output[0]] == HALVED, node.name
            if node.op_type in ("LayerNormalization", "Softmax", "ReduceLogSumExp"):
                assert kinds[node.output[0]] == SINGLE, node.name
        sizes = [model.file(name).stat().st_size for name in (half_role(role), role)]
        assert sizes[0] < 0.55 * sizes[1]
