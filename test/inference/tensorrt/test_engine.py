"""The engine on the fake GPU: right for every subset, and nothing leaves the GPU in between."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.fake_gpu import FakeGpu
from fixtures.tiny_halves import HEIGHT, WIDTH

from anymodal_seg_ros.errors import ConfigError, EngineError, ModelError
from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engine_protocol import described
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import PYRAMID
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.tensorrt.build_process import PlanBuilder, Request
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.device import Cuda, DevicePool, HostArray
from anymodal_seg_ros.inference.tensorrt.engine import NotBuiltError, TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.graphs import forms_of
from anymodal_seg_ros.inference.tensorrt.libraries import load_libraries
from anymodal_seg_ros.inference.tensorrt.proof import proven
from anymodal_seg_ros.inference.verification.self_test import subsets

RIGHT = "15 subsets right in at least 100.00 % of the pixels"
FUSED = {(1,), (2,), (3,), (4,)}


@pytest.fixture(scope="module")
def model(tiny_halves: Path) -> Model:
    return load_model(str(tiny_halves))


def build(model: Model, confidence: bool = False) -> None:
    request = Request(str(model.folder), confidence, str(PlanCache().folder))
    PlanBuilder(request, lambda news: None, lambda: False).build()


@pytest.fixture()
def engine(model: Model, fake_gpu: FakeGpu) -> TensorRtEngine:
    build(model)
    return TensorRtEngine(model)


def frame(rows: tuple[int, ...], seed: int = 0) -> ModalityBatch:
    images = np.random.default_rng(seed).standard_normal((len(rows), 3, HEIGHT, WIDTH), np.float32)
    return ModalityBatch(images, np.array(rows, np.int64))


def test_every_subset_is_as_in_onnx_runtime(engine: TensorRtEngine, model: Model) -> None:
    reference = create_engine("onnxruntime", model, 1)
    for subset in subsets(4):
        batch = frame(subset, len(subset))
        expected = reference.run(batch).logits
        for result in (engine.run(batch), engine.fuse(engine.encode(batch))):
            np.testing.assert_allclose(result.logits, expected, atol=1e-4)
            assert result.logits is not None and result.logits.dtype == np.float32
    assert proven(engine, model) == RIGHT
    assert engine.name == "tensorrt 10.3.0 fp32 cuda" and engine.splits


def test_features_stay_on_the_gpu_and_results_are_copies(engine: TensorRtEngine) -> None:
    batch = frame((0, 2))
    features = engine.encode(batch)
    runtime = load_libraries().cudart
    for row in features:
        assert [stage.shape[1:] for stage in row.pyramid] == [
            (3, HEIGHT // s, WIDTH // s) for s in (4, 8, 16, 32)
        ]
        for stage in row.pyramid:
            assert runtime._within(runtime._device, stage.address, stage.nbytes)
        assert row.nbytes == sum(stage.nbytes for stage in row.pyramid)
    first = engine.fuse(features).logits
    assert first is not None
    kept = first.copy()
    engine.fuse(engine.encode(frame((1, 3), seed=9)))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(engine.fuse(features).logits, kept, "features are as they were")


def test_each_number_of_sensors_is_one_cuda_graph(engine: TensorRtEngine) -> None:
    assert engine._plans["encode"].captured == {(1,)}
    assert engine._plans["fuse"].captured == FUSED
    engine.run(frame((0, 0, 1, 1, 2, 3)))  # a rig with two cameras of a kind
    assert engine._plans["fuse"].captured == FUSED | {(6,)}


@pytest.mark.parametrize("how", ["refused", "impossible"])
def test_what_cannot_be_captured_runs_without(how: str, model: Model, fake_gpu: FakeGpu) -> None:
    fake_gpu.says(capture=how)
    build(model)
    engine = TensorRtEngine(model)
    assert engine._plans["fuse"].captured == set()
    assert engine.note.startswith("no CUDA graph for encode of 1 and fuse of 1, 2, 3, 4 sensors")
    words = f"{engine.name} ({engine.note}; not yet verified on hardware)"
    assert described(engine) == words, "it is slower, and that is told"
    assert proven(engine, model) == RIGHT


def test_garbage_of_another_engine_does_not_end_a_capture(
    model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is freed when its owner is collected, in whichever thread happens to allocate."""
    build(model)
    cuda = Cuda(load_libraries().cudart)
    thresholds = gc.get_threshold()
    begin = cuda.runtime.cudaStreamBeginCapture

    def with_garbage(stream: Any, mode: Any) -> Any:
        cycle: list[Any] = [HostArray(cuda, (4,), np.float32)]
        cycle.append(cycle)
        gc.set_threshold(1)
        return begin(stream, mode)

    try:
        monkeypatch.setattr(cuda.runtime, "cudaStreamBeginCapture", with_garbage)
        engine = TensorRtEngine(model)
    finally:
        gc.set_threshold(*thresholds)
    assert engine._plans["fuse"].captured == FUSED and engine.note == ""


