"""What a user of an engine runs: is it right here, and how fast?"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from anymodal_seg_ros.cli.engines import benchmark
from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.inference.benchmark import engine_report
from anymodal_seg_ros.inference.benchmark.engine_benchmark import EngineBenchmark, mask_cpu_ms
from anymodal_seg_ros.inference.benchmark.engine_report import EngineReport, Timing, switch_subsets
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import load_model

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
    assert len(report["agreement_whole"]) == 15 and min(report["agreement_whole"].values()) > 0.9999
    assert "onnxruntime" in report["machine"]["libraries"] and report["ready_s"] > 0
    assert {"before", "after"} == set(report["telemetry"]) and report["files"]["encode"]
    assert report["masks_per_cpu_s"] > 0 and "rgb+thermal" in result.output
    assert "not yet verified" not in result.output, "a CPU is"


def test_verify_engine_fails_for_an_engine_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_report, "agreements", lambda engine, test: {(0,): 0.9, (1,): 1.0})
    monkeypatch.setattr(engine_report, "whole_agreements", lambda engine, test: {(0,): 1.0})
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
    engine = "anymodal_seg_ros.inference.runtimes.openvino_engine"
    monkeypatch.delitem(sys.modules, engine, raising=False)
    out = tmp_path / "figures.json"
    arguments = ["benchmark", "--model", str(tiny_model), "--repeats", "1", "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "openvino is left out" in result.output and "torch is left out" in result.output
    (found,) = json.loads(out.read_text())["models"]
    assert [engine["name"] for engine in found["engines"]] == ["onnxruntime cpu"]
    assert set(found["left_out"]) >= {"openvino", "torch"} and found["floor_ms"] == 0.0


def timings(encode: float, fuse: float, whole: float) -> tuple[Timing, ...]:
    stages = (("encode", 1, encode), ("fuse", 4, fuse), ("whole", 4, whole))
    return tuple(Timing(stage, sensors, ms, ms) for stage, sensors, ms in stages)


def found_of() -> EngineBenchmark:
    """Three engines whose ratios are easy to reckon."""
    agreement = {"rgb": 1.0, "rgb+thermal": 0.9998}
    reports = tuple(
        EngineReport(name, agreement, timings(*ms), 100.0, agreement)
        for name, ms in (
            ("onnxruntime cpu", (10.0, 10.0, 60.0)),
            ("openvino cpu", (6.0, 6.0, 40.0)),
            ("torch cpu", (20.0, 20.0, 90.0)),
        )
    )
    return EngineBenchmark("toy", "48x64", 1, reports, {}, 2.0, 100.0)


def test_ratios_are_of_one_run_and_what_they_say() -> None:
    ratios = found_of().ratios()
    # A mask of all sensors by openvino: 4 * 6 + 6 = 30 ms; by torch whole, 90; the floor is 20.
    assert ratios["openvino cpu"]["against_torch"] == pytest.approx(3.0)
    assert ratios["openvino cpu"]["of_floor"] == pytest.approx(1.5)
    # 85 encodings and 30 fusions are 690 ms for 30 masks; the whole graph in ONNX Runtime, 1800.
    assert ratios["openvino cpu"]["against_whole"] == pytest.approx(1800 / 690)
    assert ratios["torch cpu"]["against_torch"] == 1.0


def test_what_runs_on_a_gpu_is_said_to_be_unverified() -> None:
    found = found_of()
    assert not [line for line in benchmark.conclusions(found) if "verified" in line]
    on_gpu = replace(found.engines[2], name="torch cuda")
    lines = benchmark.conclusions(replace(found, engines=(*found.engines[:2], on_gpu)))
    assert [line for line in lines if "verified" in line] == [
        "torch cuda: not yet verified on hardware"
    ]


def test_an_engine_that_does_not_split_makes_every_mask_from_the_whole() -> None:
    report = EngineReport("x cpu", {}, (Timing("whole", 4, 50.0, 50.0),), 0.0)
    assert report.masks_per_cpu_s == 20.0 and mask_cpu_ms(report) == 50.0


def test_tables_go_between_the_marks_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.setattr(benchmark, "benchmark_engines", lambda *arguments: found_of())
    page, picture = tmp_path / "page.md", tmp_path / "engines.png"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n")
    arguments = ["benchmark", "--model", str(tiny_model), "--into", str(page)]
    for _ in range(2):
        result = CliRunner().invoke(main, [*arguments, "--picture", str(picture)])
        assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| rgb+thermal | 99.980 | 99.980 |" in text
    assert "| encode, 1 sensor | 10.0 | 6.0 | 20.0 |" in text
    assert cv2.imread(str(picture)) is not None
    page.write_text("no marks")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "lacks the lines" in result.output


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("folder", ["tiny_model", "tiny_halves"])
def test_changing_subsets_ten_thousand_times_grows_nothing_and_compiles_nothing(
    kind: str, folder: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip(kind)
    model = load_model(str(request.getfixturevalue(folder)))
    longest_ms, grown_mb = switch_subsets(create_engine(kind, model, 1), model, 10_000)
    assert longest_ms > 0 and grown_mb < 16
