"""``engine: auto``: the first engine that loads and is right, and the reason in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.choice import choose
from anymodal_seg_ros.inference.cuda import has_gpu
from anymodal_seg_ros.inference.engines import Engine, create_engine
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.inference.processors import engine_threads, usable_processors
from anymodal_seg_ros.inference.self_test import (
    SelfTest,
    agreements,
    frame_of,
    read_self_test,
    subsets,
)


class Replay:
    """Gives the masks of the self-test, with an error in some pixels."""

    def __init__(self, model: Model, wrong: float, name: str = "replay cpu") -> None:
        self.name = name
        test = read_self_test(model)
        assert test is not None
        self._classes = len(model.manifest.classes)
        kinds = len(model.manifest.modalities)
        self._masks = dict(zip(subsets(kinds), test.masks.copy(), strict=True))
        for mask in self._masks.values():
            count = round(wrong * mask.size)
            mask.ravel()[:count] = (mask.ravel()[:count] + 1) % self._classes

    def run(self, batch: ModalityBatch) -> Segmentation:
        mask = self._masks[tuple(batch.modality_ids.tolist())]
        hot = np.arange(self._classes)[:, None, None] == mask
        return Segmentation(logits=hot.astype(np.float32))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


def refuse(kind: str) -> Engine:
    raise ConfigError(f"{kind} is not installed")


def test_the_fastest_that_is_right_is_taken_and_the_others_are_explained(model: Model) -> None:
    def make(kind: str) -> Engine:
        return refuse(kind) if kind == "openvino" else Replay(model, 0.0)

    chosen = choose(model, make)
    assert chosen.kind == "onnxruntime" and chosen.engine.name == "replay cpu"
    assert "15 subsets right in at least 100.00 %" in chosen.reason
    assert "openvino: openvino is not installed" in chosen.reason


def test_an_engine_that_is_wrong_on_this_machine_is_passed_over(model: Model) -> None:
    def make(kind: str) -> Engine:
        return Replay(model, 0.002 if kind == "openvino" else 0.0)

    chosen = choose(model, make)
    assert chosen.kind == "onnxruntime"
    assert "openvino failed: with rgb only 99.8" in chosen.reason


def test_half_precision_on_a_gpu_may_differ_a_little(model: Model) -> None:
    chosen = choose(model, lambda kind: Replay(model, 0.002, "replay cuda"))
    assert chosen.kind == "openvino"


def test_what_uses_the_gpu_comes_first_and_what_only_might_does_not(model: Model) -> None:
    def make(kind: str) -> Engine:
        return Replay(model, 0.0, "replay cuda" if kind == "torch" else f"{kind} cpu")

    chosen = choose(model, make, on_gpu=("onnxruntime", "torch"))
    assert chosen.kind == "torch"
    assert "onnxruntime does not use the GPU: it is built without CUDA" in chosen.reason
    on_cpu = choose(model, lambda kind: Replay(model, 0.0), on_gpu=("onnxruntime", "torch"))
    assert on_cpu.kind == "openvino"


def test_a_driver_that_is_missing_or_sees_no_device_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Driver:
        devices, error = 1, 0

        def cuInit(self, flags: int) -> int:
            return self.error

        def cuDeviceGetCount(self, count: Any) -> int:
            count._obj.value = self.devices
            return 0

    driver = Driver()
    monkeypatch.setattr("ctypes.CDLL", lambda name: driver)
    assert has_gpu()
    driver.devices = 0
    assert not has_gpu()
    driver.devices, driver.error = 1, 100  # CUDA_ERROR_NO_DEVICE
    assert not has_gpu()

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", absent)
    assert not has_gpu()


def test_an_engine_that_raises_anything_is_passed_over(model: Model) -> None:
    def make(kind: str) -> Engine:
        if kind == "openvino":
            raise RuntimeError("illegal instruction")
        return Replay(model, 0.0)

    assert "openvino failed: illegal instruction" in choose(model, make).reason


def test_that_none_is_left_is_told_with_all_reasons(model: Model) -> None:
    with pytest.raises(ConfigError, match=r"none can run .*openvino.*onnxruntime.*torch"):
        choose(model, refuse)


def test_a_model_without_a_self_test_is_taken_on_trust(tiny_model: Path) -> None:
    model = load_model(str(tiny_model))
    assert read_self_test(model) is None
    chosen = choose(model, lambda kind: create_engine("onnxruntime", model, 1))
    assert "the model folder has no self-test" in chosen.reason


@pytest.mark.parametrize("name", ["rig-nano", "rig-b0"])
def test_the_bundled_models_pass_their_self_test(name: str) -> None:
    model = load_model(name)
    test = read_self_test(model)
    assert test is not None and len(np.unique(test.masks[-1])) > 5, "a street has many classes"
    shares = agreements(create_engine("onnxruntime", model, 1), test)
    assert len(shares) == 15 and min(shares.values()) >= 0.9999


def test_a_damaged_self_test_is_named(tmp_path: Path, model: Model) -> None:
    test = read_self_test(model)
    assert test is not None
    broken = SelfTest(test.images[:2], test.masks[:3]).packed()
    for content in (b"", b"PK\x03\x04", broken):
        (tmp_path / "self_test.npz").write_bytes(content)
        spec = FileSpec("self_test.npz", sha256(tmp_path / "self_test.npz"))
        dump_manifest(replace(model.manifest, files={"self_test": spec}), tmp_path)
        with pytest.raises(ModelError, match=r"self_test\.npz"):
            read_self_test(load_model(str(tmp_path)))


def test_frames_of_subsets_have_their_sensors_alone(model: Model) -> None:
    test = read_self_test(model)
    assert test is not None
    batch = frame_of(test.images, (1, 3))
    assert batch.modality_ids.tolist() == [1, 3] and batch.images.dtype == np.float32
    assert np.array_equal(batch.images[1], test.images[3].astype(np.float32))


def test_threads_follow_affinity_and_container_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_processors(tmp_path) == 8
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_processors(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_processors(tmp_path) == 8
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors(tmp_path) == 8
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("50000\n")
    assert usable_processors(tmp_path) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    assert engine_threads() == 1 and engine_threads(6) == 6
