"""Labelled frames from rosbags: the topics of a rig, and a topic with labels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.replay import absolute_topic
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.datasets.bag_instants import (
    LabelledInstant,
    check_rig,
    enabled_sensors,
    find_instants,
    read_images,
    read_label_image,
    recorded_rig,
    registrar,
)
from anymodal_seg_training.datasets.bag_options import (
    BagOptions,
    BagStretch,
    bag_parts,
    label_encoding,
)
from anymodal_seg_training.datasets.base import SPLITS, LabelledFrame, Origin
from anymodal_seg_training.datasets.image_readers import class_ids
from anymodal_seg_training.datasets.layout import LabelLayout
from anymodal_seg_training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class BagSplit:
    """One split; each label with everything that belongs to it is a unit.

    Attributes:
        split_name: of this split.
        options: of the data set.
        rig: the sensors.
        classes: in the order of their ids.
        label: how they are encoded.
        instants: with the bags that they are in.
    """

    split_name: str
    options: BagOptions
    rig: RigConfig
    classes: tuple[ClassSpec, ...]
    label: LabelLayout
    instants: tuple[tuple[Path, LabelledInstant], ...]

    @property
    def name(self) -> str:
        """See :class:`.base.Split`."""
        return f"bag-{self.split_name}"

    @property
    def key(self) -> str:
        """The rig, the encoding of the labels, and when everything was recorded in which bag."""
        asdict = dataclasses.asdict
        bags = {str(path): _stamps(path) for path, _ in self.instants}
        instants = [[str(path), asdict(instant)] for path, instant in self.instants]
        classes = [asdict(entry) for entry in self.classes]
        named = [self.options.label_topic, self.options.label_sensor, asdict(self.label), classes]
        return json.dumps([named, asdict(self.rig), bags, instants])

    @property
    def units(self) -> int:
        """The number of frames."""
        return len(self.instants)

    @property
    def frames_per_unit(self) -> int:
        """Always 1."""
        return 1

    @property
    def reference(self) -> str:
        """The sensor in whose picture the labels are."""
        return self.options.label_sensor or next(iter(enabled_sensors(self.rig)))

    def frames(self, unit: int) -> Iterator[LabelledFrame]:
        """Read one frame.

        Raises:
            TrainingError: a message is damaged, a sensor cannot be registered, or the label is of
                another shape than its sensor's image.
            BagError: the bag cannot be read.
        """
        path, instant = self.instants[unit]
        topic = absolute_topic(self.options.label_topic)
        with Bag(path) as bag:
            stored = read_label_image(bag, topic, instant.label)
            seen = read_images(bag, self.rig, self.reference, instant)
        where = f"{path}, {topic} at {instant.label.log_ns} ns"
        label = class_ids(np.asarray(stored.pixels), self.label, self.classes, where)
        image = seen[self.reference]
        height, width = label.shape
        if abs(image.height * width - image.width * height) > max(image.height, image.width):
            raise TrainingError(
                f"{where}: the label is {width}x{height}, the image of {self.reference} "
                f"{image.width}x{image.height}: expected the same picture"
            )
        places = registrar(path, Path(self.options.parameters), height, width)
        done = places.register(self.reference, seen)
        for sensor, reason in done.missing.items():
            raise TrainingError(f"{where}: {sensor} {reason}")
        sensors = self.rig.sensors
        images = {sensors[name].modality: image for name, image in done.images.items()}
        origin = Origin(str(path), f"{instant.label.log_ns} ns")
        yield LabelledFrame(images, label, *self.conditions(unit), origin)

    def conditions(self, unit: int) -> tuple[dict[str, str]]:
        """See :class:`.base.Split`."""
        return ({"bag": self.instants[unit][0].name},)


class BagDataset:
    """Recordings with a label topic as a data set."""

    def __init__(self, options: BagOptions) -> None:
        """Read the parameters and the classes, and see which bags there are.

        Raises:
            ConfigError: an option is missing or wrong, or a stretch of a bag is in two splits.
        """
        for name in ("parameters", "label_topic", "classes"):
            if not getattr(options, name):
                raise ConfigError(f"data.{name} is missing: give it a value")
        self._options = options
        self._rig = recorded_rig(Path(options.parameters))
        check_rig(self._rig, options.label_sensor or next(iter(enabled_sensors(self._rig)), ""))
        self._classes, self._label = label_encoding(options.classes)
        self._parts = {name: bag_parts(getattr(options, name), name) for name in SPLITS}
        for name, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            for part in self._parts[name]:
                if any(part.overlaps(found) for found in self._parts[other]):
                    raise ConfigError(
                        f"data.{name} and data.{other} both use {part.path}: give each a stretch "
                        f"of its own, such as {part.path}@0-0.7"
                    )

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """See :class:`.base.Dataset`."""
        return self._classes

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        used = "; ".join(
            f"{name}: {', '.join(part.path.name for part in parts)}"
            for name, parts in self._parts.items()
            if parts
        )
        return f"Recordings with labels on {self._options.label_topic}. {used}."

    @property
    def offered(self) -> tuple[str, ...]:
        """The splits that have bags."""
        return tuple(name for name, parts in self._parts.items() if parts)

    def split(self, name: str) -> BagSplit:
        """Look through the bags of a split; see :class:`.base.Dataset`.

        Raises:
            ConfigError: it has no bags, a bag has not the topics, or nothing complete is in it.
            BagError: a bag cannot be read.
        """
        if name not in self.offered:
            raise ConfigError(f"data.{name} is missing: expected bags for the split {name}")
        instants = tuple(
            (part.path, instant) for part in self._parts[name] for instant in self._found(part)
        )
        options = self._options
        return BagSplit(name, options, self._rig, self._classes, self._label, instants)

    def _found(self, part: BagStretch) -> list[LabelledInstant]:
        options, sensors = self._options, enabled_sensors(self._rig)
        topic = absolute_topic(options.label_topic)
        with Bag(part.path) as bag:
            for wanted in (topic, *(absolute_topic(s.topic) for s in sensors.values())):
                if wanted not in bag.topics:
                    raise ConfigError(
                        f"{part.path} has no topic {wanted}: it has {', '.join(sorted(bag.topics))}"
                    )
            reference = options.label_sensor or next(iter(sensors))
            tolerance_ns = seconds_to_ns(options.label_tolerance_s)
            everything = find_instants(bag, self._rig, reference, topic, tolerance_ns)
            found = [i for i in everything if part.holds(i.label.log_ns, bag)]
        if not found:
            raise ConfigError(
                f"{part.path}, from {part.start} to {part.end}, has no label for which every "
                f"sensor ({', '.join(sensors)}) saw something: widen data.label_tolerance_s or "
                "the sensors' tolerance_s, or disable a sensor that was not there"
            )
        return found


def _stamps(path: Path) -> list[list[Any]]:
    """Name, size and time of a bag's files."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