def test_a_frame_that_fails_leaves_nothing_under_way(
    engine: TensorRtEngine, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory for its features, those of others must not be overwritten by its copies."""
    runtime = load_libraries().cudart
    whole = engine.encode(frame((0,)))
    expected = engine.fuse(whole).logits
    take, turns = DevicePool.take, iter(range(100))

    def exhausted(pool: DevicePool, shape: tuple[int, ...], dtype: Any) -> Any:
        if next(turns) >= 2:
            raise EngineError("cudaMalloc failed: out of memory (2)")
        return take(pool, shape, dtype)

    monkeypatch.setattr(DevicePool, "take", exhausted)
    with pytest.raises(EngineError, match="out of memory"):
        engine.encode(frame((1,), seed=5))
    monkeypatch.undo()
    assert not any(stream.work for stream in runtime._streams.values()), "copies still to come"
    np.testing.assert_array_equal(engine.fuse(whole).logits, expected)


def test_every_engine_of_a_process_speaks_to_one_log(
    model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT keeps the first one for as long as any of its objects lives."""
    build(model)
    libraries = load_libraries()
    given: list[Any] = []
    for name in ("Builder", "Runtime"):
        real = getattr(libraries.trt, name)
        monkeypatch.setattr(
            libraries.trt, name, lambda log, real=real: given.append(log) or real(log)
        )
    first = TensorRtEngine(model)
    second = TensorRtEngine(model)
    assert len(given) == 4 and len({id(log) for log in given}) == 1
    assert first.name == second.name


def test_a_failure_is_not_told_with_the_reason_of_an_older_one(
    model: Model, fake_gpu: FakeGpu
) -> None:
    build(model)
    cache, key = PlanCache(), plan_key(forms_of(model)[0][0], load_libraries())
    plan = cache.find(key)
    assert plan is not None
    cache.keep(key, b"ftrt something else")
    with pytest.raises(EngineError, match="Magic tag does not match"):
        TensorRtEngine(model)
    cache.keep(key, plan)
    engine = TensorRtEngine(model)
    assert "Magic" not in str(engine._plans["encode"].failure())


@pytest.mark.usefixtures("young_heap")
def test_memory_does_not_grow_over_many_switches(engine: TensorRtEngine) -> None:
    runtime = load_libraries().cudart
    held: list[Any] = []

    def turn(number: int) -> None:
        batch = frame(subsets(4)[number % 15], number)
        held.append(engine.encode(batch))
        engine.fuse(held[-1])
        del held[:-3]

    for number in range(15):  # all subsets once
        turn(number)
    gc.collect()
    before = len(runtime._device), len(runtime._pinned)
    for number in range(30):
        turn(number)
    gc.collect()
    assert (len(runtime._device), len(runtime._pinned)) == before


@pytest.mark.usefixtures("young_heap")
def test_all_memory_goes_back_with_the_engine(model: Model, fake_gpu: FakeGpu) -> None:
    build(model)
    engine = TensorRtEngine(model)
    runtime = load_libraries().cudart
    features = engine.encode(frame((0,)))
    assert runtime._device and runtime._pinned
    del engine
    gc.collect()
    assert len(runtime._device) >= 4 and not runtime._pinned, "what is held is still there"
    del features
    gc.collect()
    assert not runtime._device


def test_several_threads_get_what_one_gets(engine: TensorRtEngine) -> None:
    batches = [frame(subset, 7) for subset in subsets(4)] * 3
    expected = [engine.run(batch).logits for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda batch: engine.run(batch).logits, batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_memory_for_a_second_frame_at_a_time_frames_take_turns(
    engine: TensorRtEngine, fake_gpu: FakeGpu
) -> None:
    expected = engine.run(frame((0,))).logits
    fake_gpu.says(memory_mb=0)
    with ThreadPoolExecutor(1) as thread:
        lanes = engine._plans["fuse"].ready((1,), PYRAMID)
        lane = lanes.take()  # a frame is under way
        found = thread.submit(engine.run, frame((0,)))
        time.sleep(0.1)
        lanes.give_back(lane)
        np.testing.assert_array_equal(found.result(60).logits, expected)


def test_ids_and_numbers_that_the_plans_are_not_made_for(engine: TensorRtEngine) -> None:
    for ids in ((), (4,), (-1,), (0, 17)):
        batch = ModalityBatch(
            np.zeros((len(ids), 3, HEIGHT, WIDTH), np.float32), np.array(ids, np.int64)
        )
        with pytest.raises(EngineError, match="expected at least one, of 0 to 3"):
            engine.encode(batch)
    with pytest.raises(
        EngineError, match="made for at most 8 rows, not for 9 rows: use another engine"
    ):
        engine.run(frame((0, 1, 2, 3, 0, 1, 2, 3, 0)))


def test_without_plans_or_with_damaged_ones_it_says_what_to_do(
    model: Model, fake_gpu: FakeGpu
) -> None:
    with pytest.raises(NotBuiltError, match="no plan for this machine yet: anymodal-seg build-eng"):
        TensorRtEngine(model)
    build(model)
    path = PlanCache().path(plan_key(forms_of(model)[0][1], load_libraries()))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(NotBuiltError, match="has 50 bytes"):
        TensorRtEngine(model)


def test_a_plan_that_tensorrt_refuses_is_told_in_its_words(model: Model, fake_gpu: FakeGpu) -> None:
    """As after an update that did not change the version, or a GPU that calls itself the same."""
    build(model)
    cache, key = PlanCache(), plan_key(forms_of(model)[0][0], load_libraries())
    cache.keep(key, b"ftrt something else")
    with pytest.raises(EngineError, match="refuses the plan of 'encode': Magic tag does not match"):
        TensorRtEngine(model)


def test_an_engine_that_computes_nonsense_is_not_taken(model: Model, fake_gpu: FakeGpu) -> None:
    build(model)
    fake_gpu.says(run="nan")
    with pytest.raises(ModelError, match="not finite"):
        TensorRtEngine(model)
    fake_gpu.says(run="wrong")
    with pytest.raises(EngineError, match=r"is wrong here: with rgb only \d+\.\d+ % of the pixels"):
        proven(TensorRtEngine(model), model)
    fake_gpu.says(run="well", memory_mb=0)
    with pytest.raises((EngineError, ModelError), match="cudaErrorMemoryAllocation"):
        TensorRtEngine(model)


def test_confidence_must_be_in_the_graphs(model: Model, fake_gpu: FakeGpu) -> None:
    with pytest.raises(ConfigError, match="confidence is on"):
        build(model, confidence=True)
