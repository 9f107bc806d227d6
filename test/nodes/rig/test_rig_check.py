"""What `anymodal-seg check` makes of one message of each kind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from fixtures.clouds import cloud_message
from fixtures.event_messages import event_cloud, event_packet, evt3_words, header
from fixtures.scenes import scene

from anymodal_seg_ros.config import EventConfig, SensorConfig
from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.nodes.messages import image_message
from anymodal_seg_ros.nodes.rig.rig_check import content_fault, form_of, stamp_of

EVENTS = SensorConfig("e", "event", type="event_packet")
LIDAR = SensorConfig("l", "lidar", type="point_cloud")
WORDS = evt3_words(*(np.arange(4) for _ in range(4)))


def test_event_messages_are_read_like_any() -> None:
    assert form_of(event_packet(WORDS), EVENTS, None) == ("640x480 evt3", "")
    form, wrong = form_of(event_packet(WORDS, encoding="evt9"), EVENTS, None)
    assert form == "" and "encoding is 'evt9'" in wrong
    _, wrong = form_of(event_packet(WORDS, encoding="mono", width=0), EVENTS, None)
    assert "size is 0x480" in wrong
    _, wrong = form_of(SimpleNamespace(header=header(1), encoding="evt3", events=b""), EVENTS, None)
    assert "another type than it should be" in wrong


def test_clouds_of_events_need_the_size_of_the_sensor() -> None:
    numbers = np.arange(20)
    cloud = event_cloud(
        {
            "x": numbers.astype("u2"),
            "y": numbers.astype("u2"),
            "t": (10 + numbers / 1e4).astype("f8"),
            "p": (numbers % 2).astype("u1"),
        }
    )
    sized = SensorConfig("e", "event", events=EventConfig(height=100, width=200))
    assert form_of(cloud, sized, None) == ("200x100 events", "")
    assert "set events.height and events.width" in form_of(cloud, EVENTS, None)[1]


def test_the_scans_of_a_lidar_are_read_too() -> None:
    numbers = np.linspace(1, 9, 50, dtype="f4")
    scan = cloud_message({"x": numbers, "y": numbers, "z": numbers})
    assert form_of(scan, LIDAR, None) == ("50 points", "")
    assert "expected y among them" in form_of(cloud_message({"x": numbers}), LIDAR, None)[1]


def test_raw_event_arrays_have_stamps_as_well() -> None:
    head = np.array([0, 1, 0, 0], np.uint8).tobytes()
    fields = np.array([7, 5, 1, 0, 480, 640, 0], "<u4").tobytes()
    array = SensorConfig("e", "event", type="event_array")
    assert stamp_of(head + fields) == 7_000_000_005
    assert form_of(head + fields, array, None) == ("640x480 events", "")
    assert stamp_of(head + bytes(8) + fields[8:]) == 0
    assert stamp_of(b"\0\1\0\0") is None


@pytest.mark.parametrize(
    ("pixels", "encoding", "modality", "fault"),
    [
        (scene("rgb", 0, 48, 64), "rgb8", "rgb", ""),
        (np.zeros((48, 64, 3), np.uint8), "rgb8", "rgb", "black"),
        (np.full((48, 64), np.nan, np.float32), "32FC1", "depth", "no_depth"),
        (scene("depth", 0, 48, 64) * np.float32(1000), "32FC1", "depth", "units"),
    ],
)
def test_the_newest_picture_is_looked_at_as_the_watchdog_would(
    pixels: Pixels, encoding: str, modality: str, fault: str
) -> None:
    message = image_message(pixels, encoding, 10**9, "camera")
    assert content_fault(message, SensorConfig("s", modality), None).partition(":")[0] == fault
