"""Labels for masks: from topics of the bag, from a folder, or none; in the model's classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.evaluation.arrivals import read
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.image_files import read_picture
from anymodal_seg_ros.evaluation.scorecard.labels.label_map import LabelMap, packed
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Mask, Prediction
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.decoding.encodings import COLORS
from anymodal_seg_ros.sensing.decoding.image_headers import read_header
from anymodal_seg_ros.sensing.decoding.payload import as_bytes

_KEPT = 64
"""Labels of a sensor that wait for their mask: more than a deadline holds at any usual rate."""

NEAR_NS = 20_000_000
"""How far from a mask's stamp a label may be taken, where another sensor stands in for the one in
whose picture the mask is: its stamps are not those of the labels. Half a period of 30 Hz, and some
jitter; what moves has not moved by much."""

_LABEL_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_LABEL_ENCODINGS = ("mono8", "8UC1", "mono16", "16UC1")
_COLOR_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8")


class UnreadableLabelError(BagError):
    """A message that should be a label is damaged."""


class GroundTruth(Protocol):
    """Knows what is to be seen in the picture of a mask."""

    @property
    def notes(self) -> list[str]:
        """What of it could not be read, one line each."""
        ...

    def label(self, prediction: Prediction) -> Mask | None:
        """Return the label of a mask, uint8 of its size; None if there is none.

        Raises:
            BagError: it cannot be read, or does not fit.
        """
        ...


class NoGroundTruth:
    """There is nothing to compare with."""

    notes: ClassVar[list[str]] = []

    def label(self, prediction: Prediction) -> Mask | None:
        """Return None."""
        return None


class TopicLabels:
    """Labels that were recorded beside the pictures, with the same header stamps."""

    def __init__(
        self, bag: Bag, topics: Mapping[str, str], label_map: LabelMap, rig: RigConfig
    ) -> None:
        """Prepare to read along.

        Args:
            bag: opened; read once more, beside the replay.
            topics: of labels, by sensor.
            label_map: to the model's classes.
            rig: whose sensors see the same picture, or another one each.
        """
        self._bag, self._map, self._rig = bag, label_map, rig
        self._readers = {sensor: self._read(topic) for sensor, topic in topics.items()}
        self._waiting: dict[str, dict[int, npt.NDArray[np.integer]]] = {s: {} for s in topics}
        self._topics = dict(topics)
        self._damaged: dict[str, tuple[int, str]] = {}  # how many, and what the last one lacks

    @property
    def notes(self) -> list[str]:
        """How many labels of a topic are damaged, and which ids have no name."""
        damaged = [
            f"{topic}: {count} labels are damaged and count for nothing, the last one: {error}"
            for topic, (count, error) in self._damaged.items()
        ]
        return [*damaged, *self._map.notes]

    def label(self, prediction: Prediction) -> Mask | None:
        """Return the label with the mask's stamp, of whoever sees the mask's picture."""
        wanted = prediction.frame_set.reference_sample.stamp_ns
        return label_of_mask(
            prediction, self._rig, lambda sensor: self._read_until(sensor, wanted), self._mapped
        )

    def _mapped(self, sensor: str, stamp: int) -> tuple[Mask, str]:
        where = f"{self._topics[sensor]} at {stamp} ns"
        return self._map.apply(self._waiting[sensor][stamp], where), where

    def _read_until(self, sensor: str, wanted: int) -> Collection[int]:
        """Read the labels of a sensor up to a stamp, as far as there are any; return the stamps."""
        waiting, reader = self._waiting.get(sensor, {}), self._readers.get(sensor, iter(()))
        while wanted not in waiting and (not waiting or max(waiting) < wanted):
            read = next(reader, None)
            if read is None:
                break
            waiting[read[0]] = read[1]
            while len(waiting) > _KEPT:
                del waiting[next(iter(waiting))]
        return waiting

    def _read(self, topic: str) -> Iterator[tuple[int, npt.NDArray[np.integer]]]:
        for recorded in self._bag.messages([topic]):
            where = f"{topic} at {recorded.log_ns} ns"
            message = read(self._bag, recorded)
            try:
                found = label_of(message, where)
            except UnreadableLabelError as error:
                self._damaged[topic] = self._damaged.get(topic, (0, ""))[0] + 1, str(error)
                continue
            yield found


def label_of(message: Any, where: str) -> tuple[int, npt.NDArray[np.integer]]:
    """Return the header stamp and the ids, or :func:`packed` colours, of a message that is a label.

    Args:
        message: a ``sensor_msgs/Image`` or ``CompressedImage``, of rclpy or of rosbags.
        where: it is from, for the error.

    Raises:
        UnreadableLabelError: it is damaged.
        BagError: it has an encoding that no label has, or has lost ids to its compression.
    """
    try:
        image = decode_image(message)
        stamp, pixels = stamp_ns(message.header), np.asarray(image.pixels)
        is_jpeg = (
            not hasattr(message, "step") and read_header(as_bytes(message.data)).codec == "jpeg"
        )
    except DecodeError as error:
        raise UnreadableLabelError(f"{where} is no label: {error}") from error
    if is_jpeg:
        raise BagError(
            f"{where} is a JPEG, which has other ids along every edge than the label had: expected "
            "a raw image, or a PNG"
        )
    if image.encoding in _COLOR_ENCODINGS:
        code = COLORS[image.encoding]
        return stamp, packed(pixels if code is None else cv2.cvtColor(pixels, code))
    if image.encoding not in _LABEL_ENCODINGS:
        raise BagError(
            f"{where} has the encoding {image.encoding}: labels are one of "
            f"{', '.join((*_LABEL_ENCODINGS, *_COLOR_ENCODINGS))}"
        )
    return stamp, pixels


class FolderLabels:
    """Labels as PNG files, ``STAMP.png`` or ``SENSOR/STAMP.png``, STAMP in nanoseconds."""

    def __init__(self, folder: Path, label_map: LabelMap, rig: RigConfig) -> None:
        """Find the files.

        Raises:
            BagError: there is no folder, or no such file in it.
        """
        self._map, self._rig = label_map, rig
        self._files: dict[str, dict[int, Path]] = {}
        for path in (*folder.glob("*.png"), *folder.glob("*/*.png")):
            if path.stem.isdigit():
                sensor = "" if path.parent == folder else path.parent.name
                self._files.setdefault(sensor, {})[int(path.stem)] = path
        if not self._files:
            raise BagError(
                f"{folder} holds no labels: expected STAMP.png or SENSOR/STAMP.png, STAMP being "
                "the header stamp of the picture in nanoseconds"
            )

    @property
    def notes(self) -> list[str]:
        """Which ids have no name."""
        return self._map.notes

    def label(self, prediction: Prediction) -> Mask | None:
        """Return the label with the mask's stamp, of whoever sees the mask's picture."""
        found = label_of_mask(
            prediction, self._rig, lambda sensor: self._files.get(sensor, {}), self._mapped
        )
        stamp = prediction.frame_set.reference_sample.stamp_ns
        if found is None and stamp in self._files.get("", {}):
            label, where = self._mapped("", stamp)
            of_first = prediction.frame_set.reference == next(iter(self._rig.sensors))
            return of_mask(label, prediction.mask, where, shape_tells=of_first)
        return found

    def _mapped(self, sensor: str, stamp: int) -> tuple[Mask, str]:
        path = self._files[sensor][stamp]
        ids = read_picture(path)
        if ids.ndim == 3 and ids.dtype == np.uint8:
            ids = packed(ids[..., 2::-1])
        if ids.ndim != 2:
            raise BagError(f"{path} is no label: expected a PNG of class ids, or of 8-bit colours")
        return self._map.apply(ids, str(path)), str(path)


def label_of_mask(
    prediction: Prediction,
    rig: RigConfig,
    stamps: Callable[[str], Collection[int]],
    mapped: Callable[[str, int], tuple[Mask, str]],
) -> Mask | None:
    """Return the label with a mask's stamp, of whoever sees the mask's picture.

    Args:
        prediction: the mask.
        rig: the sensors.
        stamps: returns those of the labels that there are of a sensor.
        mapped: returns the label of a sensor with a stamp, of the model's classes, and where it is
            from.

    Raises:
        BagError: it cannot be read, or cannot show the same.
    """
    reference, owner = prediction.frame_set.reference, prediction.owner
    wanted = prediction.frame_set.reference_sample.stamp_ns
    for sensor in label_sources(reference, owner, rig):
        found = nearest(stamps(sensor), wanted, exact=sensor == reference)
        if found is not None:
            label, where = mapped(sensor, found)
            # Before its owner was ever seen, a mask has the size of whoever stands in.
            own = sensor == owner == reference
            return of_mask(label, prediction.mask, where, shape_tells=own)
    return None


def label_sources(reference: str, owner: str, rig: RigConfig) -> list[str]:
    """Return the sensors whose labels are labels of a mask, the best first.

    With a fixed geometry the mask stays in the first sensor's picture when that dies: then the
    labels of the sensor that stands in show something else, unless both see the same picture.

    Args:
        reference: the sensor whose stamp the mask bears.
        owner: the sensor in whose picture it is.
        rig: the sensors.
    """
    if reference == owner:
        return [owner]
    methods = {rig.sensors[name].registration.method for name in (reference, owner)}
    return [reference, owner] if methods == {"resize"} else [owner]


def nearest(stamps: Collection[int], wanted: int, *, exact: bool) -> int | None:
    """Return the stamp that is wanted, or the nearest one within :data:`NEAR_NS` if that will do.

    Args:
        stamps: of labels.
        wanted: of the mask.
        exact: whether the label is of the very message whose stamp the mask bears.
    """
    if wanted in stamps:
        return wanted
    found = None if exact else min(stamps, key=lambda stamp: abs(stamp - wanted), default=None)
    return found if found is not None and abs(found - wanted) <= NEAR_NS else None


def of_mask(label: Mask, mask: Mask, where: str, *, shape_tells: bool) -> Mask:
    """Bring a label to the size of its mask.

    Args:
        label: uint8 ``[h, w]``.
        mask: uint8 ``[H, W]``.
        where: the label is from, for the error.
        shape_tells: whether one of another shape cannot be of the mask's picture. Two sensors that
            see the same picture may see it on chips of two shapes.

    Raises:
        BagError: it cannot show the same.
    """
    height, width = mask.shape
    if shape_tells:
        return fitted(label, height, width, where)
    return np.asarray(cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST))


def label_topics(bag: Bag, sensors: Mapping[str, str], pattern: str = "") -> dict[str, str]:
    """Find the topics with the labels of each sensor's pictures.

    Args:
        bag: opened.
        sensors: names of the sensors by absolute topic.
        pattern: of the topics, with ``{sensor}`` in it, or one topic, which is then of the first
            sensor; empty: beside the picture's topic, as ``simulate bag`` writes them.

    Raises:
        BagError: a pattern is given and fits no topic of images.
    """
    found: dict[str, str] = {}
    for topic, sensor in sensors.items():
        named = "/" + pattern.replace("{sensor}", sensor).lstrip("/")
        names = [named] if pattern else _siblings(topic)
        for wanted in (n for n in names if n in bag.topics and n not in found.values()):
            if bag.types(wanted) <= set(_LABEL_TYPES):
                found.setdefault(sensor, wanted)
            elif pattern:
                kinds = quote(", ".join(sorted(bag.types(wanted))), 150)
                raise BagError(
                    f"{wanted} of {bag.path} is {kinds}: labels are {' or '.join(_LABEL_TYPES)}"
                )
    if pattern and not found:
        raise BagError(
            f"{bag.path} has no labels on {quote(pattern)}, and there is no folder of that name: "
            f"the bag has {quote(', '.join(sorted(bag.topics)), 200)}"
        )
    return found


def _siblings(topic: str) -> list[str]:
    beside = re.sub(r"/compressed(Depth)?$", "", topic).rsplit("/", 1)[0] + "/labels"
    return [beside, f"{beside}/compressed"]


def fitted(label: Mask, height: int, width: int, where: str) -> Mask:
    """Bring a label to the size of the picture if it shows the same.

    Args:
        label: uint8 ``[h, w]``.
        height: rows of the picture.
        width: columns of the picture.
        where: the label is from, for the error.

    Raises:
        BagError: the two have another aspect ratio.
    """
    if label.shape == (height, width):
        return label
    if label.shape[0] * width != label.shape[1] * height:
        raise BagError(
            f"{where}: the label is {label.shape[1]} x {label.shape[0]}, the picture "
            f"{width} x {height}: they cannot show the same"
        )
    return np.asarray(cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
