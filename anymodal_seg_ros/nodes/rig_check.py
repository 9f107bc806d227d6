"""Listens to the topics of a rig for a while, as the segmentation node would, and reports."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import AnymodalError, DecodeError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.nodes.graph_watch import GraphWatch
from anymodal_seg_ros.nodes.guard import guarded
from anymodal_seg_ros.nodes.rig_findings import Look
from anymodal_seg_ros.nodes.shutdown import spinning
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.events.messages import is_event_message
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info

NAME = "rig_check"


class _Tally:
    """What came of one sensor."""

    def __init__(self, sensor: SensorConfig) -> None:
        self.sensor = sensor
        self.messages = self.unstamped = 0
        self.ages_s: list[float] = []
        self.newest: Any = None
        self.calibration = self.calibration_error = ""


def check_rig(rig: RigConfig, seconds: float, stop: threading.Event) -> list[Look]:
    """Listen to every enabled sensor of a rig.

    Args:
        rig: its sensors.
        seconds: how long to listen after the first look at the graph.
        stop: ends it early when set.

    Raises:
        ConfigError: a package of messages is not installed.
    """
    node = Node(NAME)
    tallies = {n: _Tally(s) for n, s in rig.sensors.items() if s.enabled}

    def on_message(name: str, message: Any, _: Mapping[str, Any] | None) -> None:
        tally = tallies[name]
        tally.messages += 1
        tally.newest = message
        stamp = int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
        if stamp == 0:
            tally.unstamped += 1
        else:
            tally.ages_s.append((node.get_clock().now().nanoseconds - stamp) / 1e9)

    def on_camera_info(name: str, message: Any, _: Mapping[str, Any] | None) -> None:
        tally = tallies[name]
        try:
            camera = camera_from_info(message, tally.sensor.registration.rectified)
            tally.calibration, tally.calibration_error = f"{camera.width}x{camera.height}", ""
        except AnymodalError as error:
            tally.calibration_error = one_line(error)

    def failed(name: str, error: Exception) -> None:
        tallies[name].calibration_error = f"{type(error).__name__}: {one_line(error)}"

    watch = GraphWatch(
        node, rig, guarded(on_message, failed), guarded(on_camera_info, failed), tells=False
    )
    try:
        with spinning(node, stop):
            stop.wait(1.0)  # for discovery
            before = {name: tally.messages for name, tally in tallies.items()}
            started_s = time.monotonic()
            stop.wait(seconds)
            elapsed_s = time.monotonic() - started_s
            counted = {name: tally.messages - before[name] for name, tally in tallies.items()}
        watch.look()
        return [
            _look(name, tally, watch, elapsed_s, counted[name]) for name, tally in tallies.items()
        ]
    finally:
        watch.destroy()
        node.destroy_node()


def _look(name: str, tally: _Tally, watch: GraphWatch, seconds: float, messages: int) -> Look:
    form, unreadable = _form(tally.newest)
    return Look(
        sensor=name,
        facts=watch.facts[name],
        seconds=seconds,
        messages=messages,
        form=form,
        unreadable=unreadable,
        stamp_age_s=statistics.median(tally.ages_s) if tally.ages_s else None,
        unstamped=min(tally.unstamped, messages),
        calibration=tally.calibration,
        calibration_error=tally.calibration_error,
    )


def _form(message: Any) -> tuple[str, str]:
    """Return size and encoding of a message, and why it cannot be read."""
    if message is None or is_event_message(message):
        return "", ""
    try:
        if message.header.stamp.sec or message.header.stamp.nanosec:
            stamp_ns(message.header)
        image = decode_image(message)
        _ = image.pixels
    except DecodeError as error:
        return "", one_line(error)
    return f"{image.width}x{image.height} {image.encoding}", ""
