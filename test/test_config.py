from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.config import (
    ChecksConfig,
    RigConfig,
    SegConfig,
    SensorConfig,
    SensorLimits,
    did_you_mean,
    load_config,
    seg_config,
)
from anymodal_seg_ros.errors import ConfigError

ONE = {"rig": {"sensors": {"cam": {"topic": "cam/image", "modality": "rgb"}}}}


def test_defaults_are_the_four_sensor_rig() -> None:
    config = seg_config({})
    assert config == SegConfig()
    assert list(config.rig.sensors) == ["rgb", "events", "depth", "thermal"]
    assert {s.expected_hz for s in config.rig.sensors.values()} == {30.0, 15.0, 10.0}


def test_named_sensors_replace_the_default_ones_and_integers_serve_as_floats() -> None:
    config = seg_config({"rig": {"deadline_s": 1, **ONE["rig"]}, "use_sim_time": True})
    assert config.rig == RigConfig({"cam": SensorConfig("cam/image", "rgb")}, deadline_s=1.0)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (
            {"rig": {"reference": ["RGB"], "sensors": {"rgb": {"topic": "a", "modality": "rgb"}}}},
            "rig.reference is RGB: did you mean rgb? expected some of the sensors rgb",
        ),
        ({"modle": "x"}, "unknown parameter modle: did you mean model? expected one of autostart"),
        ({"rig": {"sensors": {"a": {"hz": 3.0}}}}, "unknown parameter rig.sensors.a.hz"),
        ({"rig": {"sensors": {}}}, "rig.sensors is empty"),
        ({"rig": {"sensors": {"a": {"topic": "x"}}}}, "rig.sensors.a.modality is missing"),
        ({"rig": {"sensors": 3}}, "rig.sensors is 3: expected named entries"),
        ({"rig": 3}, "rig is 3: expected named parameters"),
        ({"threads": -1}, "threads is -1: expected a value from 0 to 256"),
        ({"threads": True}, "threads is True (bool): expected int"),
        ({"overlay_alpha": float("nan")}, "overlay_alpha is nan: expected a value from 0.0"),
        ({"model": 3}, "model is 3 (int): expected str"),
        ({"model": [1, 0.5]}, "model is [1, 0.5] (list): expected str, written '1 0.5'"),
        (
            {"rig": {"trigger": "camera"}},
            "rig.trigger is 'camera': expected one of reference, rate, any",
        ),
        (
            {"rig": {"min_modalities": 2, **ONE["rig"]}},
            "rig.min_modalities is 2, but the enabled sensors are of 1 kinds",
        ),
        (
            {"rig": {"sensors": {"a": {"topic": "x", "modality": "rgb", "enabled": False}}}},
            "no sensor is enabled, of a in rig.sensors: no mask would ever be made; enable one",
        ),
        (
            {
                "rig": {
                    "sensors": {
                        "a": {"topic": "x", "modality": "rgb"},
                        "b": {
                            "topic": "y",
                            "modality": "rgb",
                            "enabled": False,
                            "critical": True,
                        },
                    }
                }
            },
            "rig.sensors.b is critical but not enabled",
        ),
        (
            {
                "rig": {
                    "sensors": {
                        "a": {"topic": "x", "modality": "rgb"},
                        "b": {"topic": "x", "modality": "depth"},
                    }
                }
            },
            "rig.sensors.b.topic is 'x', which 'a' uses already",
        ),
    ],
)
def test_every_mistake_is_named_with_its_value(parameters: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        seg_config(parameters)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "cannot read the parameter file"),
        ("[]", "must hold node sections"),
        ("/**: {}", "has no 'ros__parameters:' section"),
        ("segmentation_node:\n  ros__parameters:\n    nope: 1\n", "unknown parameter nope"),
    ],
)
def test_bad_parameter_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says.replace("*", r"\*")):
        load_config(path)


def test_thresholds_stay_in_order_for_any_rate() -> None:
    for hz in (0.1, 1.0, 10.0, 30.0, 200.0):
        sensor = SensorConfig("a", "rgb", expected_hz=hz, failed_after_s=0.01)
        assert sensor.period_ns < sensor.late_after_ns <= sensor.stale_after_ns
        assert sensor.stale_after_ns <= sensor.failed_after_ns


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize("hz", [0.5, 30.0, 900.0])
def test_limits_say_the_same_times_without_topic_and_modality(modality: str, hz: float) -> None:
    sensor = SensorConfig("a", modality, expected_hz=hz, recover_frames=7, enabled=False)
    limits = sensor.limits
    for name in ("period", "tolerance", "late_after", "stale_after", "failed_after"):
        assert getattr(limits, f"{name}_ns") == getattr(sensor, f"{name}_ns"), name
    assert (limits.recover_frames, limits.fault_frames, limits.enabled) == (7, 3, False)
    assert SensorLimits().stale_after_ns == SensorConfig("a", "rgb").stale_after_ns


def test_checks_are_nested_per_sensor() -> None:
    checks = {"frozen": False, "black_below": 3}
    sensor = {"topic": "cam/image", "modality": "rgb", "checks": checks}
    config = seg_config({"rig": {"sensors": {"cam": sensor}}})
    assert config.rig.sensors["cam"].checks == ChecksConfig(frozen=False, black_below=3.0)


def test_scheduling_noise_is_allowed_for_at_high_rates_and_the_shutter_of_thermal_cameras() -> None:
    fast = SensorConfig("a", "event", expected_hz=200.0)
    assert fast.late_after_ns == 15_000_000
    assert SensorConfig("a", "rgb", expected_hz=30.0).late_after_ns == 59_999_999
    assert SensorConfig("a", "rgb", expected_hz=30.0).stale_after_ns == 200_000_000
    assert SensorConfig("a", "thermal", expected_hz=30.0).stale_after_ns == 1_500_000_000


@pytest.mark.parametrize(
    ("topic", "chosen", "expected"),
    [
        ("rgb/image", "auto", "sensor_msgs/msg/Image"),
        ("rgb/image/compressed", "auto", "sensor_msgs/msg/CompressedImage"),
        ("depth/image/compressedDepth", "auto", "sensor_msgs/msg/CompressedImage"),
        ("rgb/jpeg", "compressed", "sensor_msgs/msg/CompressedImage"),
        ("event_camera/events", "event_packet", "event_camera_msgs/msg/EventPacket"),
    ],
)
def test_the_message_type_follows_from_the_topic_or_is_told(
    topic: str, chosen: str, expected: str
) -> None:
    assert SensorConfig(topic, "event", type=chosen).message_type == expected


def test_only_event_cameras_send_events() -> None:
    sensors = {"lidar": {"topic": "points", "modality": "depth", "type": "event_packet"}}
    with pytest.raises(ConfigError, match=r"rig\.sensors\.lidar\.type is 'event_packet'"):
        seg_config({"rig": {"sensors": sensors}})


def test_a_point_cloud_holds_the_points_of_a_lidar_or_events() -> None:
    assert SensorConfig("points", "lidar", type="point_cloud").sends_points
    assert not SensorConfig("points", "event", type="point_cloud").sends_points
    assert not SensorConfig("lidar/image", "lidar").sends_points


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Thermal", "thermal"),
        ("thermo", "thermal"),
        ("onnx", "onnxruntime"),
        ("radar", ""),
        ("t", ""),
    ],
)
def test_capitals_and_beginnings_say_what_is_meant(word: str, meant: str) -> None:
    known = ("rgb", "thermal", "onnxruntime", "torch", "tensorrt")
    assert did_you_mean(word, known) == (f"did you mean {meant}? " if meant else "")
