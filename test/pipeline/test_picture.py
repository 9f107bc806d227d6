"""The geometry of the masks: constant, whoever is alive, or that of the living reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.calibrations import write_camera_info
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import SplitEngine

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.geometry.cameras import Camera

MS = 1_000_000
PERIOD = 33_333_333
START = 1_700_000_000_000_000_000
SIZES = {"rgb": (60, 80), "events": (30, 40)}
RIG = RigConfig({"rgb": SensorConfig("a", "rgb"), "events": SensorConfig("b", "event")})


def pictures(
    rig: RigConfig,
    lost: set[int] | range,
    frames: int = 60,
    first: str = "rgb",
    infos: Sequence[Any] = (),
) -> list[Prediction]:
    """Two cameras of different sizes, 8 ms apart; some messages of one of them are lost."""
    pipe = Pipeline(rig, Model(Path("nowhere"), small_manifest(classes=32)), SplitEngine())
    for info in infos:
        assert pipe.push_camera_info(first, info) is None
    coming: list[tuple[int, str]] = []
    for k in range(frames):
        coming += [(k * PERIOD, "rgb")] if k not in lost or first != "rgb" else []
        coming += [(k * PERIOD + 8 * MS, "events")]
    made: list[Prediction] = []

    def poll(now: int) -> None:
        while (prediction := pipe.poll(now)) is not None:
            made.append(prediction)

    for now, sensor in sorted(coming):
        while (wakeup := pipe.next_wakeup_ns()) is not None and wakeup < now:
            poll(wakeup)
        pixels = scene("rgb" if sensor == "rgb" else "event", now // MS, *SIZES[sensor])
        encoding = ENCODINGS["rgb" if sensor == "rgb" else "event"]
        message = image_message(pixels, encoding, START + now, frame_id=f"{sensor}_optical")
        pipe.push_message(sensor, message, now)
        poll(now)
    return made


def geometry(prediction: Prediction) -> tuple[Any, ...]:
    return prediction.frame_set.reference_sample.frame_id, prediction.mask.shape


def test_one_lost_message_changes_no_geometry_and_costs_no_instant() -> None:
    made = pictures(RIG, {30})
    assert {geometry(p) for p in made[1:]} == {("rgb_optical", (60, 80))}
    stamps = [p.frame_set.reference_sample.stamp_ns for p in made]
    assert stamps == sorted(set(stamps)), "no instant is emitted twice"
    around = [p for p in made if 29 * PERIOD < p.frame_set.completed_ns < 32 * PERIOD]
    assert ("events",) in [p.sensors for p in around], "the second camera stands in"


def test_a_dead_first_sensor_leaves_its_size_and_frame_behind() -> None:
    made = pictures(RIG, range(20, 60))
    late = [p for p in made if p.frame_set.reference == "events"]
    assert len(late) > 30
    assert {geometry(p) for p in late} == {("rgb_optical", (60, 80))}
    assert {p.sensors for p in late} == {("events",)}


def test_before_the_first_sensor_was_ever_seen_the_reference_gives_size_and_frame() -> None:
    made = pictures(RIG, range(60))
    assert {geometry(p) for p in made} == {("events_optical", (30, 40))}


CALIBRATED = SimpleNamespace(
    header=SimpleNamespace(frame_id="rgb_optical"),
    width=80,
    height=60,
    distortion_model="plumb_bob",
    d=[],
    k=[70.0, 0, 40, 0, 70.0, 30, 0, 0, 1],
)


def mounted(tmp_path: Path, *, by_topic: bool, method: str) -> RigConfig:
    """The second camera sees the first one's picture, or stands beside it."""
    matrix = np.array(CALIBRATED.k).reshape(3, 3)
    file = "" if by_topic else write_camera_info(Camera(80, 60, matrix), tmp_path / "rgb.yaml")
    half = Camera(40, 30, np.diag([0.5, 0.5, 1.0]) @ matrix)
    own = write_camera_info(half, tmp_path / "events.yaml")
    first = RegistrationConfig(calibration=file, camera_info="a/info" if by_topic else "")
    second = RegistrationConfig()
    if method != "resize":
        second = RegistrationConfig(method, calibration=own, extrinsics="0.01 0 0 0 0 0 1")
    rgb = replace(RIG.sensors["rgb"], registration=first)
    return RigConfig({"rgb": rgb, "events": replace(RIG.sensors["events"], registration=second)})


