"""What TensorRT needs is asked for one by one; each thing that is missing is told with its mend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.fake_gpu import FakeGpu

from anymodal_seg_ros.errors import ConfigError, EngineError
from anymodal_seg_ros.inference.engines import choose_engine, create_engine
from anymodal_seg_ros.inference.hardware import gpu as gpu_module
from anymodal_seg_ros.inference.hardware.gpu import find_gpu
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.tensorrt import libraries as libraries_module
from anymodal_seg_ros.inference.tensorrt.device import Cuda
from anymodal_seg_ros.inference.tensorrt.libraries import lack, load_libraries


@pytest.fixture(scope="module")
def model(tiny_halves: Path) -> Model:
    return load_model(str(tiny_halves))


def test_the_cuda_of_runtime_and_wheels_is_told(
    fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wheels for CUDA 12 and 13 say that they are one version of TensorRT."""

    class Wheel:
        def __init__(self, name: str) -> None:
            self.metadata = {"Name": name}

    assert load_libraries().cuda == "12.6", "that of JetPack is no wheel"
    wheels = [Wheel(name) for name in ("numpy", "tensorrt", "tensorrt_cu13_bindings")]
    monkeypatch.setattr(libraries_module.metadata, "distributions", lambda: wheels)
    fake_gpu.says(cuda=13010)
    assert load_libraries().cuda == "13.1 cu13"


def test_the_gpu_is_described_as_far_as_a_plan_depends_on_it(
    fake_gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_module, "_DRIVER_VERSIONS", (tmp_path / "l4t", tmp_path / "pc"))
    gpu = find_gpu()
    assert (gpu.name, gpu.capability, gpu.cuda) == ("Fake Orin", "8.7", (12, 6))
    assert gpu.integrated and gpu.memory_mb == 8192 and gpu.driver == "CUDA 12.6"
    (tmp_path / "pc").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16\nGCC version: 12\n"
    )
    assert find_gpu().driver == "560.35.03"
    (tmp_path / "l4t").write_text(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n"
    )
    assert find_gpu().driver == "L4T 36.4.3"
    words = load_libraries().words
    assert words.startswith("TensorRT 10.3.0 on Fake Orin (compute capability 8.7, driver L4T")


def test_nothing_of_tensorrt_is_loaded_where_the_driver_does_not_start() -> None:
    """Its runtime would end the process; so this is looked at in one of its own."""
    script = (
        "import sys; from anymodal_seg_ros.inference.tensorrt.libraries import lack; "
        "print(lack()); print(sys.modules.keys() & {'tensorrt', 'cuda.bindings.runtime'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    says, loaded = done.stdout.splitlines()
    assert done.returncode == 0 and loaded == "set()"
    assert "NVIDIA driver" in says


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"cuinit": 100}, r"driver does not start \(cuInit returned 100\).*--gpus all"),
        ({"devices": 0}, r"sees no GPU: is CUDA_VISIBLE_DEVICES"),
        ({"version": "8.6.1"}, r"TensorRT is 8\.6\.1: expected at least 10\.3.*torch engine"),
        ({"version": "10.2.0"}, r"TensorRT is 10\.2\.0: expected at least 10\.3"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(how: Any, says: str, fake_gpu: FakeGpu) -> None:
    fake_gpu.says(**how)
    with pytest.raises(ConfigError, match=says) as error:
        load_libraries()
    assert "\n" not in str(error.value) and lack() == str(error.value)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("tensorrt", "python3-libnvinfer.*--system-site-packages"),
        ("cuda.bindings.runtime", r"pip install 'cuda-bindings==12\.\*'"),
    ],
)
def test_a_library_that_is_missing_is_told_with_how_to_get_it(
    module: str, says: str, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_libraries()  # the fake TensorRT needs the fake CUDA runtime when it is imported
    monkeypatch.setitem(sys.modules, module, None)
    assert re.search(says, lack())


def test_a_library_for_another_numpy_is_told_in_one_line(
    fake_gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(
        "raise ValueError('numpy.dtype size changed,\\nmay indicate binary incompatibility')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert re.match(r"tensorrt cannot be imported \(numpy.dtype size changed, may .*apt ", lack())


def test_a_cuda_runtime_for_a_newer_driver_is_told_with_the_one_that_fits(
    fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Insufficient(int):
        name = "cudaErrorInsufficientDriver"

    runtime = load_libraries().cudart
    monkeypatch.setattr(runtime, "cudaGetDeviceCount", lambda: (Insufficient(35), None))
    assert "cudaErrorInsufficientDriver" in lack() and "cuda-bindings==12.*" in lack()


@pytest.mark.parametrize(
    "unfit",
    [
        AttributeError("module has no attribute 'cudaGetDeviceCount'"),
        RuntimeError('Function "cuInit" not found'),
        ValueError("999999 is not a valid cudaError_t"),
    ],
)
def test_bindings_that_do_not_fit_the_driver_are_told_with_those_that_do(
    unfit: Exception, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = load_libraries()

    def failing(*args: Any) -> Any:
        raise unfit

    monkeypatch.setattr(libraries.cudart, "cudaMalloc", failing)
    with pytest.raises(EngineError, match=r"cudaMalloc failed: .*cuda-bindings"):
        Cuda(libraries.cudart).call("cudaMalloc", 4)
    monkeypatch.setattr(libraries.cudart, "cudaGetDeviceCount", failing)
    assert str(unfit) in lack() and "pip install 'cuda-bindings==12.*'" in lack()


def test_the_lean_runtime_is_not_taken_for_the_whole(
    fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(load_libraries().trt, "Builder")
    assert "has no builder: it is the lean or dispatch runtime" in lack()


def test_auto_goes_on_and_says_what_tensorrt_lacks(model: Model, fake_gpu: FakeGpu) -> None:
    chosen = choose_engine(model, 1)
    assert chosen.kind != "tensorrt"
    assert "tensorrt: the model tiny-halves has no plan for this machine yet" in chosen.reason
    fake_gpu.says(version="8.5.2")
    assert "tensorrt: TensorRT is 8.5.2" in choose_engine(model, 1).reason
    assert "tensorrt" not in choose_engine(model, 1, but="tensorrt").reason


def test_asked_for_by_name_it_says_how_to_build(model: Model, fake_gpu: FakeGpu) -> None:
    with pytest.raises(ConfigError, match="anymodal-seg build-engine builds it in minutes"):
        create_engine("tensorrt", model)
