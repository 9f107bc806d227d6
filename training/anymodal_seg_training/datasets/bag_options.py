"""What a recipe says about recordings with labels: which stretches of which bags, which classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import number, read_yaml, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.datasets.folders import bundled_layout, layout_names
from anymodal_seg_training.datasets.layout import (
    LabelLayout,
    check_colors,
    parse_classes,
    parse_label,
)

_PART = re.compile(r"(?P<path>.+)@(?P<start>[0-9.]+)-(?P<end>[0-9.]+)")


@dataclass(frozen=True, slots=True)
class BagOptions:
    """What a recipe says about this data set."""

    parameters: str = text("", "Parameter file of the node: sensors, topics and registration")
    label_topic: str = text("", "Topic of the labels: images whose pixels are class ids or colours")
    label_sensor: str = text("", "Sensor in whose picture they are; empty: the first one")
    label_tolerance_s: float = number(
        0.001, 0.0, 10.0, "Between the stamps of a label and of that sensor's image, in s"
    )
    classes: str = text(
        "", "rig, a bundled layout, or a YAML file with classes and, if need be, label"
    )
    train: str = text("", "Bags, parted by commas; BAG@0-0.7 is the first 70 % of its time")
    validation: str = text("", "Likewise")
    test: str = text("", "Likewise")


@dataclass(frozen=True, slots=True)
class BagStretch:
    """A stretch of a bag, from ``start`` up to ``end``, in parts of its length."""

    path: Path
    start: float = 0.0
    end: float = 1.0

    def overlaps(self, other: BagStretch) -> bool:
        """Whether a moment is in both."""
        same = self.path.resolve() == other.path.resolve()
        return same and self.start < other.end and other.start < self.end

    def holds(self, log_ns: int, bag: Bag) -> bool:
        """Whether a message of the bag is in this part."""
        share = (log_ns - bag.start_ns) / max(bag.end_ns - bag.start_ns, 1)
        return self.start <= share and (share < self.end or self.end == 1.0)


def bag_parts(option: str, name: str) -> tuple[BagStretch, ...]:
    """Read which stretches of which bags a split has.

    Raises:
        ConfigError: a stretch is no part of a bag, or there is no such bag.
    """
    parts = []
    for word in (word.strip() for word in option.split(",")):
        if not word:
            continue
        ranged = _PART.fullmatch(word)
        try:
            part = (
                BagStretch(Path(word).expanduser())
                if ranged is None
                else BagStretch(
                    Path(ranged["path"]).expanduser(), float(ranged["start"]), float(ranged["end"])
                )
            )
        except ValueError as error:
            raise ConfigError(f"data.{name} has {word!r}: expected BAG@FROM-TO") from error
        if not 0.0 <= part.start < part.end <= 1.0:
            raise ConfigError(f"data.{name} has {word!r}: expected 0 <= FROM < TO <= 1")
        if not part.path.exists():
            raise ConfigError(f"data.{name}: there is no bag at {part.path}")
        parts.append(part)
    return tuple(parts)


def label_encoding(classes: str) -> tuple[tuple[ClassSpec, ...], LabelLayout]:
    """Return the classes, and how labels encode them; see :class:`BagOptions`.

    Raises:
        ConfigError: the file cannot be read, or an entry in it is wrong.
    """
    if classes == "rig":
        # Needs the simulator's libraries, as the rig does.
        from anymodal_seg_ros.simulation.world.classes import CLASSES

        return tuple(ClassSpec(entry.name, entry.color) for entry in CLASSES), LabelLayout()
    if classes in layout_names():
        layout = bundled_layout(classes)
        return layout.classes, layout.label
    try:
        content = read_yaml(Path(classes), "classes")
    except ConfigError as error:
        raise ConfigError(
            f"data.classes is {classes!r}: expected rig, one of {', '.join(layout_names())}, or a "
            f"YAML file with classes ({error})"
        ) from error
    section: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    label = section.get("label", {})
    try:
        if not isinstance(label, Mapping):
            raise ConfigError(f"label is {label!r}: expected named entries, such as ignore")
        found = parse_classes(section.get("classes")), parse_label(label)
        check_colors(found[1], found[0])
    except ConfigError as error:
        raise ConfigError(f"{classes}: {error}") from error
    return found
