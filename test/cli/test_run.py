from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures.image_folders import HEIGHT, WIDTH, write_pairs

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.replay import arrivals, replay, sensors_by_topic
from anymodal_seg_ros.pipeline import Pipeline

FRAMES = 12
PARAMETERS = """
/**:
  ros__parameters:
    model: {model}
    rig:
      sensors:
        rgb: {{topic: rgb/image, modality: rgb, expected_hz: 10.0}}
        thermal: {{topic: thermal/image, modality: thermal, expected_hz: 10.0}}
        depth: {{topic: depth/image, modality: depth, expected_hz: 10.0}}
"""


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture()
def parameters(tmp_path: Path, tiny_model: Path) -> Path:
    path = tmp_path / "parameters.yaml"
    path.write_text(PARAMETERS.format(model=tiny_model))
    return path


@pytest.fixture()
def bag(tmp_path: Path) -> Path:
    rgb, thermal = write_pairs(tmp_path / "images", FRAMES)
    sensors = ("--sensor", f"rgb={rgb}", "--sensor", f"thermal={thermal}")
    timing = ("--latency", "thermal=20", "--gap", "thermal=0.45:9")
    assert invoke("assemble-bag", tmp_path / "bag", *sensors, *timing).exit_code == 0
    return tmp_path / "bag"


def test_writes_what_the_pipeline_makes_of_the_bag(
    bag: Path, parameters: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = invoke("run", bag, "--params-file", parameters, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{FRAMES} masks" in result.output
    assert "has no /depth/image" in " ".join(result.output.split())

    config = load_config(parameters)
    with Bag(bag) as opened:
        messages = arrivals(opened, sensors_by_topic(config.rig))
        expected = list(replay(Pipeline.from_config(config), messages))
    lines = [json.loads(line) for line in (out / "predictions.jsonl").open()]
    assert len(lines) == len(expected) == FRAMES
    assert {len(line["sensors"]) for line in lines} == {1, 2}, "thermal dies on the way"
    for line, prediction in zip(lines, expected, strict=True):
        sample = prediction.frame_set.reference_sample
        assert line["stamp_ns"] == sample.stamp_ns
        assert line["reference"] == "rgb"
        assert line["frame_id"] == "rgb_optical_frame"
        assert tuple(line["sensors"]) == prediction.sensors
        assert line["missing"] == prediction.frame_set.missing
        assert line["states"]["depth"] == "WAITING"
        name = f"{sample.stamp_ns:019d}"
        mask = cv2.imread(str(out / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, prediction.mask)
        picture = cv2.imread(str(out / "overlays" / f"{name}.jpg"))
        assert picture is not None
        assert picture.shape == (HEIGHT, WIDTH, 3)


def test_a_second_run_replaces_the_first(bag: Path, parameters: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("run", bag, "--params-file", parameters, "--out", out)
    assert invoke(*arguments).exit_code == 0
    (out / "masks" / "0000000000000000007.png").write_bytes(b"of an earlier run")
    assert invoke(*arguments, "--no-overlays").exit_code == 0
    assert len(list((out / "masks").iterdir())) == FRAMES
    assert list((out / "overlays").iterdir()) == []


TIMELINE = """
faults:
  - {sensor: rgb, kind: "off", start_s: 0.75}
  - {sensor: thermal, kind: over_exposure, severity: 0.2}
"""


def test_sensors_break_as_a_timeline_says(bag: Path, parameters: Path, tmp_path: Path) -> None:
    timeline, out = tmp_path / "timeline.yaml", tmp_path / "out"
    timeline.write_text(TIMELINE)
    arguments = ("run", bag, "--params-file", parameters, "--out", out, "--faults", timeline)
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "predictions.jsonl").open()]
    assert [line["reference"] for line in lines] == ["rgb"] * 8, "eight frames before 0.75 s"
    timeline.write_text("faults: []")
    before = [path.read_bytes() for path in sorted((out / "masks").iterdir())[:4]]
    assert invoke(*arguments).exit_code == 0
    after = [path.read_bytes() for path in sorted((out / "masks").iterdir())[:4]]
    assert before != after, "over-exposed frames look different to the network"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{sensor: rbg, kind: stuck}", "entry 1 (stuck): sensor is 'rbg': expected one of rgb"),
        (
            "{sensor: rgb, kind: lidar_jitter}",
            "entry 1 (lidar_jitter): sensor is 'rgb', of the modality rgb: it fits LiDAR",
        ),
        ("{sensor: rgb, kind: stuck, end: 3.0}", "unknown parameter end: expected one of end_s"),
    ],
)
def test_a_timeline_that_cannot_be_is_an_error(
    bag: Path, parameters: Path, tmp_path: Path, entry: str, words: str
) -> None:
    timeline = tmp_path / "timeline.yaml"
    timeline.write_text(f"faults: [{entry}]")
    arguments = ("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    result = invoke(*arguments, "--faults", timeline)
    assert result.exit_code == 1
    assert words in result.output


def test_other_peoples_files_are_left_alone(bag: Path, parameters: Path, tmp_path: Path) -> None:
    (tmp_path / "labels" / "masks").mkdir(parents=True)
    mine = tmp_path / "labels" / "masks" / "0001.png"
    mine.write_bytes(b"drawn by hand")
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "labels")
    assert result.exit_code == 1
    assert "not empty" in result.output
    assert mine.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no_such_model"], "no_such_model"),
        (["--engine", "abacus"], "abacus"),
        (["--namespace", "robot"], "has none of the topics /robot/rgb/image"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    bag: Path, parameters: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "o", *arguments)
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert words in line
