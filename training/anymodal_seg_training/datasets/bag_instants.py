"""What the sensors of a rig saw when a label was made, found in a bag by header stamps."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anymodal_seg_ros.config import (
    EVENT_TYPES,
    RigConfig,
    SensorConfig,
    load_node_config,
    seconds_to_ns,
)
from anymodal_seg_ros.errors import ConfigError, DecodeError
from anymodal_seg_ros.evaluation.arrivals import absolute_rig
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.instants import tell_cameras
from anymodal_seg_ros.evaluation.replay import absolute_topic
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.windows import EventAccumulator
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_training.errors import TrainingError

_EVENTS_AROUND_NS = 500_000_000
"""Packets are read from so long before a window until so long after it: some come late."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a message is in a bag: by its log time, and by its header stamp among equals."""

    log_ns: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class LabelledInstant:
    """A label and what every sensor saw then.

    Attributes:
        label: its message.
        sensors: the message of each; for one that sends events, the one nearest to the label.
    """

    label: Recorded
    sensors: Mapping[str, Recorded]


def recorded_rig(parameters: Path) -> RigConfig:
    """Read a rig; its topics are absolute, in the namespace that the file speaks of.

    Raises:
        ConfigError: as :func:`~anymodal_seg_ros.config.load_node_config`.
    """
    where = load_node_config(parameters)
    return absolute_rig(where.config.rig, where.namespace, where.node)


def enabled_sensors(rig: RigConfig) -> dict[str, SensorConfig]:
    """The sensors that take part."""
    return {name: sensor for name, sensor in rig.sensors.items() if sensor.enabled}


def sends_events(sensor: SensorConfig) -> bool:
    """Whether a sensor sends events one by one, and not images."""
    points = sensor.type == "point_cloud" and sensor.modality == "event"
    return sensor.type in EVENT_TYPES or points


def find_instants(
    bag: Bag, rig: RigConfig, reference: str, label_topic: str, label_tolerance_ns: int
) -> Iterator[LabelledInstant]:
    """Yield the instants at which there is a label and every sensor saw something.

    Args:
        bag: opened.
        rig: gives topics, offsets and tolerances.
        reference: the sensor in whose picture the labels are.
        label_topic: absolute.
        label_tolerance_ns: between the stamps of a label and of the reference's image.
    """
    sensors = enabled_sensors(rig)
    names = {absolute_topic(sensor.topic): name for name, sensor in sensors.items()}
    found: dict[str, list[Recorded]] = {name: [] for name in ("", *sensors)}
    for message in bag.messages([*names, label_topic]):
        try:
            stamp = stamp_ns(bag.decode(message).header)
        except DecodeError:
            continue  # the node passes it over, too
        found[names.get(message.topic, "")].append(Recorded(message.log_ns, stamp))
    times = {
        name: np.array([r.stamp_ns + _offset_ns(sensors[name]) for r in found[name]], np.int64)
        for name in sensors
    }
    for label in found[""]:
        label_ns = label.stamp_ns + _offset_ns(sensors[reference])
        nearest = {name: _nearest(times[name], label_ns) for name in sensors}
        complete = all(
            place is not None
            and _is_there(
                times[name],
                place,
                label_ns,
                sensors[name],
                label_tolerance_ns if name == reference else sensors[name].tolerance_ns,
            )
            for name, place in nearest.items()
        )
        if complete:
            chosen = {
                name: found[name][place] for name, place in nearest.items() if place is not None
            }
            yield LabelledInstant(label, chosen)


def read_label_image(bag: Bag, topic: str, recorded: Recorded) -> Image:
    """Read the image of a label.

    Raises:
        TrainingError: it is damaged.
    """
    return _decoded(bag, topic, recorded)


def read_images(
    bag: Bag, rig: RigConfig, reference: str, instant: LabelledInstant
) -> dict[str, Image]:
    """Read what each sensor saw, in its own geometry.

    Raises:
        TrainingError: a message is damaged, or events are missing.
    """
    images = {}
    for name, sensor in enabled_sensors(rig).items():
        if sends_events(sensor):
            end_ns = (
                instant.label.stamp_ns + _offset_ns(rig.sensors[reference]) - _offset_ns(sensor)
            )
            images[name] = _events(bag, rig, sensor, instant.sensors[name], end_ns)
        else:
            images[name] = _decoded(bag, absolute_topic(sensor.topic), instant.sensors[name])
    return images


