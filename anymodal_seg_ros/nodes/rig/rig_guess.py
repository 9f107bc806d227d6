"""A rig from the topics that are published now: a first draft for people to look over."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

from rclpy.logging import get_logger
from rclpy.node import Node

from anymodal_seg_ros.config import MESSAGE_TYPES, RigConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.nodes.rig.rig_check import check_rig
from anymodal_seg_ros.nodes.topics.message_class import message_class
from anymodal_seg_ros.nodes.topics.offers import of_others
from anymodal_seg_ros.sensing.decoding.modality_guess import (
    EVENT_PICTURES_HZ,
    guess_modality,
    is_derived,
)

_SECOND_FORM = r"/image_rect_raw/|/theora|/zstd"
_SETTLED_S, _DISCOVERY_S = 2.0, 10.0
"""The graph is complete when nothing was added for so long; and it is waited for at most so long.
"""


def sensors_of(published: Mapping[str, str]) -> dict[str, SensorConfig]:
    """Return a sensor for each topic that can be one.

    Args:
        published: types of messages by full topic name. Of an image that comes raw and
            compressed, the raw one is taken.
    """
    words = {message: word for word, message in MESSAGE_TYPES.items()}
    found: dict[str, SensorConfig] = {}
    for topic, type_name in sorted(published.items()):
        base = re.sub(r"/compressed(Depth)?$", "", topic)
        if type_name not in words or (base != topic and base in published):
            continue
        if is_derived(topic) or re.search(_SECOND_FORM, topic):
            continue
        modality = guess_modality(topic, type_name)
        kind = words[type_name]
        found[_free_name(modality, found)] = SensorConfig(
            topic, modality, type="auto" if kind in ("image", "compressed") else kind
        )
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A rig from what is published.

    Attributes:
        parameters: what belongs below ``ros__parameters``; without sensors if none is published.
        off: why some of its sensors are not enabled, by name.
    """

    parameters: dict[str, Any]
    off: dict[str, str]


def guess_rig(seconds: float, stop: threading.Event, known: Collection[str]) -> Draft:
    """Look at the graph, measure the rates, and draft a rig that a node can be started with.

    Args:
        seconds: how long rates are measured.
        stop: ends it early when set.
        known: modalities of the model; sensors of other kinds are switched off.
    """
    node = Node("rig_guess")
    try:
        published = _settled(node, stop)
    finally:
        node.destroy_node()
    sensors = sensors_of(published)
    if not sensors:
        return Draft({"rig": {"sensors": {}}}, {})
    described: dict[str, Any] = {}
    heard = {name: sensor for name, sensor in sensors.items() if _can_be_heard(name, sensor)}
    looks = check_rig(RigConfig(sensors=heard), seconds, stop, placed=False) if heard else []
    measured = {look.sensor: (look.form, look.rate_hz) for look in looks}
    for name, sensor in sensors.items():
        form, rate_hz = measured.get(name, ("", 0.0))
        encoding = form.rpartition(" ")[2]  # of e.g. 640x480 16UC1
        kind = guess_modality(sensor.topic, published[sensor.topic], encoding)
        sensor = dataclasses.replace(sensor, modality=kind)
        described[_free_name(sensor.modality, described)] = _described(sensor, rate_hz, published)
    order = sorted(described, key=lambda name: (not name.startswith("rgb"), name))
    off = _switched_off(described, described[order[0]], known, "/tf_static" in published)
    return Draft({"rig": {"reference": order, "sensors": described}}, off)


def _switched_off(
    described: dict[str, Any], first: Mapping[str, Any], known: Collection[str], has_tf: bool
) -> dict[str, str]:
    """Switch off what cannot be used as it is, and say why; say of points where they come from."""
    calibrated = "registration" in first and first.get("type") != "point_cloud"
    off: dict[str, str] = {}
    for name, said in described.items():
        if said["modality"] not in known:
            off[name] = f"the model knows no {said['modality']}"
        elif said.get("type") == "point_cloud" and calibrated and has_tf:
            said["registration"] = {"method": "cameras", "extrinsics": "tf"}
        elif said.get("type") == "point_cloud":
            off[name] = (
                "points are drawn into the picture of the first camera: that takes its calibration "
                "(camera_info) and the places of both (/tf_static)"
            )
        if name in off:
            said["enabled"] = False
    return off


def _can_be_heard(name: str, sensor: SensorConfig) -> bool:
    """Whether the package of a sensor's messages is installed; says in one line if it is not."""
    try:
        message_class(name, sensor)
    except ConfigError as error:
        get_logger("rig_guess").warning(f"{sensor.topic} is not measured: {one_line(error)}")
        return False
    return True


def _settled(node: Node, stop: threading.Event) -> dict[str, str]:
    """Return the types of what is published, by topic, when the graph has become quiet."""
    published: dict[str, str] = {}
    begin_s = changed_s = time.monotonic()
    while (now_s := time.monotonic()) < begin_s + _DISCOVERY_S and not stop.wait(0.1):
        there = dict(node.get_topic_names_and_types())
        seen = {topic: there[topic][0] for topic in of_others(node, there)}
        if seen != published:
            published, changed_s = seen, now_s
        if sensors_of(published) and now_s - changed_s > _SETTLED_S:
            break
    return published


def _described(
    sensor: SensorConfig, rate_hz: float, published: Mapping[str, str]
) -> dict[str, Any]:
    said: dict[str, Any] = {"topic": sensor.topic, "modality": sensor.modality}
    if sensor.type != "auto":
        said["type"] = sensor.type
    if rate_hz > 0:
        most = EVENT_PICTURES_HZ if sensor.sends_events else rate_hz
        said["expected_hz"] = round(min(rate_hz, most), 1)
    base = re.sub(r"/compressed(Depth)?$", "", sensor.topic)
    info = f"{base.rsplit('/', 1)[0]}/camera_info"
    if published.get(info) == "sensor_msgs/msg/CameraInfo":
        said["registration"] = {"camera_info": info}
    return said


def _free_name(modality: str, taken: Mapping[str, Any]) -> str:
    number = 2
    name = modality
    while name in taken:
        name, number = f"{modality}_{number}", number + 1
    return name
