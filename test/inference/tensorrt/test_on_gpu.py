"""For the day when a GPU is at hand: the real TensorRT builds, runs, and agrees. Needs minutes."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import ByteBatch, BytePlanes
from anymodal_seg_ros.inference.tensorrt.background import (
    CANCELLED,
    DONE,
    BackgroundBuild,
    BuildLimits,
)
from anymodal_seg_ros.inference.tensorrt.build_process import Request
from anymodal_seg_ros.inference.tensorrt.builder import build_plan
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache
from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.libraries import lack, load_libraries
from anymodal_seg_ros.inference.tensorrt.mask_graph import mask_graphs
from anymodal_seg_ros.inference.tensorrt.planes_graph import planes_graphs
from anymodal_seg_ros.inference.verification.self_test import (
    EXACT,
    HALF,
    agreements,
    frame_of_all,
    read_self_test,
    subsets,
)

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> PlanCache:
    if reason := lack():
        pytest.skip(reason)
    return PlanCache(tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="module", params=["rig-nano", "rig-b0"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param)


@pytest.fixture(scope="module")
def engine(model: Model, cache: PlanCache) -> Iterator[TensorRtEngine]:
    build = BackgroundBuild(Request(str(model.folder), True, str(cache.folder)), BuildLimits(3000))
    build.start()
    status = build.wait()
    assert status.state == DONE, status
    assert status.percent == 100.0 and status.notes
    yield TensorRtEngine(model, True, cache)


def frame(model: Model, rows: tuple[int, ...], seed: int) -> ModalityBatch:
    shape = (len(rows), 3, model.manifest.height, model.manifest.width)
    images = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return ModalityBatch(images, np.array(rows, np.int64))


def test_every_subset_passes_the_self_test(engine: TensorRtEngine, model: Model) -> None:
    test = read_self_test(model)
    assert test is not None
    shares = agreements(engine, test)
    assert len(shares) == 15 and min(shares.values()) >= HALF, shares


def test_it_agrees_with_onnx_runtime_on_confidence_and_contributions(
    engine: TensorRtEngine, model: Model
) -> None:
    test, reference = read_self_test(model), create_engine("onnxruntime", model, 4, True)
    assert test is not None
    for subset in subsets(4):
        images = np.ascontiguousarray(test.images[list(subset)], np.float32)
        batch = ModalityBatch(images, np.array(subset, np.int64))
        found, expected = engine.run(batch), reference.run(batch)
        assert found.confidence is not None and expected.confidence is not None
        apart = np.abs(found.confidence.astype(int) - expected.confidence.astype(int))
        assert np.mean(apart <= 8) > 0.98, subset
        np.testing.assert_allclose(found.contributions, expected.contributions, atol=0.02)


def test_every_shape_was_captured_and_gives_the_same_bits_again(
    engine: TensorRtEngine, model: Model
) -> None:
    assert engine._plans["encode"].captured == {(1,)}
    assert engine._plans["fuse"].captured == {(1,), (2,), (3,), (4,)}
    batch = frame(model, (0, 1, 2, 3), 0)
    first = engine.run(batch).logits
    alone = [engine.encode(frame(model, (0, 1, 2, 3), 0))[row] for row in range(4)]
    for _ in range(20):
        np.testing.assert_array_equal(engine.run(batch).logits, first)
    np.testing.assert_array_equal(engine.fuse(alone).logits, first)


@pytest.mark.parametrize("form", ["argmax", "equal"])
def test_masks_at_the_size_of_a_camera_are_those_of_the_processor(
    form: str, engine: TensorRtEngine, model: Model, cache: PlanCache
) -> None:
    graph = mask_graphs(model.manifest)[form]
    plan = build_plan(graph, load_libraries(), cache, lambda share, phase: None, lambda: False)
    kept = engine.masks
    engine.use_masks(plan)
    try:
        result = engine.run(frame_of_all(model))
        assert result.mask_at is not None and result.logits is not None and engine.masks
        for size in ((480, 640), (720, 1280), (1080, 1920), (40, 50)):
            engine.masks.prepare(size)
            share = np.mean(result.mask_at(*size) == lazy_argmax(result.logits, *size))
            assert share >= EXACT, (size, share)
        assert not engine.masks.note
    finally:
        engine.masks = kept


def test_pictures_of_8_bits_give_the_masks_of_their_planes(
    engine: TensorRtEngine, model: Model, cache: PlanCache
) -> None:
    graph = planes_graphs(model.manifest)["bytes"]
    plan = build_plan(graph, load_libraries(), cache, lambda share, phase: None, lambda: False)
    spec, size = model.manifest.modalities["rgb"], (model.manifest.height, model.manifest.width)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    batch = ByteBatch([BytePlanes(pixels, spec)])
    kept, engine.planes = engine.planes, None
    try:
        expected = engine.run(batch).logits
        engine.use_planes(plan)
        found = engine.run(ByteBatch(batch.rows)).logits
    finally:
        engine.planes = kept
    assert expected is not None and found is not None
    assert np.mean(found.argmax(axis=0) == expected.argmax(axis=0)) >= HALF


def test_memory_does_not_grow_over_switches_of_subset(engine: TensorRtEngine, model: Model) -> None:
    cuda = engine._plans["fuse"].cuda

    def free() -> int:
        gc.collect()
        error, left, _ = cuda.runtime.cudaMemGetInfo()
        assert int(error) == 0
        return int(left)

    frames = [frame(model, subset, 1) for subset in subsets(4)]
    for batch in frames:
        engine.run(batch)
    before = free()
    for turn in range(600):
        engine.run(frames[turn % 15])
    assert before - free() < 8 << 20


def test_cancelling_takes_seconds_and_the_next_build_is_shorter_for_it(
    model: Model, tmp_path: Path, cache: PlanCache
) -> None:
    request = Request(str(model.folder), False, str(tmp_path), True)
    build = BackgroundBuild(request)
    build.start()
    while build.status.percent < 5 and not build.status.ended:
        time.sleep(0.1)
    started = time.monotonic()
    build.cancel(wait_s=30)
    assert build.wait().state == CANCELLED and time.monotonic() - started < 30
    assert [entry.path.suffix for entry in PlanCache(tmp_path).entries()] == [".cache"]
