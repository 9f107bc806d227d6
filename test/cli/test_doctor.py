from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.cli.robot import doctor
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.hardware.gpu import Gpu
from anymodal_seg_ros.inference.model import load_model


def test_a_machine_that_runs_the_tests_is_fine() -> None:
    done = CliRunner().invoke(main, ["doctor", "--no-images"])
    assert "numpy" in done.output
    assert f"model {load_model().manifest.name}" in done.output
    assert all("rclpy" in line for line in done.output.splitlines() if line.startswith("MEND"))


def test_two_builds_of_opencv_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"opencv-python": "4.10", "opencv-python-headless": "5.0", "onnxruntime": "1"}

    def version(name: str) -> str:
        if name not in known:
            raise importlib.metadata.PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    (wrong,) = [finding for finding in doctor.libraries() if not finding.fine]
    assert "opencv-python 4.10 and opencv-python-headless 5.0" in wrong.words


@pytest.mark.parametrize(
    ("installed", "wrong"),
    [
        (["onnxruntime-gpu"], []),
        (["onnxruntime", "onnxruntime-gpu"], ["onnxruntime 1 and onnxruntime-gpu 1 overwrite"]),
        (["onnxruntime-openvino", "opencv-contrib-python-headless"], []),
    ],
)
def test_every_build_of_onnx_runtime_counts_and_two_are_one_too_many(
    installed: list[str], wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "1" if name in installed else "")
    first, *others = doctor.libraries()
    assert installed[0] in first.words
    found = [finding.words for finding in others if not finding.fine]
    assert len(found) == len(wrong)
    assert all(words in told for words, told in zip(wrong, found, strict=True))


def engines_with(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is told of engines where ONNX Runtime is a module of one's own."""
    (folder / "onnxruntime.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(doctor, "ENGINES", ("onnxruntime", "auto"))
    return [f"{'' if found.fine else 'MEND '}{found.words}" for found in doctor.engines()]


def test_an_engine_that_cannot_be_loaded_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> Gpu:
        raise ConfigError("no NVIDIA driver")

    monkeypatch.setattr(doctor, "find_gpu", none)
    told = engines_with("raise ImportError('libdnnl.so.3: cannot open')", tmp_path, monkeypatch)
    assert told[0] == "MEND none can be loaded"
    assert told[1].startswith("MEND it cannot be loaded, ImportError: libdnnl.so.3: cannot open: ")
    assert told[2] == "none, engines run on the processor (no NVIDIA driver)"
    told = engines_with("import os\nos.kill(os.getpid(), 11)", tmp_path, monkeypatch)
    assert told[1].startswith("MEND it cannot be loaded, it ends its process with signal 11: ")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ImportError('libspdlog.so.1: cannot open')", "ImportError: libspdlog.so.1: cannot"),
        ("import sys; sys.exit('rmw_x was not found')", "rmw_x was not found"),
    ],
)
def test_ros_that_python_cannot_load_is_told_with_the_reason(
    module: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rclpy.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "ENGINES", ())
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert f"MEND ROS 2: rclpy cannot be loaded, {said}" in done.output


def test_a_profile_of_fast_dds_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    image_probe = pytest.importorskip("anymodal_seg_ros.nodes.topics.image_probe")
    monkeypatch.setattr(image_probe, "middleware_name", lambda: "rmw_fastrtps_cpp")
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/nowhere/profile.xml")
    (wrong,) = [finding for finding in doctor.middleware() if not finding.fine]
    assert wrong.words.startswith("/nowhere/profile.xml is no file")


def test_a_gpu_is_named_and_nothing_is_claimed_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orin = Gpu("Orin", "8.7", 8, "L4T 36.4.3", (12, 6), 15_000, True)
    monkeypatch.setattr(doctor, "find_gpu", lambda: orin)
    told = engines_with("", tmp_path, monkeypatch)
    assert told[1:] == [
        "Orin, compute capability 8.7, driver L4T 36.4.3, 15000 MB; what runs on it is not yet "
        "verified on hardware"
    ]


def test_a_size_that_is_none_is_refused() -> None:
    done = CliRunner().invoke(main, ["doctor", "--size", "0x480"])
    assert done.exit_code == 2
    assert "expected width and height, as in 1280x720" in done.output


def test_a_damaged_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    monkeypatch.setattr(doctor, "models_dir", lambda: tmp_path)
    (finding,) = doctor.models()
    assert not finding.fine
    assert "model.yaml" in finding.words
