"""PyTorch in half precision and through CUDA graphs; what needs no GPU is tested without one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.runtimes import torch_engine
from anymodal_seg_ros.inference.runtimes.cuda_graphs import Function, Replayer
from anymodal_seg_ros.inference.runtimes.torch_engine import TorchEngine
from anymodal_seg_ros.inference.verification.self_test import (
    EXACT,
    HALF,
    agreements,
    frame_of_all,
    read_self_test,
    whole_agreements,
)

SUBSETS = [s for n in range(1, 5) for s in combinations(range(4), n)]


class Recording:
    """Stands for a CUDA graph: fixed buffers, and the function again when it is replayed."""

    def __init__(self, function: Function, inputs: tuple[Tensor, ...]) -> None:
        self.inputs = tuple(value.clone() for value in inputs)
        self.outputs = tuple(value.clone() for value in function(*self.inputs))
        self._function = function

    def replay(self) -> None:
        for fixed, value in zip(self.outputs, self._function(*self.inputs), strict=True):
            fixed.copy_(value)


def double(x: Tensor, ids: Tensor) -> Sequence[Tensor]:
    return (2 * x + ids.sum(), x.sum(dim=0))


def test_a_graph_is_captured_once_for_each_shape_and_used_ever_after() -> None:
    captured: list[int] = []

    def capture(function: Function, inputs: tuple[Tensor, ...]) -> Recording:
        captured.append(len(inputs[0]))
        return Recording(function, inputs)

    replayer = Replayer(capture)
    for turn in range(10_000):
        rows = turn % 4 + 1
        x, ids = torch.full((rows, 2), float(turn)), torch.arange(rows) + turn
        doubled, total = replayer("double", double, x, ids)
        assert doubled[0, 0] == 2 * turn + ids.sum() and total[0] == rows * turn
    assert sorted(captured) == [1, 2, 3, 4] and replayer.graphs == 4 and not replayer.note


def test_results_are_the_callers_own() -> None:
    """A graph writes into the same buffers again and again."""
    replayer = Replayer(Recording)
    first = replayer("double", double, torch.ones(1, 2), torch.zeros(1))
    before = first[0].clone()
    replayer("double", double, torch.full((1, 2), 7.0), torch.zeros(1))
    assert torch.equal(first[0], before)


def test_several_threads_may_replay_at_once() -> None:
    replayer = Replayer(Recording)

    def work(value: int) -> bool:
        doubled, _ = replayer("double", double, torch.full((2, 2), float(value)), torch.zeros(2))
        return bool((doubled == 2 * value).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))


def test_what_cannot_be_captured_is_called_as_it_is_and_told() -> None:
    def refuse(function: Function, inputs: tuple[Tensor, ...]) -> Recording:
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    replayer = Replayer(refuse)
    for _ in range(2):
        doubled, _ = replayer("run", double, torch.ones(1, 2), torch.zeros(1))
        assert (doubled == 2).all()
    assert replayer.graphs == 0
    assert replayer.note == (
        "no CUDA graph of run: operation not permitted when stream is capturing"
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


def test_half_precision_gives_the_classes_of_single_for_all_subsets(model: Model) -> None:
    """The precisions that a GPU would compute in, computed by the CPU."""
    test = read_self_test(model)
    assert test is not None
    engine = TorchEngine(model, 1, half=True)
    shares = {**agreements(engine, test)}
    assert len(shares) == 15 and min(shares.values()) >= HALF, shares
    assert min(whole_agreements(engine, test).values()) >= HALF
    (features,) = engine.encode(
        ModalityBatch(np.zeros((1, 3, 192, 256), np.float32), np.zeros(1, np.int64))
    )
    assert all(torch.isfinite(stage).all() for stage in features.pyramid)


def test_masks_are_made_where_the_logits_are(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(model, 1)
    result = engine.run(frame_of_all(model))
    assert result.logits is not None
    if not torch.cuda.is_available():
        assert result.mask_at is None, "a processor is faster with the lazy argmax"
    there = torch.from_numpy(result.logits)
    for size in ((480, 640), (513, 641), (40, 50)):
        mask = engine._mask(there, result.logits, *size)
        assert mask.dtype == np.uint8 and mask.shape == size
        assert np.mean(mask == lazy_argmax(result.logits, *size)) >= EXACT

    def too_large(*given: object) -> Tensor:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(torch_engine, "class_map", too_large)
    expected = lazy_argmax(result.logits, 480, 640)
    assert np.array_equal(engine._mask(there, result.logits, 480, 640), expected)


def test_a_cpu_computes_in_single_precision(model: Model) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, and torch takes it")
    test = read_self_test(model)
    assert test is not None
    engine = TorchEngine(model, 1)
    assert min(agreements(engine, test).values()) >= EXACT and engine.note == ""


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["rig-nano", "rig-b0"])
def test_a_gpu_is_right_through_cuda_graphs(name: str) -> None:
    model = load_model(name)
    engine, test = TorchEngine(model, 1), read_self_test(model)
    assert test is not None and engine.name == "torch cuda" and engine.note == ""
    assert min(agreements(engine, test).values()) >= HALF
    assert min(whole_agreements(engine, test).values()) >= HALF
    graphs = engine._replayer.graphs
    memory = torch.cuda.memory_reserved()
    frame = ModalityBatch(test.images.astype(np.float32), np.arange(4))
    features = engine.encode(frame)
    for turn in range(10_000):
        engine.fuse([features[row] for row in SUBSETS[turn % len(SUBSETS)]])
    assert engine._replayer.graphs == graphs
    assert torch.cuda.memory_reserved() <= memory


@pytest.mark.gpu
def test_several_threads_share_a_gpu(model: Model) -> None:
    engine = TorchEngine(model, 1)
    rng = np.random.default_rng(0)
    frames = [
        ModalityBatch(rng.standard_normal((len(s), 3, 192, 256), np.float32), np.array(s))
        for s in SUBSETS
    ]
    expected = [engine.fuse(engine.encode(frame)).logits for frame in frames]

    def work(frame: ModalityBatch) -> np.ndarray | None:
        return engine.fuse(engine.encode(frame)).logits

    with ThreadPoolExecutor(3) as pool:
        for first, second in zip(expected, pool.map(work, frames), strict=True):
            assert np.array_equal(first, second)


@pytest.mark.gpu
def test_onnx_runtime_takes_the_gpu_where_its_provider_is_installed(model: Model) -> None:
    import onnxruntime

    from anymodal_seg_ros.inference.runtimes.onnxruntime_engine import OnnxRuntimeEngine

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is not installed")
    engine, test = OnnxRuntimeEngine(model, 1, providers="cuda"), read_self_test(model)
    assert test is not None and engine.name == "onnxruntime cuda"
    assert min(agreements(engine, test).values()) >= HALF
