"""A graph is cut in two where the halves of a network meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from fixtures.tiny_halves import HEIGHT, WIDTH

from anymodal_seg_ros.inference.manifest import PYRAMID
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.onnx_file import cut, open_session

FRAME, ROWS = ("images", "modality_ids"), (*PYRAMID, "modality_ids")


@pytest.fixture()
def whole(tiny_halves: Path) -> onnx.ModelProto:
    """It tells the types of its inner values, as exported graphs do."""
    return onnx.shape_inference.infer_shapes(onnx.load(tiny_halves / "model.onnx"))


def test_each_half_has_its_own_operators_and_weights(
    whole: onnx.ModelProto, tiny_halves: Path
) -> None:
    for name, inputs, outputs in (("encode", FRAME, PYRAMID), ("fuse", ROWS, ("logits",))):
        part, drawn = cut(whole, inputs, outputs), onnx.load(tiny_halves / f"{name}.onnx")
        onnx.checker.check_model(part, full_check=True)
        assert part.graph.node == drawn.graph.node
        assert part.graph.initializer == drawn.graph.initializer
        assert part.graph.input == drawn.graph.input
        assert [value.name for value in part.graph.output] == list(outputs)
        assert (part.ir_version, part.opset_import) == (whole.ir_version, whole.opset_import)


def test_the_halves_compute_what_the_whole_computes_bit_for_bit(
    whole: onnx.ModelProto, tmp_path: Path
) -> None:
    parts = {
        "whole": whole,
        "encode": cut(whole, FRAME, PYRAMID),
        "fuse": cut(whole, ROWS, ["logits"]),
    }
    for name, part in parts.items():
        onnx.save(part, tmp_path / name)
    sessions = {name: open_session(tmp_path / name) for name in parts}
    ids = np.array([2, 0, 3])
    images = np.random.default_rng(0).standard_normal((3, 3, HEIGHT, WIDTH), np.float32)
    frame = {"images": images, "modality_ids": ids}
    maps = dict(zip(PYRAMID, sessions["encode"].run(PYRAMID, frame), strict=True))
    (fused,) = sessions["fuse"].run(["logits"], {**maps, "modality_ids": ids})
    (expected,) = sessions["whole"].run(["logits"], frame)
    assert np.array_equal(fused, expected)


def test_what_leads_to_nothing_asked_for_is_left_out(whole: onnx.ModelProto) -> None:
    part = cut(whole, FRAME, ["stride_8"])
    assert [node.op_type for node in part.graph.node] == ["Gather", "Add", "AveragePool"]
    inner = [value.name for value in part.graph.value_info]
    assert set(inner) == {"offsets", "shifted"}


def test_a_half_that_needs_more_than_it_is_given_is_refused(whole: onnx.ModelProto) -> None:
    """Named is where its operators begin."""
    told = r"logits cannot be told from stride_4 alone, but also need images, modality_ids$"
    with pytest.raises(TrainingError, match=told):
        cut(whole, ["stride_4"], ["logits"])
