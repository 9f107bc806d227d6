"""The geometry of the masks: constant, whoever is alive, or that of the living reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import SplitEngine

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline

MS = 1_000_000
PERIOD = 33_333_333
START = 1_700_000_000_000_000_000
SIZES = {"rgb": (60, 80), "events": (30, 40)}
RIG = RigConfig({"rgb": SensorConfig("a", "rgb"), "events": SensorConfig("b", "event")})


def pictures(
    rig: RigConfig, lost: set[int] | range, frames: int = 60, first: str = "rgb"
) -> list[Prediction]:
    """Two cameras of different sizes, 8 ms apart; some messages of one of them are lost."""
    pipe = Pipeline(rig, Model(Path("nowhere"), small_manifest(classes=32)), SplitEngine())
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
