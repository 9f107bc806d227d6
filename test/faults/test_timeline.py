"""The timeline: what it says when, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fixtures.timelines import S, timelines
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.kinds import KINDS, Delayed, MotionBlur, Off, Ok, Stuck
from anymodal_seg_ros.faults.timeline import (
    FaultTimeline,
    check_sensors,
    dump_timeline,
    load_timeline,
    parse_timeline,
)
from anymodal_seg_ros.faults.topics import driven_topic, faulty_topic

EXAMPLE = """
seed: 7
faults:
  - {sensor: rgb, kind: stuck, start_s: 5.0, end_s: 10.0}
  - {sensor: "*", kind: motion_blur, start_s: 12, end_s: 14.0, severity: 0.7}
  - {sensor: depth, kind: delayed}
  - {sensor: thermal, kind: off, start_s: 20.0}
"""


def test_a_file_says_what_is_wrong_when(tmp_path: Path) -> None:
    path = tmp_path / "timeline.yaml"
    path.write_text(EXAMPLE)
    timeline = load_timeline(path)
    assert timeline.seed == 7
    stuck, blur, delayed, off = timeline.faults
    assert off == Off("thermal", 20.0), "although YAML takes a bare off for false"
    assert stuck == Stuck("rgb", 5.0, 10.0)
    assert blur == MotionBlur("*", 12.0, 14.0, severity=0.7)
    assert delayed == Delayed("depth")
    assert timeline.active("rgb", 5 * S - 1) == ()
    assert timeline.active("rgb", 5 * S) == (stuck,)
    assert timeline.active("rgb", 10 * S - 1) == (stuck,)
    assert timeline.active("rgb", 10 * S) == ()
    assert timeline.active("thermal", 13 * S) == (blur,)
    assert timeline.active("depth", 13 * S) == (blur, delayed)
    assert timeline.active("depth", -1) == ()
    assert timeline.of("rgb") == (stuck, blur)


def test_ok_takes_back_what_earlier_entries_say() -> None:
    off = Off("*", 1.0, 5.0)
    timeline = FaultTimeline(0, (off, Ok("rgb", 2.0, 3.0), MotionBlur("rgb")))
    assert timeline.active("rgb", S) == (off, MotionBlur("rgb"))
    assert timeline.active("rgb", 2 * S) == (MotionBlur("rgb"),)
    assert timeline.active("thermal", 2 * S) == (off,)


@given(timeline=timelines())
def test_what_is_written_is_read_back(
    timeline: FaultTimeline, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "timeline.yaml"
    path.write_text(dump_timeline(timeline))
    assert load_timeline(path) == timeline


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_within_their_ranges(kind: str) -> None:
    """What is left out must be as good as what is written."""
    options = {"with_sensor": "left"} if kind == "exchanged" else {}
    fault = KINDS[kind]("rgb", **options)
    entry = {**dataclasses.asdict(fault), "kind": kind}
    assert parse_timeline({"faults": [entry]}).faults == (fault,)


OFF = {"sensor": "rgb", "kind": "off"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "expected 'seed:' and 'faults:', not None"),
        ({"fault": []}, "unknown parameter fault: expected seed and faults"),
        ({"seed": 1}, "faults is missing: give a list"),
        ({"faults": {"sensor": "rgb"}}, "faults is {'sensor': 'rgb'}: expected a list"),
        ({"seed": -1, "faults": []}, "seed is -1: expected an integer from 0"),
        ({"seed": True, "faults": []}, "seed is True"),
        ({"faults": [OFF, "off"]}, "entry 2 is 'off': expected sensor, kind"),
        ({"faults": [{"sensor": "rgb"}]}, "entry 1: kind is missing: expected one of ok, off"),
        (
            {"faults": [OFF, {**OFF, "kind": "of"}]},
            "entry 2: kind is 'of': did you mean off[?] expected one of ok",
        ),
        ({"faults": [{"kind": "off"}]}, r"entry 1 \(off\): sensor is missing: give its name"),
        ({"faults": [{**OFF, "sensor": 3}]}, r"entry 1 \(off\): sensor is 3 \(int\)"),
        (
            {"faults": [{**OFF, "severity": 0.5}]},
            r"entry 1 \(off\): unknown parameter severity: expected one of end_s, sensor, start_s",
        ),
        (
            {"faults": [OFF, {"sensor": "rgb", "kind": "motion_blur", "severity": 1.5}]},
            r"entry 2 \(motion_blur\): severity is 1.5: expected a value from 0.0 to 1.0",
        ),
        (
            {"faults": [{"sensor": "rgb", "kind": "slow", "every": 2.5}]},
            r"entry 1 \(slow\): every is 2.5 \(float\): expected int",
        ),
        (
            {"faults": [{"sensor": "rgb", "kind": "wrong", "how": "odd"}]},
            r"entry 1 \(wrong\): how is 'odd': expected one of mirrored, upside_down, past",
        ),
        (
            {"faults": [{**OFF, "start_s": 5.0, "end_s": 5.0}]},
            r"entry 1 \(off\): end_s is 5: expected more than start_s, which is 5",
        ),
        ({"faults": [{**OFF, "start_s": float("nan")}]}, "start_s is nan: expected a value from"),
    ],
)
def test_what_is_wrong_is_named_with_its_entry_and_the_mend(content: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_timeline(content)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "timeline.yaml"
    with pytest.raises(ConfigError, match=r"cannot read the fault timeline .*timeline.yaml"):
        load_timeline(path)
    path.write_text("faults: [")
    with pytest.raises(ConfigError, match=r"cannot read the fault timeline .*timeline.yaml"):
        load_timeline(path)
    path.write_text("faults: [{sensor: rgb, kind: burnt}]")
    with pytest.raises(ConfigError, match=r"timeline.yaml: entry 1: kind is 'burnt'"):
        load_timeline(path)


def test_a_sensor_that_does_not_exist_is_named_beside_those_that_do() -> None:
    sensors = {"rgb": None, "thermal": None}
    check_sensors(FaultTimeline(0, (Off("*"), Off("thermal"))), sensors)
    with pytest.raises(ConfigError, match=r"entry 2 \(off\): sensor is 'rbg': .*rgb, thermal"):
        check_sensors(FaultTimeline(0, (Off("*"), Off("rbg"))), sensors)


@given(timeline=timelines(), time_ns=st.integers(-S, 20 * S))
def test_an_active_fault_is_one_of_the_file_and_lasts(
    timeline: FaultTimeline, time_ns: int
) -> None:
    for fault in timeline.active("rgb", time_ns):
        assert fault in timeline.faults
        assert fault.start_s * S <= time_ns + 1
        assert time_ns < fault.end_s * S + 1
        assert fault.sensor in ("rgb", "*")


@pytest.mark.parametrize(
    ("topic", "heard", "faulty"),
    [
        ("rgb/image", "rgb/image", "faulty/rgb/image"),
        ("/rgb/image", "/rgb/image", "/faulty/rgb/image"),
        ("~/image", "segmentation_node/image", "faulty/segmentation_node/image"),
        ("/{node}/image", "/segmentation_node/image", "/faulty/segmentation_node/image"),
    ],
)
def test_topics_are_those_of_the_node_whose_sensors_break(
    topic: str, heard: str, faulty: str
) -> None:
    assert (driven_topic(topic), faulty_topic(topic)) == (heard, faulty)
