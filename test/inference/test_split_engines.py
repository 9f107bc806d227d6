"""Encoding and fusing apart: the same as the whole, whoever else is encoded, in any thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest

from anymodal_seg_ros.config import RigConfig, SegConfig, SensorConfig
from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import SplitEngine, can_split
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.verification.contract import warm_up
from anymodal_seg_ros.pipeline import Pipeline

SUBSETS = [s for n in range(1, 5) for s in combinations(range(4), n)]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


@pytest.fixture(
    scope="module",
    params=["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino), "torch"],
)
def engine(request: pytest.FixtureRequest, model: Model) -> SplitEngine:
    if request.param != "onnxruntime":
        pytest.importorskip(request.param)
    engine = create_engine(request.param, model, 1, confidence=True)
    assert can_split(engine)
    return engine


def frame(model: Model, subset: tuple[int, ...] = (0, 1, 2, 3), seed: int = 0) -> ModalityBatch:
    shape = (4, 3, model.manifest.height, model.manifest.width)
    images = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return ModalityBatch(np.ascontiguousarray(images[list(subset)]), np.array(subset, np.int64))


def test_the_halves_give_the_mask_of_the_whole_for_all_subsets(
    engine: SplitEngine, model: Model
) -> None:
    reference = create_engine("onnxruntime", model, 1)
    for subset in SUBSETS:
        batch = frame(model, subset)
        expected = reference.run(batch)
        found = engine.fuse(engine.encode(batch))
        masks = [lazy_argmax(result.logits, 480, 640) for result in (expected, found)]
        assert np.mean(masks[0] == masks[1]) >= 0.9999, subset
        np.testing.assert_allclose(found.contributions, expected.contributions, atol=1e-4)
        assert found.confidence is not None and found.mask is None


def test_features_are_the_same_whoever_is_encoded_beside(engine: SplitEngine, model: Model) -> None:
    """To the last bit: masks must not depend on what was encoded together."""
    batch = frame(model)
    together = engine.encode(batch)
    assert [row.modality_id for row in together] == [0, 1, 2, 3]
    for row, features in enumerate(together):
        one = slice(row, row + 1)
        (alone,) = engine.encode(ModalityBatch(batch.images[one], batch.modality_ids[one]))
        for first, second in zip(features.pyramid, alone.pyramid, strict=True):
            assert np.array_equal(np.asarray(first), np.asarray(second))
        assert features.nbytes == sum(np.asarray(stage).nbytes for stage in features.pyramid)


def test_features_stay_what_they_are_while_others_are_encoded(
    engine: SplitEngine, model: Model
) -> None:
    """An engine that hands out its own buffers would overwrite them."""
    kept = engine.encode(frame(model))
    before = engine.fuse(kept).logits
    for seed in range(1, 4):
        engine.fuse(engine.encode(frame(model, seed=seed)))
    assert np.array_equal(engine.fuse(kept).logits, before)


def test_several_threads_may_encode_and_fuse(engine: SplitEngine, model: Model) -> None:
    frames = [frame(model, SUBSETS[n], seed=n) for n in range(len(SUBSETS))]
    expected = [engine.fuse(engine.encode(batch)).logits for batch in frames]

    def work(batch: ModalityBatch) -> np.ndarray:
        return engine.fuse(engine.encode(batch)).logits

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(work, frames))
    for first, second in zip(expected, found, strict=True):
        assert np.array_equal(first, second)


def test_switching_between_subsets_compiles_nothing_anew(engine: SplitEngine, model: Model) -> None:
    """After the first frames there is one compiled form for each number of sensors, no more."""
    features = engine.encode(frame(model))
    for number in range(100):
        engine.fuse([features[row] for row in SUBSETS[number % len(SUBSETS)]])
    if engine.name.startswith("openvino"):
        assert sorted(engine._fuse._rows) == [1, 2, 3, 4]  # type: ignore[attr-defined]
        assert sorted(engine._encode._rows) == [1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kind", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
)
def test_a_rig_of_many_cameras_waits_for_no_compiler_while_driving(kind: str) -> None:
    if kind != "onnxruntime":
        pytest.importorskip(kind)
    kinds = ("rgb", "rgb", "thermal", "thermal", "depth", "depth")
    sensors = {f"{k}{n}": SensorConfig(f"/{k}{n}", k) for n, k in enumerate(kinds)}
    pipeline = Pipeline.from_config(SegConfig(rig=RigConfig(sensors), engine=kind, threads=1))
    if kind == "openvino":
        assert sorted(pipeline.engine._fuse._rows) == [1, 2, 3, 4, 5, 6]  # type: ignore[attr-defined]


def test_more_sensors_than_an_engine_can_fuse_are_told_at_the_start(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine("onnxruntime", model, 1)
    assert can_split(engine)
    fuse = engine.fuse

    def narrow(features: Sequence[Features]) -> Segmentation:
        if len(features) > 4:
            raise ValueError("no profile for 5 rows")
        return fuse(features)

    monkeypatch.setattr(engine, "fuse", narrow)
    warm_up(engine, model.manifest, 4)
    with pytest.raises(ModelError, match="cannot fuse 5 sensors: no profile for 5 rows"):
        warm_up(engine, model.manifest, 6)


def test_a_folder_with_one_graph_is_run_whole(tiny_model: object) -> None:
    assert not can_split(create_engine("onnxruntime", load_model(str(tiny_model)), 1))


def test_sensors_may_come_in_any_order(engine: SplitEngine, model: Model) -> None:
    features = engine.encode(frame(model))
    forward, backward = engine.fuse(features), engine.fuse(features[::-1])
    assert np.abs(forward.logits - backward.logits).max() < 1e-3
    np.testing.assert_allclose(forward.contributions, backward.contributions[::-1], atol=1e-5)
