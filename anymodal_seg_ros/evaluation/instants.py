"""What several sensors saw at the same instants, from folders of images or from a bag."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.evaluation.arrivals import (
    CAMERA_INFO,
    TF_STATIC,
    UnreadableMessage,
    arrivals,
    cameras_by_topic,
    read,
    sensors_by_topic,
)
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.image_files import load_image, pair_by_name
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.events.messages import is_event_message
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.registration import Registrar

T = TypeVar("T")

Instant = tuple[str, dict[str, Image]]
"""A name for the instant, and the images by sensor; those that saw nothing then are absent."""


_NO_PICTURE = (
    "single events are no picture that could be compared: give the sensor a topic of pictures that "
    "are made of them, if there is one"
)


def from_folders(folders: Mapping[str, Sequence[Path]], count: int) -> Iterator[Instant]:
    """Yield images that have the same name, at most ``count`` instants spread over all.

    Raises:
        BagError: no name occurs for all sensors, or a file is damaged.
    """
    paired = pair_by_name(folders)
    for place in _spread(range(len(next(iter(paired.values())))), count):
        paths = {sensor: files[place] for sensor, files in paired.items()}
        name = next(iter(paths.values())).name.split(".")[0]
        yield name, {sensor: load_image(path) for sensor, path in paths.items()}


@dataclass(slots=True)
class Refused:
    """Messages of a sensor that are no images.

    Attributes:
        count: of them.
        reason: what is wrong with the last one.
    """

    count: int = 0
    reason: str = ""

    def __str__(self) -> str:
        return f"messages rejected: {self.count}, the last one: {self.reason}"


def from_bag(
    bag: Bag,
    sensors: Mapping[str, str],
    rig: RigConfig,
    count: int,
    refused: dict[str, Refused] | None = None,
) -> Iterator[Instant]:
    """Yield frames of the rig's first sensor and what the others saw nearest to them in time.

    Args:
        bag: opened.
        sensors: names of the sensors by absolute topic.
        rig: gives every sensor's time offset and tolerance.
        count: most instants, spread over the bag.
        refused: where messages that cannot be used are counted, by sensor.

    Raises:
        BagError: there is no image of the first sensor in the bag.
    """
    refused = {} if refused is None else refused
    times: dict[str, list[int]] = {name: [] for name in rig.sensors}
    for sensor, time_ns, _ in _images(bag, sensors, rig, refused):
        times[sensor].append(time_ns)
    first = next(iter(rig.sensors))
    if not times[first]:
        why = f" ({refused[first]})" if first in refused else ""
        raise BagError(f"{bag.path} has no images of {first}, the rig's first sensor{why}")
    wanted: dict[tuple[str, int], list[int]] = {}
    for chosen in _spread(sorted(set(times[first])), count):
        for sensor, config in rig.sensors.items():
            known = np.array(times[sensor], np.int64)
            if known.size:
                nearest = int(known[np.argmin(np.abs(known - chosen))])
                if abs(nearest - chosen) <= config.tolerance_ns:
                    wanted.setdefault((sensor, nearest), []).append(chosen)
    found: dict[int, dict[str, Image]] = {}
    for sensor, time_ns, image in _images(bag, sensors, rig, {}):
        for chosen in wanted.get((sensor, time_ns), ()):
            found.setdefault(chosen, {})[sensor] = image
    for chosen in sorted(found):
        in_order = {name: found[chosen][name] for name in rig.sensors if name in found[chosen]}
        yield f"{chosen / 1e9:.3f}", in_order


def tell_cameras(bag: Bag, rig: RigConfig, registrar: Registrar) -> None:
    """Tell a registrar what a bag knows of a rig's cameras and of their places.

    Args:
        bag: opened.
        rig: its sensors are those of the registrar, its relative topics in ``/``.
        registrar: learns of them.

    Raises:
        BagError: the bag is damaged.
        CalibrationError: a CameraInfo contradicts itself, and no other one of its topic is better.
    """
    cameras = cameras_by_topic(rig)
    for topic, message in camera_infos(bag, {topic: topic for topic in cameras}):
        for name in cameras[topic]:
            try:
                registrar.take_camera_info(name, message)
            except CalibrationError as error:
                raise CalibrationError(f"{topic} of {bag.path}: {error}") from error
    if TF_STATIC not in cameras:
        return
    for _, _, update in arrivals(bag, {}, {TF_STATIC: cameras[TF_STATIC]}):
        with contextlib.suppress(CalibrationError):  # the others of the message are taken
            registrar.take_transforms(update.message)
    sensors = sensors_by_topic(rig)
    frames: dict[str, str] = {}
    for sensor, _, message in arrivals(bag, sensors, rig=rig):
        if sensor not in frames and not isinstance(message, UnreadableMessage):
            frames[sensor] = str(message.header.frame_id)
            registrar.take_frame(sensor, frames[sensor])
        if len(frames) == len(sensors):
            return


def camera_infos(bag: Bag, sensors: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield a CameraInfo of every sensor: the first that describes a camera.

    Some drivers send zeros until they know better. Where no message of a topic can be used, the
    last one is yielded, and whoever takes it says why not.

    Args:
        bag: opened.
        sensors: names of the sensors by the absolute topics of their CameraInfo.

    Raises:
        BagError: the bag is damaged.
    """
    left = dict(sensors)
    bad: dict[str, Any] = {}
    for recorded in bag.messages(sensors):
        if recorded.topic not in left or recorded.type != CAMERA_INFO:
            continue
        message = read(bag, recorded)
        try:
            camera_from_info(message)
        except CalibrationError:
            bad[left[recorded.topic]] = message
            continue
        yield left.pop(recorded.topic), message
        if not left:
            return
    for sensor in left.values():
        if sensor in bad and not isinstance(bad[sensor], UnreadableMessage):
            yield sensor, bad[sensor]


def _images(
    bag: Bag, sensors: Mapping[str, str], rig: RigConfig, refused: dict[str, Refused]
) -> Iterator[tuple[str, int, Image]]:
    """Yield sensor, header time with its offset, and image; damaged messages are counted."""
    for sensor, _, message in arrivals(bag, sensors, rig=rig):
        try:
            if rig.sensors[sensor].modality == "event" and is_event_message(message):
                raise DecodeError(_NO_PICTURE, "type")
            time_ns = stamp_ns(message.header) + seconds_to_ns(rig.sensors[sensor].offset_s)
            yield sensor, time_ns, decode_image(message)
        except DecodeError as error:
            entry = refused.setdefault(sensor, Refused())
            entry.count, entry.reason = entry.count + 1, str(error)


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Choose ``count`` items at equal distances, the first one among them."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[place] for place in places]