@pytest.mark.parametrize(
    ("by_topic", "method", "expected"),
    [
        (True, "resize", ("rgb_optical", (60, 80), "rgb")),
        (True, "cameras", ("rgb_optical", (60, 80), "rgb")),
        (False, "resize", ("events_optical", (60, 80), "rgb")),
        (False, "cameras", ("events_optical", (30, 40), "events")),
    ],
)
def test_before_the_first_sensor_was_ever_seen_its_calibration_tells_what_it_can(
    tmp_path: Path, by_topic: bool, method: str, expected: tuple[Any, ...]
) -> None:
    """And no mask is said to be in a frame in which it is not."""
    rig = mounted(tmp_path, by_topic=by_topic, method=method)
    infos = [CALIBRATED] if by_topic else []
    made = pictures(rig, range(60), infos=infos)
    assert {(*geometry(p), p.picture) for p in made} == {expected}
    assert {p.sensors for p in made[1:]} == {("events",)}


def test_the_geometry_of_the_reference_follows_it_but_not_for_one_lost_message() -> None:
    rig = replace(RIG, geometry="reference")
    assert {geometry(p) for p in pictures(rig, {30})[1:]} == {("rgb_optical", (60, 80))}
    made = pictures(rig, range(20, 60))
    assert geometry(made[-1]) == ("events_optical", (30, 40))


def test_the_order_of_preference_is_a_list_and_not_the_order_of_the_file() -> None:
    sorted_file = {"events": RIG.sensors["events"], "rgb": RIG.sensors["rgb"]}
    rig = RigConfig(sorted_file, reference=("rgb",))
    assert list(rig.sensors) == ["rgb", "events"]
    assert {p.frame_set.reference for p in pictures(rig, set())[1:]} == {"rgb"}
    with pytest.raises(ConfigError, match=r"rig.reference is lidar: expected some of the sensors"):
        RigConfig(sorted_file, reference=("lidar",))


def odd_sizes(odd: set[int], *, packed: bool = False, disabled_from: int = 99) -> list[Prediction]:
    """The first camera sends pictures of another size now and then, and may be switched off."""
    first = replace(RIG.sensors["rgb"], type="compressed" if packed else "image")
    rig = RigConfig({"rgb": first, "events": RIG.sensors["events"]})
    pipe = Pipeline(rig, Model(Path("nowhere"), small_manifest(classes=32)), SplitEngine())
    made: list[Prediction] = []
    for k in range(60):
        if k == disabled_from:
            off = replace(first, enabled=False)
            pipe.configure(replace(rig, sensors={**rig.sensors, "rgb": off}))
        size = (20, 36) if k in odd else SIZES["rgb"]
        rgb = image_message(scene("rgb", k, *size), "rgb8", START + k * PERIOD, frame_id="rgb")
        if packed:
            _, data = cv2.imencode(".jpg", scene("rgb", k, *size))
            rgb = SimpleNamespace(header=rgb.header, format="jpeg", data=data)
        events = scene("event", k, *SIZES["events"])
        event = image_message(events, "8UC3", START + k * PERIOD, frame_id="events")
        pipe.push_message("rgb", rgb, k * PERIOD)
        pipe.push_message("events", event, k * PERIOD + MS)
        while (prediction := pipe.poll(k * PERIOD + 20 * MS)) is not None:
            made.append(prediction)
    return made


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("odd", [{30}, set(range(30, 60, 2))], ids=["once", "every other"])
def test_what_a_faulty_driver_sends_is_no_new_geometry(odd: set[int], packed: bool) -> None:
    made = odd_sizes(odd, packed=packed)[2:]
    assert {geometry(p) for p in made} == {("rgb", (60, 80))}
    assert len(made) > 55, "there is a mask for every frame"
    for prediction in made:
        stamp = prediction.frame_set.reference_sample.stamp_ns
        assert ("rgb" in prediction.sensors) <= ((stamp - START) // PERIOD not in odd)


@pytest.mark.parametrize("packed", [False, True])
def test_a_size_that_has_been_believed_is_the_new_geometry(packed: bool) -> None:
    made = odd_sizes(set(range(30, 60)), packed=packed)[2:]
    sizes = [p.mask.shape for p in made]
    assert sizes == sorted(sizes, reverse=True), "it changes once"
    assert geometry(made[-1]) == ("rgb", (20, 36))
    assert "rgb" in made[-1].sensors


def test_a_first_sensor_that_is_switched_off_leaves_its_size_and_frame_behind() -> None:
    made = odd_sizes(set(), disabled_from=30)
    assert made[-1].sensors == ("events",)
    assert {geometry(p) for p in made[2:]} == {("rgb", (60, 80))}
