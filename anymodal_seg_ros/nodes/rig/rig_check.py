"""Listens to the topics of a rig for a while, as the segmentation node would, and reports."""

from __future__ import annotations

import dataclasses
import statistics
import threading
import time
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import AnymodalError, DecodeError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.preprocess import check_encoding
from anymodal_seg_ros.nodes.parameters import check_topics
from anymodal_seg_ros.nodes.process.guard import guarded
from anymodal_seg_ros.nodes.process.shutdown import spinning
from anymodal_seg_ros.nodes.rig.rig_findings import Look
from anymodal_seg_ros.nodes.topics.graph_watch import GraphWatch
from anymodal_seg_ros.nodes.topics.static_transforms import StaticTransforms
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.events.arrays import parse_event_array
from anymodal_seg_ros.sensing.events.messages import is_event_message
from anymodal_seg_ros.sensing.events.windows import EventStream
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry, UnknownGeometryError
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

NAME = "rig_check"

DISCOVERY_S = (1.0, 5.0)
"""How long drivers are given to be found, at least and, while one has sent nothing, at most."""

_MOST_FORMS = 3
"""Of images on one topic that are named."""

_JUMP_NS = 1_000_000_000
"""Nothing is made of the events, so no jump of their time is met."""


class _Tally:
    """What came of one sensor."""

    def __init__(self, sensor: SensorConfig, spec: ModalitySpec | None) -> None:
        self.sensor, self.spec = sensor, spec
        self.messages = self.unstamped = self.repeated = self.damaged = 0
        self.damage = ""
        self.stamp: int | None = None
        self.forms: dict[str, None] = {}
        self.ages_s: list[float] = []
        self.newest: Any = None
        self.calibration = self.calibration_error = ""

    def take(self, message: Any, now_ns: int) -> None:
        """Take note of a message."""
        self.messages += 1
        self.newest = message
        stamp = stamp_of(message)
        if stamp == 0:
            self.unstamped += 1
        elif stamp is not None:
            self.ages_s.append((now_ns - stamp) / 1e9)
            self.repeated += stamp == self.stamp
        self.stamp = stamp
        if isinstance(message, Image):  # of others there is no cheap look at every one
            form, damage = form_of(message, self.sensor, self.spec, whole=False)
            self.damaged += bool(damage)
            self.damage = damage or self.damage
            if form and len(self.forms) < _MOST_FORMS:
                self.forms[form] = None

    def take_calibration(self, message: Any) -> None:
        """Take note of a CameraInfo; the newest one counts."""
        try:
            camera = camera_from_info(message, self.sensor.registration.rectified)
            self.calibration, self.calibration_error = f"{camera.width}x{camera.height}", ""
        except AnymodalError as error:
            self.calibration_error = one_line(error)


def check_rig(
    rig: RigConfig,
    seconds: float,
    stop: threading.Event,
    modalities: Mapping[str, ModalitySpec] | None = None,
    *,
    placed: bool = True,
) -> list[Look]:
    """Listen to every enabled sensor of a rig.

    Args:
        rig: its sensors.
        seconds: how long to listen after the drivers have been found.
        stop: ends it early when set.
        modalities: what the model takes of each kind of sensor; without, any encoding is fine.
        placed: whether the rig says where its sensors are; a draft does not yet.

    Raises:
        ConfigError: a package of messages is not installed, or a topic's name is none.
    """
    check_topics(rig)
    node = Node(NAME)
    specs = modalities or {}
    tallies = {n: _Tally(s, specs.get(s.modality)) for n, s in rig.sensors.items() if s.enabled}

    def on_message(name: str, message: Any, _: Mapping[str, Any] | None) -> None:
        tallies[name].take(message, node.get_clock().now().nanoseconds)

    def on_camera_info(name: str, message: Any, _: Mapping[str, Any] | None) -> None:
        tallies[name].take_calibration(message)

    def failed(name: str, error: Exception) -> None:
        tallies[name].calibration_error = f"{type(error).__name__}: {one_line(error)}"

    clouds = [name for name, sensor in rig.sensors.items() if sensor.sends_points]
    geometry = RigGeometry(rig.sensors, clouds) if placed else None
    tf = None
    if geometry is not None and geometry.by_tf:
        tf = StaticTransforms(node, geometry.take_transforms)
    watch = GraphWatch(
        node, rig, guarded(on_message, failed), guarded(on_camera_info, failed), tells=False
    )
    try:
        with spinning(node, stop):
            _discover(tallies, stop)
            before = {name: tally.messages for name, tally in tallies.items()}
            started_s = time.monotonic()
            stop.wait(seconds)
            elapsed_s = time.monotonic() - started_s
            counted = {name: tally.messages - before[name] for name, tally in tallies.items()}
        watch.look()
        places = {} if geometry is None else _places(geometry, tallies)
        return [
            _look(name, tally, rig, watch, elapsed_s, counted[name], places.get(name, ""))
            for name, tally in tallies.items()
        ]
    finally:
        watch.destroy()
        if tf is not None:
            tf.destroy()
        node.destroy_node()


