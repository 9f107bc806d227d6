from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from anymodal_seg_ros.cli import doctor
from anymodal_seg_ros.cli.main import main
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


def test_a_damaged_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    monkeypatch.setattr(doctor, "models_dir", lambda: tmp_path)
    (finding,) = doctor.models()
    assert not finding.fine
    assert "model.yaml" in finding.words
