"""What a node would have received of a bag: its topics, as ROS resolves them, in order of time."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import MESSAGE_TYPES, NODE_NAME, RigConfig, refuse_shared_topics
from anymodal_seg_ros.config.other_types import mend_of_type
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.evaluation.bags import Bag, BagError, BagMessage
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError

READABLE = tuple(MESSAGE_TYPES.values())
"""The types of messages that the pipeline can take. A bag says itself which one a topic carries."""

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

TF_STATIC, TRANSFORMS = "/tf_static", "tf2_msgs/msg/TFMessage"

Arrival = tuple[str, int, Any]
"""Name of the sensor, arrival in nanoseconds, message or one of :data:`UPDATES`."""


@dataclass(frozen=True, slots=True)
class CameraUpdate:
    """A ``sensor_msgs/CameraInfo`` of a sensor, among the sensors' own messages."""

    message: Any


@dataclass(frozen=True, slots=True)
class TransformUpdate:
    """A ``tf2_msgs/TFMessage`` of ``/tf_static``, among the sensors' own messages."""

    message: Any


UPDATES = (CameraUpdate, TransformUpdate)
"""What tells of the rig's geometry and is no sensor's message: nothing ever happens to it."""


class UnreadableMessage:
    """A message whose bytes do not fit its type: to read any field of it is an error.

    So it goes the way of every bad message: it is rejected, counted and told, and the next one is
    looked at.

    Attributes:
        error: what reading a field raises, the one that a bad message of this kind raises.
    """

    step = 0
    """Like an image, and unlike messages of events, which are told by having no step."""

    def __init__(self, error: DecodeError | CalibrationError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.error


def absolute_topic(topic: str, namespace: str = "/", node: str = NODE_NAME) -> str:
    """Return a topic as ROS resolves it.

    Relative ones lie in the namespace, ``~/…`` in the node's own; ``{node}`` and ``{ns}`` stand for
    the names.

    Args:
        topic: as in a parameter file.
        namespace: that the node is in.
        node: its name, without the namespace.
    """
    inside = "/" + namespace.strip("/")
    for name, value in (("node", node), ("ns", inside), ("namespace", inside)):
        topic = topic.replace(f"{{{name}}}", value)
    topic = topic.removeprefix("rostopic://")
    if topic == "~" or topic.startswith("~/"):
        topic = f"{inside}/{node}{topic[1:]}"
    elif not topic.startswith("/"):
        topic = f"{inside}/{topic}"
    return "/" + "/".join(part for part in topic.split("/") if part)


def absolute_rig(rig: RigConfig, namespace: str = "/", node: str = NODE_NAME) -> RigConfig:
    """Return a rig whose topics are absolute, so that they mean the same to everybody."""

    def absolute(topic: str) -> str:
        return topic and absolute_topic(topic, namespace, node)

    sensors = {}
    for name, sensor in rig.sensors.items():
        info = absolute(sensor.registration.camera_info)
        registration = dataclasses.replace(sensor.registration, camera_info=info)
        topic = absolute(sensor.topic)
        sensors[name] = dataclasses.replace(sensor, topic=topic, registration=registration)
    return dataclasses.replace(rig, sensors=sensors)


def sensors_by_topic(rig: RigConfig, namespace: str = "/", node: str = NODE_NAME) -> dict[str, str]:
    """Return the sensors of a rig by their absolute topics.

    Raises:
        ConfigError: two sensors have the same.
    """
    topics = {n: absolute_topic(s.topic, namespace, node) for n, s in rig.sensors.items()}
    refuse_shared_topics(topics)
    return {topic: name for name, topic in topics.items()}


def cameras_by_topic(
    rig: RigConfig, namespace: str = "/", node: str = NODE_NAME
) -> dict[str, list[str]]:
    """Return the sensors that a topic of CameraInfo, or of tf, describes, by its absolute name."""
    found: dict[str, list[str]] = {}
    for name, sensor in rig.sensors.items():
        if topic := sensor.registration.camera_info:
            found.setdefault(absolute_topic(topic, namespace, node), []).append(name)
        if sensor.registration.extrinsics == "tf":
            found.setdefault(TF_STATIC, []).append(name)
    return found


def check_topics(bag: Bag, sensors: Mapping[str, str], off: Collection[str] = ()) -> list[str]:
    """Make sure that a bag has the topic of at least one sensor.

    Args:
        bag: opened.
        sensors: names of the sensors by absolute topic.
        off: those among them that are disabled, whose topics nobody misses.

    Returns:
        What of the sensors is not in the bag, or not in a type that is taken: a line each.

    Raises:
        BagError: there is nothing that could be read.
    """
    present = [topic for topic in sensors if topic in bag.topics]
    if not present:
        there = ", ".join(sorted(bag.topics))
        raise BagError(
            f"{bag.path} has none of the topics {quote(', '.join(sensors), 150)}: it has "
            f"{quote(there, 150) or 'none at all'}; mend the parameter file's topics or its "
            "namespace, or let 'anymodal-seg inspect BAG --init rig.yaml' write one for the bag"
        )
    lines = [
        f"{bag.path} has no {topic}: {name} counts as missing"
        for topic, name in sensors.items()
        if topic not in bag.topics and name not in off
    ]
    unusable = [
        f"{quote(topic)} of {bag.path} is {_unusable(bag.types(topic))}"
        for topic in present
        if not bag.types(topic) & set(READABLE)
    ]
    if len(unusable) == len(present):
        raise BagError(unusable[0])
    mixed = [
        f"{quote(topic)} of {bag.path} is of several types, {quote(', '.join(sorted(types)), 150)}"
        ": a node hears the messages of one of them alone"
        for topic in present
        if len(types := bag.types(topic)) > 1 and types & set(READABLE)
    ]
    return [*lines, *unusable, *mixed]


def check_messages(bag: Bag, topics: Collection[str]) -> None:
    """Make sure that somebody sent something on at least one of the sensors' topics.

    Where nothing was sent no mask is lost: a gate would pass what nobody has seen.

    Args:
        bag: opened.
        topics: absolute ones, of all sensors.

    Raises:
        BagError: nobody did.
    """
    if not bag.count(topics):
        raise BagError(
            f"{bag.path} has no message on {quote(', '.join(topics), 150)}: there is nothing to "
            "judge; record it again while the drivers run"
        )


def check_cameras(
    bag: Bag, cameras: Mapping[str, Collection[str]], off: Collection[str] = ()
) -> list[str]:
    """Say which topics of CameraInfo, or of tf, a bag does not have as such, a line each.

    Args:
        bag: opened.
        cameras: names of the sensors by the absolute topics of their CameraInfo.
        off: those among them that are disabled, whose topics nobody misses.
    """
    lines = []
    for topic in sorted(t for t, names in cameras.items() if not set(names) <= set(off)):
        expected = TRANSFORMS if topic == TF_STATIC else CAMERA_INFO
        if not (types := bag.types(topic)):
            lines.append(f"{bag.path} has no {topic}")
        elif expected not in types:
            found = quote(", ".join(sorted(types)), 150) or "of no type that the bag tells"
            lines.append(f"{topic} of {bag.path} is {found}: expected {expected}")
    return lines


def heard_type(types: Collection[str], configured: str = "") -> str:
    """Return the type of which a node hears the messages of a topic; empty if it takes none.

    Args:
        types: that the topic's publishers send: one, unless something is wrong.
        configured: what the sensor's ``type`` stands for, where there is a rig. It decides between
            several; a topic of one type is read whatever the rig says.
    """
    return next((kind for kind in (configured, *READABLE) if kind in types), "")


def _unusable(types: set[str]) -> str:
    """Say of what types a topic is, none of which can be taken, and the mend."""
    if types == {""}:
        return (
            "of no type that the bag tells, its channel has no schema: record it anew, or write it "
            "with a schema such as sensor_msgs/msg/Image"
        )
    known = sorted(filter(None, types))
    several = "of several types, " if len(types) > 1 else ""
    mend = next(filter(None, map(mend_of_type, known)), f"expected one of {', '.join(READABLE)}")
    return f"{several}{quote(', '.join(known), 150)}: {mend}"


def arrivals(
    bag: Bag,
    sensors: Mapping[str, str],
    cameras: Mapping[str, Sequence[str]] | None = None,
    rig: RigConfig | None = None,
) -> Iterator[Arrival]:
    """Yield the messages of a rig's sensors as they arrived at the recorder.

    A damaged one comes as :class:`UnreadableMessage`; what is of no type that a node would have
    subscribed to does not come.

    Args:
        bag: where they are recorded.
        sensors: names of the sensors by absolute topic.
        cameras: names of the sensors by the absolute topics of their CameraInfo.
        rig: the sensors, whose ``type`` tells which messages count on a topic of several types.

    Raises:
        BagError: the bag is damaged.
    """
    cameras = cameras or {}
    configured = {name: sensor.message_type for name, sensor in rig.sensors.items()} if rig else {}
    heard = {t: heard_type(bag.types(t), configured.get(name, "")) for t, name in sensors.items()}
    for recorded in bag.messages({*sensors, *cameras}):
        if recorded.topic in cameras and recorded.type == CAMERA_INFO:
            message = read(bag, recorded)
            for sensor in cameras[recorded.topic]:
                yield sensor, recorded.log_ns, CameraUpdate(message)
        elif recorded.topic in cameras and recorded.type == TRANSFORMS:
            message = read(bag, recorded)
            if not isinstance(message, UnreadableMessage):
                yield cameras[recorded.topic][0], recorded.log_ns, TransformUpdate(message)
        elif recorded.topic in sensors and recorded.type == heard[recorded.topic]:
            yield sensors[recorded.topic], recorded.log_ns, read(bag, recorded)


def read(bag: Bag, recorded: BagMessage) -> Any:
    """Decode a message; a damaged one comes as :class:`UnreadableMessage`."""
    try:
        return bag.decode(recorded)
    except BagError as error:
        kind = CalibrationError if recorded.type == CAMERA_INFO else DecodeError
        return UnreadableMessage(kind(str(error)))
