"""ONNX Runtime's providers: what is asked for is had, or it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.inference.engine_protocol import described
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import half_role
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.runtimes import onnxruntime_engine
from anymodal_seg_ros.inference.runtimes.onnxruntime_engine import OnnxRuntimeEngine
from anymodal_seg_ros.inference.runtimes.providers import (
    fallen_away,
    wanted_providers,
    with_options,
)

GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]


def test_an_installed_gpu_build_counts_where_there_is_a_gpu() -> None:
    assert wanted_providers("auto", GPU_BUILD, lambda: True) == ("cuda", "cpu")
    assert wanted_providers("auto", GPU_BUILD, lambda: False) == ("cpu",)
    assert wanted_providers("auto", CPU_BUILD, lambda: True) == ("cpu",)


def test_what_is_asked_for_by_name_comes_in_that_order() -> None:
    asked = wanted_providers(" TensorRT, cuda,cpu ", GPU_BUILD, lambda: True)
    assert asked == ("tensorrt", "cuda", "cpu")
    names = [name for name, _ in with_options(asked, GPU_BUILD, half=True)]
    assert names == GPU_BUILD


def test_the_driver_is_not_asked_where_it_does_not_matter() -> None:
    def ask() -> bool:
        raise AssertionError("no library of a GPU is to be touched")

    assert wanted_providers("auto", CPU_BUILD, ask) == ("cpu",)
    assert wanted_providers("cpu", GPU_BUILD, ask) == ("cpu",)


@pytest.mark.parametrize(
    ("asked", "available", "gpu", "words"),
    [
        ("cuda", CPU_BUILD, True, "has only azure, cpu: install onnxruntime-gpu"),
        ("cuda,cpu", GPU_BUILD, False, "sees no GPU here"),
        ("rocm", GPU_BUILD, True, "has only tensorrt, cuda, cpu"),
        ("cpu,cpu", GPU_BUILD, True, "each once"),
        (" , ", GPU_BUILD, True, "expected auto, or names"),
    ],
)
def test_what_is_not_there_is_refused_with_the_mend(
    asked: str, available: list[str], gpu: bool, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        wanted_providers(asked, available, lambda: gpu)


def test_tensorrt_keeps_its_engines_and_follows_the_types_of_the_graph() -> None:
    (name, options), *_ = with_options(("tensorrt",), GPU_BUILD, half=True)
    assert name == "TensorrtExecutionProvider" and options["trt_fp16_enable"] == "0"
    assert options["trt_engine_cache_enable"] == "1"
    assert with_options(("tensorrt",), GPU_BUILD, half=False)[0][1]["trt_fp16_enable"] == "1"


def test_there_is_a_folder_for_the_engines_that_tensorrt_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes only the last folder of a path; in a new home the one above is missing, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    options = with_options(("tensorrt",), GPU_BUILD, half=True)[0][1]
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert options["trt_timing_cache_path"] == options["trt_engine_cache_path"]


def test_what_did_not_load_is_seen() -> None:
    assert fallen_away(("cuda", "cpu"), ["CPUExecutionProvider"]) == ("cuda",)
    assert fallen_away(("cuda", "cpu"), GPU_BUILD) == ()


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


class GpuBuild:
    """The real ONNX Runtime, which says that it has CUDA; whether that loads is up to the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loads: bool) -> None:
        self.asked: list[list[str]] = []
        self.loads = loads
        real = onnxruntime.InferenceSession
        build = self

        class Session:
            def __init__(self, content: bytes, options: Any, providers: Any, **more: Any) -> None:
                names = [name for name, _ in providers]
                build.asked.append(names)
                self._names = names if build.loads else ["CPUExecutionProvider"]
                self._real = real(content, options, providers=["CPUExecutionProvider"])

            def get_providers(self) -> list[str]:
                return self._names

            def run(self, *arguments: Any) -> Any:
                return self._real.run(*arguments)

        ort = onnxruntime_engine.ort
        monkeypatch.setattr(ort, "InferenceSession", Session)
        monkeypatch.setattr(ort, "get_available_providers", lambda: GPU_BUILD)
        monkeypatch.setattr(onnxruntime_engine, "has_gpu", lambda: True)


def test_a_provider_that_falls_away_is_told(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    build = GpuBuild(monkeypatch, loads=False)
    engine = create_engine("onnxruntime", model, 1)
    assert engine.name == "onnxruntime cpu"
    assert described(engine) == (
        "onnxruntime cpu (its cuda provider is installed but does not load)"
    )
    assert build.asked[0] == GPU_BUILD[1:] and build.asked[1:] == [["CPUExecutionProvider"]] * 3


def test_a_provider_that_was_asked_for_by_name_must_load(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    GpuBuild(monkeypatch, loads=False)
    with pytest.raises(ConfigError, match=r"loads tensorrt, cuda not: the libraries of CUDA"):
        OnnxRuntimeEngine(model, 1, providers="tensorrt,cuda")
    assert OnnxRuntimeEngine(model, 1, providers="cuda,cpu").name == "onnxruntime cpu"


def test_tensorrt_may_build_for_longer_than_a_graph_may_take_to_load(
    tiny_model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    GpuBuild(monkeypatch, loads=True)
    monkeypatch.setattr(onnxruntime_engine, "LOAD_LIMIT_S", 0.0)
    model = load_model(str(tiny_model))
    assert OnnxRuntimeEngine(model, 1, providers="tensorrt").name == "onnxruntime tensorrt"
    with pytest.raises(ModelError, match="stopped after 0 s"):
        OnnxRuntimeEngine(model, 1, providers="cuda")


def test_a_gpu_runs_the_graphs_in_half_precision_and_the_masks_stay(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = GpuBuild(monkeypatch, loads=True)
    read: list[str] = []
    monkeypatch.setattr(
        Model, "read", lambda self, role, real=Model.read: read.append(role) or real(self, role)
    )
    engine = create_engine("onnxruntime", model, 1)
    assert engine.name == "onnxruntime cuda" and len(build.asked) == 3
    assert {half_role(role) for role in ("onnx", "encode", "fuse")} <= set(read)


def test_without_files_in_half_precision_a_gpu_runs_the_others(
    tiny_model: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    GpuBuild(monkeypatch, loads=True)
    assert create_engine("onnxruntime", load_model(str(tiny_model)), 1).name == "onnxruntime cuda"