def _discover(tallies: Mapping[str, _Tally], stop: threading.Event) -> None:
    """Wait until every sensor has sent something: on a busy machine discovery takes seconds."""
    at_least_s, at_most_s = (time.monotonic() + wait_s for wait_s in DISCOVERY_S)
    while not stop.wait(0.1) and time.monotonic() < at_most_s:
        if time.monotonic() >= at_least_s and all(t.messages for t in tallies.values()):
            return


def _look(
    name: str,
    tally: _Tally,
    rig: RigConfig,
    watch: GraphWatch,
    seconds: float,
    messages: int,
    place_error: str,
) -> Look:
    form, unreadable = form_of(tally.newest, tally.sensor, tally.spec)
    looked_at = rig.content_checks and not unreadable
    return Look(
        sensor=name,
        facts=watch.facts[name],
        seconds=seconds,
        messages=messages,
        form=form,
        unreadable=unreadable,
        stamp_age_s=statistics.median(tally.ages_s) if tally.ages_s else None,
        unstamped=min(tally.unstamped, messages),
        seen=tally.messages,
        repeated=tally.repeated,
        damaged=tally.damaged,
        damage=tally.damage,
        forms=tuple(tally.forms),
        content=content_fault(tally.newest, tally.sensor, tally.spec) if looked_at else "",
        calibration=tally.calibration,
        calibration_facts=watch.calibration_facts.get(name),
        calibration_error=tally.calibration_error,
        place_error=place_error,
        frame=_frame_of(tally.newest),
    )


def _frame_of(message: Any) -> str | None:
    """Return the header's frame; None if none has come, or as bytes."""
    if message is None or isinstance(message, bytes):
        return None
    return str(message.header.frame_id)


def _places(geometry: RigGeometry, tallies: Mapping[str, _Tally]) -> dict[str, str]:
    """Return why places that are left to tf are not known, by sensor."""
    for name, tally in tallies.items():
        if (frame := _frame_of(tally.newest)) is not None:
            geometry.take_frame(name, frame)
    unknown = {}
    for name in geometry.by_tf:
        try:
            geometry.first_from(name)
        except UnknownGeometryError as error:
            unknown[name] = str(error)
    return unknown


def stamp_of(message: Any) -> int | None:
    """Return the header's stamp, 0 where there is none; None if the message cannot be read."""
    if not isinstance(message, bytes):
        return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
    try:
        return parse_event_array(message).stamp_ns
    except DecodeError as error:
        return 0 if error.kind == "stamp" else None


def form_of(
    message: Any, sensor: SensorConfig, spec: ModalitySpec | None, *, whole: bool = True
) -> tuple[str, str]:
    """Return size and encoding of a message, and why it cannot be used.

    Args:
        message: of the sensor; None if none has come.
        sensor: its configuration.
        spec: what the model takes; without, any encoding is fine.
        whole: whether its pixels are looked at, and not only what it says of them.
    """
    if message is None:
        return "", ""
    if sensor.modality == "event" and is_event_message(message):
        return _form_of_events(message, sensor)
    try:
        if message.header.stamp.sec or message.header.stamp.nanosec:
            stamp_ns(message.header)
        image = decode_image(message)
        if whole:
            _ = image.pixels
    except DecodeError as error:
        return "", one_line(error)
    form = f"{image.width}x{image.height} {image.encoding}"
    if image.encoding == POINT_CLOUD:
        form = f"{image.width * image.height} points"
    try:
        if spec is not None:
            check_encoding(image, spec)
    except DecodeError as error:
        return form, one_line(error)
    return form, ""


def content_fault(message: Any, sensor: SensorConfig, spec: ModalitySpec | None) -> str:
    """Say what makes a readable message no picture of the world; empty if nothing does.

    As the node's watchdog finds it in a single picture that it is shown for a minute; what takes
    several is left to the node.
    """
    if message is None or (sensor.modality == "event" and is_event_message(message)):
        return ""
    planes = None if spec is None else spec.planes
    checks = dataclasses.replace(sensor.checks, frozen=False, covered=False, soft=False)
    checker = ContentChecker(sensor.modality, checks, planes=planes, counts=sensor.counts)
    image = decode_image(message)
    faults = [checker.inspect(image, seconds * 10**9) for seconds in range(0, 61, 10)]
    last = faults[-1]
    return last.reason if last is not None and last.withhold else ""


def _form_of_events(message: Any, sensor: SensorConfig) -> tuple[str, str]:
    """Return the size of an event camera and how its events are written, or why they are none."""
    stream = EventStream(sensor.events, _JUMP_NS)
    try:
        stream.push(message)
    except DecodeError as error:
        return "", "" if error.kind == "stamp" else one_line(error)  # stamps are told by themselves
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        return "", f"a field is of another type than it should be: {one_line(error)}"
    assert stream.grid is not None  # a message has been taken
    size = f"{stream.grid.sensor_width}x{stream.grid.sensor_height}"
    return f"{size} {quote(getattr(message, 'encoding', 'events'))}", ""
