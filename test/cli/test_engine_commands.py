"""What a user of an engine runs: is it right here, and how fast?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.inference import engine_report

pytestmark = pytest.mark.openvino


def test_verify_engine_reports_every_subset(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    arguments = ["verify-engine", "--engine", "onnxruntime", "--repeats", "1", "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert len(report["agreement"]) == 15 and min(report["agreement"].values()) >= 0.9999
    stages = {(timing["stage"], timing["sensors"]) for timing in report["timings"]}
    assert {("encode", 1), ("fuse", 1), ("fuse", 4), ("whole", 1), ("whole", 4)} <= stages
    assert report["machine"]["processors"] >= 1 and report["name"] == "onnxruntime cpu"


def test_verify_engine_fails_for_an_engine_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_report, "agreements", lambda engine, test: {(0,): 0.9, (1,): 1.0})
    arguments = ["verify-engine", "--engine", "onnxruntime", "--repeats", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "is wrong here: only 90.00 % of the pixels" in result.output


def test_verify_engine_of_a_model_without_a_self_test_says_so(tiny_model: Path) -> None:
    arguments = ["verify-engine", "--model", str(tiny_model), "--engine", "onnxruntime"]
    result = CliRunner().invoke(main, [*arguments, "--repeats", "1"])
    assert result.exit_code == 1 and "has no self-test: export the model again" in result.output


def test_benchmark_leaves_out_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    """The tiny model has no network, so torch cannot run it either."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine = "anymodal_seg_ros.inference.openvino_engine"
    monkeypatch.delitem(sys.modules, engine, raising=False)
    out = tmp_path / "figures.json"
    arguments = ["benchmark", "--model", str(tiny_model), "--repeats", "1", "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "openvino is left out" in result.output and "torch is left out" in result.output
    assert [engine["name"] for engine in json.loads(out.read_text())["engines"]] == [
        "onnxruntime cpu"
    ]
