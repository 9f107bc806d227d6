"""A bag through the pipeline, in the bag's own time: what the node would have made of it.

The log times stand in for the arrival of the messages, so a bag gives the same masks on every
machine, however slow, and the same as the node gives when it keeps up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import MESSAGE_TYPES, RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.faults.content import check_modalities
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.stream import inject
from anymodal_seg_ros.faults.timeline import FaultTimeline, check_sensors, load_timeline
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.pipeline import Pipeline

READABLE = tuple(MESSAGE_TYPES.values())
"""The types of messages that the pipeline can take. A bag says itself which one a topic carries."""

Arrival = tuple[str, int, Any]
"""Name of the sensor, arrival in nanoseconds, message."""


def absolute_topic(topic: str, namespace: str = "/") -> str:
    """Return a topic as ROS resolves it: relative ones lie in the namespace."""
    if topic.startswith("/"):
        return topic
    return "/" + "/".join(part for part in (namespace.strip("/"), topic) if part)


def sensors_by_topic(rig: RigConfig, namespace: str = "/") -> dict[str, str]:
    """Return the sensors of a rig by their absolute topics."""
    return {absolute_topic(s.topic, namespace): name for name, s in rig.sensors.items()}


def check_topics(bag: Bag, sensors: Mapping[str, str]) -> None:
    """Make sure that a bag has messages of at least one sensor.

    Raises:
        BagError: it has none, or a sensor's topic carries neither images nor events.
    """
    present = [topic for topic in sensors if topic in bag.topics]
    if not present:
        raise BagError(
            f"{bag.path} has none of the topics {', '.join(sensors)}: it has "
            f"{', '.join(sorted(bag.topics)) or 'none at all'}; mend the parameter file's topics, "
            "or give the namespace that they are in"
        )
    for topic in present:
        if bag.topics[topic] not in READABLE:
            raise BagError(
                f"{topic} of {bag.path} is {bag.topics[topic] or 'of several types'}: "
                f"expected one of {', '.join(READABLE)}"
            )


def arrivals(bag: Bag, sensors: Mapping[str, str]) -> Iterator[Arrival]:
    """Yield the messages of a rig's sensors as they arrived at the recorder.

    Args:
        bag: where they are recorded.
        sensors: names of the sensors by absolute topic.

    Raises:
        BagError: the bag is damaged.
    """
    for message in bag.messages(sensors):
        yield sensors[message.topic], message.log_ns, bag.decode(message)


def read_timeline(path: Path, rig: RigConfig) -> FaultTimeline:
    """Read what shall be wrong with the sensors of a rig.

    Raises:
        ConfigError: the file cannot be read or is wrong, names a sensor that the rig has not, or
            breaks one in a way that its kind cannot break.
    """
    timeline = load_timeline(path)
    try:
        check_sensors(timeline, rig.sensors)
        check_modalities(timeline, _modalities(rig))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return timeline


def with_faults(
    messages: Iterable[Arrival], timeline: FaultTimeline, rig: RigConfig, start_ns: int
) -> Iterator[Arrival]:
    """Yield what arrives if the sensors break as a timeline says.

    Args:
        messages: in order of arrival.
        timeline: without faults, everything arrives as it is.
        rig: its sensors' modalities tell what encodings leave open.
        start_ns: log time at which the timeline starts.

    Raises:
        ConfigError: a fault does not fit its sensor.
    """
    return inject(Injector[Any](timeline, _modalities(rig)), messages, start_ns)


def _modalities(rig: RigConfig) -> dict[str, str]:
    return {name: sensor.modality for name, sensor in rig.sensors.items()}


def replay(pipeline: Pipeline, messages: Iterable[Arrival]) -> Iterator[Prediction]:
    """Push messages into a pipeline and yield every prediction it makes.

    The pipeline is polled after every message and, in between, whenever it asks to be; after the
    last message until its deadline has passed.

    Args:
        pipeline: of a rig that has these sensors.
        messages: in order of arrival.
    """
    now_ns: int | None = None
    for sensor, received_ns, message in messages:
        if now_ns is not None:
            yield from _until(pipeline, received_ns)
        now_ns = received_ns
        pipeline.push_message(sensor, message, now_ns)
        yield from _poll(pipeline, now_ns)
    if now_ns is not None:
        yield from _until(pipeline, now_ns + seconds_to_ns(pipeline.rig.deadline_s) + 1)


def _until(pipeline: Pipeline, end_ns: int) -> Iterator[Prediction]:
    """Poll at every moment before ``end_ns`` at which the pipeline can have news."""
    while (wakeup_ns := pipeline.next_wakeup_ns()) is not None and wakeup_ns < end_ns:
        yield from _poll(pipeline, wakeup_ns)


def _poll(pipeline: Pipeline, now_ns: int) -> Iterator[Prediction]:
    while (prediction := pipeline.poll(now_ns)) is not None:
        yield prediction
