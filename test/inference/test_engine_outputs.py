"""Engines compute what is asked for, and say so when a model cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.tiny_model import write_tiny_model

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import dump_manifest, load_manifest
from anymodal_seg_ros.inference.model import load_model


def test_a_model_with_a_mask_alone_says_nothing_else(tiny_model: Path) -> None:
    model = load_model(str(tiny_model))
    assert model.manifest.outputs == ("mask",)
    shape = (2, 3, model.manifest.height, model.manifest.width)
    result = create_engine("onnxruntime", model, 1).run(
        ModalityBatch(np.zeros(shape, np.float32), np.array([0, 2]))
    )
    assert result.mask.shape == shape[2:]
    assert result.confidence is None and result.contributions is None


def test_confidence_that_a_graph_does_not_have_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="ONNX file of the model tiny has no such output"):
        create_engine("onnxruntime", load_model(str(tiny_model)), 1, confidence=True)


def test_a_manifest_that_promises_more_than_the_graph_has_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path)
    promised = replace(load_manifest(folder), outputs=("mask", "contributions"))
    dump_manifest(promised, folder)
    says = r"model.onnx is not what model.yaml .* says.*outputs mask, contributions: .*export"
    with pytest.raises(ModelError, match=says):
        create_engine("onnxruntime", load_model(str(folder)), 1)


def test_torch_is_sure_of_any_model() -> None:
    pytest.importorskip("torch")
    model = load_model()
    shape = (2, 3, model.manifest.height, model.manifest.width)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    batch = ModalityBatch(images, np.array([0, 2]))
    quiet = create_engine("torch", model, 1).run(batch)
    telling = create_engine("torch", model, 1, confidence=True).run(batch)
    assert quiet.confidence is None and telling.confidence is not None
    assert quiet.logits is not None and np.array_equal(quiet.logits, telling.logits)
    assert telling.confidence.shape == (shape[2] // 4, shape[3] // 4)
    assert telling.confidence.min() >= 255 // len(model.manifest.classes)
