"""What is done around a network on the GPU is what the processor does; the faster one does it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fixtures.fake_gpu import FakeGpu
from fixtures.tensorrt_operators import unsupported

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import Image, Mask, ModalityBatch
from anymodal_seg_ros.inference.engine_protocol import described
from anymodal_seg_ros.inference.manifest import Manifest, dump_manifest, half_role
from anymodal_seg_ros.inference.masks.argmax import Logits, lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import ByteBatch, BytePlanes, byte_planes
from anymodal_seg_ros.inference.tensorrt import offload
from anymodal_seg_ros.inference.tensorrt.build_process import PlanBuilder, Request
from anymodal_seg_ros.inference.tensorrt.builder import BuildCancelledError
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, PlanKey, plan_key
from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.libraries import load_libraries
from anymodal_seg_ros.inference.tensorrt.mask_graph import MOST_BYTES, RANGES, mask_graphs
from anymodal_seg_ros.inference.tensorrt.masks import MOST_SIZES, MaskMaker
from anymodal_seg_ros.inference.tensorrt.planes_graph import planes_graphs, planes_inputs
from anymodal_seg_ros.inference.tensorrt.runner import Plan
from anymodal_seg_ros.inference.verification.self_test import (
    EXACT,
    HALF,
    ROLE,
    frame_of,
    frame_of_all,
    read_self_test,
    subsets,
)

SIZES = ((480, 640), (513, 641), (720, 1280), (40, 50), (1, 1))
FORMS = ("argmax", "equal")


@pytest.fixture(scope="module")
def model(tiny_halves: Path) -> Model:
    return load_model(str(tiny_halves))


@pytest.fixture(scope="module")
def bundled() -> Model:
    return load_model("rig-nano")


def session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def masker(form: str, manifest: Manifest) -> Callable[[Logits, tuple[int, int]], Mask]:
    run = session(mask_graphs(manifest)[form].content).run

    def made(logits: Logits, size: tuple[int, int]) -> Mask:
        inputs = {"canvas": np.zeros(size, np.float32), "logits": logits}
        mask: Mask = run(["mask"], inputs)[0]
        assert mask.dtype == np.uint8 and mask.shape == size
        return mask

    return made


def logits_of(model: Model, precision: Callable[[str], str]) -> Iterator[Logits]:
    """Yield the logits of every subset of the self-test, by the halves of one precision."""
    test = read_self_test(model)
    assert test is not None
    encode, fuse = (session(model.read_graph(precision(role))) for role in ("encode", "fuse"))
    for subset in subsets(len(test.images)):
        frame = frame_of(test.images, subset)
        ids = {"modality_ids": frame.modality_ids}
        names = [output.name for output in encode.get_outputs()]
        maps = encode.run(names, {"images": frame.images, **ids})
        inputs = {**dict(zip(names, maps, strict=True)), **ids}
        yield fuse.run(["logits"], inputs)[0].astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_makes_the_masks_of_the_processor_for_every_subset(
    form: str, bundled: Model
) -> None:
    make = masker(form, bundled.manifest)
    for number, logits in enumerate(logits_of(bundled, str)):
        size = SIZES[number % len(SIZES)]
        share = np.mean(make(logits, size) == lazy_argmax(logits, *size))
        assert share >= EXACT, (number, size, share)


def test_masks_of_half_precision_are_those_of_single(bundled: Model) -> None:
    make = masker("argmax", bundled.manifest)
    pairs = zip(logits_of(bundled, half_role), logits_of(bundled, str), strict=True)
    for number, (half, single) in enumerate(pairs):
        share = np.mean(make(half, (480, 640)) == lazy_argmax(single, 480, 640))
        assert share >= HALF, (number, share)


@pytest.mark.parametrize("form", FORMS)
def test_of_equal_logits_the_first_class_wins(form: str, model: Model) -> None:
    classes = len(model.manifest.classes)
    logits = np.zeros((classes, model.manifest.height // 4, model.manifest.width // 4), np.float32)
    logits[1:3] = 7.0
    assert (masker(form, model.manifest)(logits, (30, 40)) == 1).all()


@pytest.mark.parametrize("form", [*FORMS, "bytes"])
def test_tensorrt_can_read_a_form(form: str, bundled: Model) -> None:
    forms = {**mask_graphs(bundled.manifest), **planes_graphs(bundled.manifest)}
    graph = onnx.load_from_string(forms[form].content)
    onnx.checker.check_model(graph, full_check=True)
    assert unsupported(graph) == []


def test_with_many_classes_large_masks_are_left_to_the_processor(model: Model) -> None:
    def ranges(classes: int) -> list[int]:
        many = dataclasses.replace(model.manifest, classes=model.manifest.classes[:1] * classes)
        return [len(graph.profiles) for graph in mask_graphs(many).values()]

    assert ranges(16) == [3, 3] and ranges(60) == [2, 2] and ranges(255) == []
    assert 4 * 16 * RANGES[-1][-1][0] * RANGES[-1][-1][1] <= MOST_BYTES


class Built:
    """Builds a model on the fake GPU, where a form takes as long as the test says."""

    def __init__(self, model: Model, patch: pytest.MonkeyPatch) -> None:
        self.model, self._patch = model, patch

    def __call__(self, *ms: float, planes: tuple[float, ...] = (1.0, 2.0)) -> str:
        """Build anew.

        Args:
            ms: that masks take on the processor, by ``argmax`` and by ``equal``.
            planes: that planes take on the processor and by ``bytes``.

        Returns:
            What was told of masks and of planes.
        """
        times, news = iter((*ms, *planes)), list[Any]()
        self._patch.setattr(offload, "_best_ms", lambda work: next(times))
        request = Request(str(self.model.folder), False, str(PlanCache().folder), True)
        PlanBuilder(request, news.append, lambda: False).build()
        return "\n".join(told["text"] for told in news[-2:])

    @property
    def kept(self) -> list[str]:
        """Forms whose plans are in the cache."""
        cache, libraries = PlanCache(), load_libraries()
        manifest = self.model.manifest
        graphs = {**mask_graphs(manifest), **planes_graphs(manifest)}
        return [form for form, graph in graphs.items() if cache.find(plan_key(graph, libraries))]


@pytest.fixture()
def build(model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> Built:
    fake_gpu.says(around=True)
    return Built(model, monkeypatch)


def settle() -> None:
    """Wait for the buffers of a size that have been begun."""
    for thread in threading.enumerate():
        if thread.name.startswith("masks of "):
            thread.join(60)


def test_a_form_that_finds_no_room_is_left_to_the_processor(
    build: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = PlanCache.keep

    def full(cache: PlanCache, key: PlanKey, plan: bytes, **about: Any) -> None:
        if key.role == "mask":
            raise EngineError("cannot write the plan: No space left on device; make room")
        keep(cache, key, plan, **about)

    monkeypatch.setattr(PlanCache, "keep", full)
    told = build(5.0, 3.0, 2.0)
    assert "equal cannot be kept (cannot write the plan: No space left" in told
    assert "; processor is taken" in told.splitlines()[0] and build.kept == []


def test_the_fastest_form_is_kept(build: Built) -> None:
    assert build(5.0, 3.0, 2.0) == (
        "masks of 480x640: processor 5.00 ms, argmax 3.00 ms, equal 2.00 ms; equal is taken\n"
        "a mask of one camera of 8 bits: processor 1.00 ms, bytes 2.00 ms; processor is taken"
    )
    assert build.kept == ["equal"]
    build(5.0, 3.0, 4.0, planes=(2.0, 1.0))
    assert build.kept == ["argmax", "bytes"]
    told = build(1.0, 3.0, 2.0)
    assert told.count("processor is taken") == 2 and build.kept == []


def test_where_the_processor_is_faster_everything_is_as_with_other_engines(
    build: Built, model: Model
) -> None:
    build(1.0, 3.0, 2.0)
    engine = TensorRtEngine(model)
    assert engine.masks is None and engine.run(frame_of_all(model)).mask_at is None
    assert engine.planes is None


def test_a_form_that_cannot_be_built_or_is_wrong_is_none(
    build: Built, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = offload.build_plan

    def refused(graph: Any, *rest: Any) -> bytes:
        if graph.content == mask_graphs(model.manifest)["argmax"].content:
            raise EngineError("no implementation")
        return real(graph, *rest)

    monkeypatch.setattr(offload, "build_plan", refused)
    told = build(5.0, 2.0)
    assert "argmax is of no use here (no implementation); equal is taken" in told
    monkeypatch.setattr(MaskMaker, "mask", lambda *given: np.zeros((480, 640), np.uint8))
    told = build(5.0)
    assert "% of the pixels are those of the processor" in told and build.kept == []
    engine = TensorRtEngine(model)
    assert engine.masks is None and engine.planes is None


def test_what_is_built_of_no_network_is_not_kept(build: Built, fake_gpu: FakeGpu) -> None:
    build(5.0, 3.0, 2.0, planes=(2.0, 1.0))
    fake_gpu.says(run="wrong")
    with pytest.raises(EngineError, match="is wrong here"):
        build()
    assert build.kept == []


def test_a_network_that_runs_whole_has_its_masks_made_too(
    model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {role: spec for role, spec in model.manifest.files.items() if role in ("onnx", ROLE)}
    for spec in files.values():
        (tmp_path / spec.path).write_bytes((model.folder / spec.path).read_bytes())
    dump_manifest(dataclasses.replace(model.manifest, files=files), tmp_path)
    whole = load_model(str(tmp_path))
    fake_gpu.says(around=True)
    told = Built(whole, monkeypatch)(5.0, 3.0, 2.0, planes=())
    assert told.endswith("a mask of one camera of 8 bits: the processor, for this model")
    engine = TensorRtEngine(whole)
    assert not engine.splits and engine.masks is not None and engine.planes is None
    engine.masks.prepare((60, 80))
    result = engine.run(frame_of_all(whole))
    assert result.mask_at is not None and result.logits is not None
    assert np.mean(result.mask_at(60, 80) == lazy_argmax(result.logits, 60, 80)) >= EXACT


def test_a_build_that_is_cancelled_meanwhile_keeps_the_plans_of_the_network(
    build: Built, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*given: Any) -> bytes:
        raise BuildCancelledError("cancelled")

    monkeypatch.setattr(offload, "build_plan", cancelled)
    with pytest.raises(BuildCancelledError):
        build(5.0)
    assert TensorRtEngine(model).masks is None


def test_masks_come_from_the_gpu_as_soon_as_their_size_is_known(build: Built, model: Model) -> None:
    build(5.0, 3.0, 2.0)
    engine = TensorRtEngine(model)
    assert engine.masks is not None
    plan, frame = engine.masks._plan, frame_of_all(model)
    for size in ((60, 80), (480, 640), (720, 1280)):
        result = engine.run(frame)
        assert result.mask_at is not None and result.logits is not None
        expected = lazy_argmax(result.logits, *size)
        np.testing.assert_array_equal(result.mask_at(*size), expected)
        settle()
        assert size in plan.captured, "one CUDA graph for a size"
        found = result.mask_at(*size)
        assert found.dtype == np.uint8 and np.mean(found == expected) >= EXACT
    later = engine.run(frame_of(read_self_test(model).images, (0,)))  # type: ignore[union-attr]
    assert later.logits is not None and later.mask_at is not None
    again = result.mask_at(60, 80)
    assert np.mean(again == lazy_argmax(result.logits, 60, 80)) >= EXACT, "its own logits"
    assert np.mean(later.mask_at(60, 80) == lazy_argmax(later.logits, 60, 80)) >= EXACT


def test_buffers_stay_for_few_sizes(build: Built, model: Model) -> None:
    build(5.0, 3.0, 2.0)
    engine = TensorRtEngine(model)
    assert engine.masks is not None
    for rows in range(40, 50):
        engine.masks.prepare((rows, 60))
    assert [sizes for sizes, _ in engine.masks._plan._lanes] == [(47, 60), (48, 60), (49, 60)]
    assert MOST_SIZES == 3


def test_what_the_gpu_cannot_do_the_processor_does_and_that_is_told(
    build: Built, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(5.0, 3.0, 2.0)
    engine = TensorRtEngine(model)
    assert engine.masks is not None and described(engine).count("processor") == 0
    result = engine.run(frame_of_all(model))
    assert result.mask_at is not None and result.logits is not None
    for _ in range(2):
        result.mask_at(2160, 3840)
        settle()
    assert "masks of 2160x3840 are made on the processor" in described(engine)
    assert "at most 1200x1920, not for 2160x3840" in engine.note
    engine.masks.prepare((60, 80))

    def out_of_order(*given: Any) -> Any:
        raise EngineError("cudaGraphLaunch failed")

    monkeypatch.setattr(Plan, "run", out_of_order)
    expected = lazy_argmax(result.logits, 60, 80)
    np.testing.assert_array_equal(result.mask_at(60, 80), expected)
    assert "masks of 60x80 are made on the processor: cudaGraphLaunch failed" in engine.note
    monkeypatch.undo()
    np.testing.assert_array_equal(result.mask_at(60, 80), expected)


def test_a_damaged_plan_of_masks_does_no_harm(build: Built, model: Model) -> None:
    build(5.0, 3.0, 2.0)
    (graph,) = (mask_graphs(model.manifest)[form] for form in build.kept)
    path = PlanCache().path(plan_key(graph, load_libraries()))
    path.write_bytes(path.read_bytes()[:50])
    assert TensorRtEngine(model).masks is None


def picture(manifest: Manifest, kind: str, seed: int) -> BytePlanes:
    size = (manifest.height, manifest.width)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    made = byte_planes(Image(pixels, "rgb8"), manifest.modalities[kind], *size)
    assert made is not None
    return made


@pytest.mark.parametrize("kind", ["rgb", "event"])
def test_the_graph_of_planes_normalises_as_the_processor_does(kind: str, bundled: Model) -> None:
    row = picture(bundled.manifest, kind, 1)
    run = session(planes_graphs(bundled.manifest)["bytes"].content).run
    (found,) = run(["images"], planes_inputs(row))
    np.testing.assert_allclose(found[0], row.normalised(), rtol=0, atol=1e-6)


def test_pictures_of_8_bits_become_planes_on_the_gpu(build: Built, model: Model) -> None:
    build(1.0, 3.0, 2.0, planes=(2.0, 1.0))
    engine = TensorRtEngine(model)
    encode = engine._plans["encode"]
    assert engine.planes is not None and engine.planes.captured == {(1,)}
    assert [fed for _, fed in encode._lanes] == [frozenset(), frozenset({"images"})]
    rows = [picture(model.manifest, kind, seed) for seed, kind in enumerate(("rgb", "event"))]
    batch = ByteBatch(rows)
    features = engine.encode(batch)
    assert batch._images is None, "the host normalises nothing"
    floats = ModalityBatch(ByteBatch(rows).images, batch.modality_ids)
    expected = engine.fuse(engine.encode(floats)).logits
    np.testing.assert_allclose(engine.fuse(features).logits, expected, atol=1e-5)
    engine.use_planes(None)
    np.testing.assert_array_equal(engine.fuse(engine.encode(batch)).logits, expected)