@functools.lru_cache(maxsize=4)
def registrar(bag_path: Path, parameters: Path, height: int, width: int) -> Registrar:
    """Return what brings images into the picture of the labels; calibrations may be in the bag.

    Raises:
        ConfigError: the rig cannot be registered with what is configured.
        BagError: the bag cannot be read.
    """
    sensors = enabled_sensors(recorded_rig(parameters))
    made = Registrar(
        sensors,
        height,
        width,
        depths=[name for name, sensor in sensors.items() if sensor.modality == "depth"],
        sparse=[name for name, sensor in sensors.items() if sensor.modality == "lidar"],
        clouds=[name for name, sensor in sensors.items() if sensor.sends_points],
    )
    with Bag(bag_path) as bag:
        tell_cameras(bag, RigConfig(sensors), made)
    return made


def _offset_ns(sensor: SensorConfig) -> int:
    return seconds_to_ns(sensor.offset_s)


def _nearest(times: Any, time_ns: int) -> int | None:
    return int(np.argmin(np.abs(times - time_ns))) if times.size else None


def _is_there(
    times: Any, place: int, label_ns: int, sensor: SensorConfig, tolerance_ns: int
) -> bool:
    if sends_events(sensor):
        begins_ns = label_ns - seconds_to_ns(sensor.events.window_s)
        return bool(times.min() <= begins_ns and times.max() >= label_ns)
    return abs(int(times[place]) - label_ns) <= tolerance_ns


def _decoded(bag: Bag, topic: str, recorded: Recorded) -> Image:
    """Read one message as an image; its pixels no longer depend on the bag."""
    for message in bag.messages([topic], recorded.log_ns, recorded.log_ns + 1):
        decoded = bag.decode(message)
        try:
            if stamp_ns(decoded.header) == recorded.stamp_ns:
                image = decode_image(decoded)
                return Image(image.pixels, image.encoding)
        except DecodeError as error:
            raise TrainingError(
                f"{bag.path}: the message on {topic} at {recorded.log_ns} ns is damaged: {error}"
            ) from error
    raise TrainingError(f"{bag.path} no longer has the message on {topic} at {recorded.log_ns} ns")


def _events(bag: Bag, rig: RigConfig, sensor: SensorConfig, near: Recorded, end_ns: int) -> Image:
    """Render the events up to a stamp, as the node does."""
    accumulator = EventAccumulator(sensor.events, sensor.period_ns, seconds_to_ns(rig.clock_jump_s))
    topic = absolute_topic(sensor.topic)
    before_ns = seconds_to_ns(sensor.events.window_s) + _EVENTS_AROUND_NS
    span = (near.log_ns - before_ns, near.log_ns + _EVENTS_AROUND_NS)
    for message in bag.messages([topic], *span):
        try:
            accumulator.push(bag.decode(message))
        except DecodeError as error:
            raise TrainingError(f"{bag.path}: events on {topic} are damaged: {error}") from error
    accumulator.request(end_ns)
    for window in accumulator.take():
        if window.end_ns == end_ns:
            return render_image(window)
    raise TrainingError(f"{bag.path} has no events on {topic} up to {end_ns} ns")


def check_rig(rig: RigConfig, reference: str) -> None:
    """Make sure that every kind of sensor is there once, and the reference among them.

    Raises:
        ConfigError: naming the sensor.
    """
    owners: dict[str, str] = {}
    sensors = enabled_sensors(rig)
    for name, sensor in sensors.items():
        if sensor.modality in owners:
            raise ConfigError(
                f"data.parameters: the sensors {owners[sensor.modality]} and {name} are both "
                f"{sensor.modality}: set rig.sensors.{name}.enabled to false"
            )
        owners[sensor.modality] = name
    if reference not in sensors or sends_events(sensors[reference]):
        raise ConfigError(
            f"data.label_sensor is {reference!r}: expected one that sends images, of "
            f"{', '.join(name for name, s in sensors.items() if not sends_events(s))}"
        )
