"""Our graphs hold nothing that TensorRT's published table of operators does not."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from fixtures.tensorrt_operators import unsupported
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[3]
GRAPHS = sorted((ROOT / "models").glob("*/*.onnx"))


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_bundled_graphs_are_readable(path: Path) -> None:
    assert unsupported(onnx.load(path)) == []


def graph(*nodes: onnx.NodeProto, out: int = TensorProto.FLOAT, opset: int = 20) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["M", 3, 8, 8])],
        [helper.make_tensor_value_info("y", out, None)],
        [helper.make_tensor("zero", TensorProto.INT64, [], [0])],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def test_it_finds_what_would_be_refused() -> None:
    node = helper.make_node
    cast = node("Cast", ["x"], ["bytes"], to=TensorProto.UINT8)
    assert unsupported(graph(node("Cast", ["x"], ["y"], to=2), out=TensorProto.UINT8)) == []
    inside = graph(cast, node("Gather", ["bytes", "zero"], ["y"]), out=TensorProto.UINT8)
    assert any("bytes is uint8 inside the graph" in said for said in unsupported(inside))
    assert any("y is UINT8" in said for said in unsupported(inside))
    ids = node("Cast", ["x"], ["ids"], to=TensorProto.INT32)
    of_ids = graph(ids, node("Cast", ["ids"], ["y"], to=2), out=TensorProto.UINT8)
    assert unsupported(of_ids) == ["Cast : uint8 is no cast of INT32"]
    assert unsupported(graph(node("Relu", ["x"], ["y"]), opset=22)) == ["opset 22"]
    assert "no such operator" in unsupported(graph(node("Unique", ["x"], ["y"])))[0]
    (said,) = unsupported(graph(node("Resize", ["x", "", "", "zero"], ["y"], mode="cubic")))
    assert "mode is b'cubic'" in said
    computed = [node("Shape", ["x"], ["sides"]), node("ReduceMean", ["x", "sides"], ["y"])]
    assert "input 1 must be a constant" in unsupported(graph(*computed))[0]
