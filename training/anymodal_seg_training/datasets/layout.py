"""How a data set lies on disk: one YAML that says where what is and how it is encoded.

The published data sets are such files in ``layouts/``; a user's own folders are one more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import build, choice, count, number, read_yaml, switch, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.datasets.base import SPLITS
from anymodal_seg_training.datasets.condition_layout import ConditionLayout, parse_conditions
from anymodal_seg_training.datasets.templates import fields_of
from anymodal_seg_training.names import check_name

READERS = (
    "color",
    "gray",
    "fourth",
    "counts",
    "depth",
    "hha",
    "muses_lidar",
    "muses_event",
    "metres",
    "floats",
    "polarisation",
    "npz_events",
    "dsec",
)
"""How an image file is understood; see :mod:`.image_readers`."""


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """Where the images of one modality lie and how they are encoded."""

    path: str = text("", "Template of the file; some readers take several, parted by commas")
    read: str = choice(READERS, "How the file is understood")
    metres_per_count: float = number(0.001, 1e-9, 1e6, "For depth: metres of one count")
    invalid: int = count(65535, 0, 65535, "For depth: a count that means unknown, beside 0")
    low: float = number(-1.0, -1e9, 1e9, "For floats: value that becomes 0")
    high: float = number(1.0, -1e9, 1e9, "For floats: value that becomes 255")
    moment: str = text("", "For dsec: template of the number of a frame's line in the times")
    window_s: float = number(0.05, 0.0001, 10.0, "For dsec: length of the window of events, in s")
    height: int = count(0, 0, 8192, "For events: rows of the sensor")
    width: int = count(0, 0, 8192, "For events: columns of the sensor")
    rows: int = count(0, 0, 8192, "Rows that are kept, from the top; 0: all")


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """Where the labels lie and how class ids are encoded in them."""

    path: str = text("", "Template of the file, an image or .npy")
    read: str = choice(("ids", "colors"), "Whether pixels are numbers or the classes' colours")
    channel: int = count(0, 0, 3, "Channel of the numbers, in the order red, green, blue")
    shift: int = count(0, -255, 255, "Added to every number that is not ignored")
    ignore: tuple[int, ...] = ()
    ignore_colors: tuple[tuple[int, int, int], ...] = ()
    renumber: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """A data set on disk.

    Attributes:
        name: of the data set.
        title: of it in prose.
        obtain: where to get it and under which terms.
        frames: template of the files that say which frames there are; fields get their values
            from it. Unused where ``lists`` names files.
        lists: by split, a text file with one frame in each line, relative to the root.
        list_entry: templates of a line's first word, parted by commas; the first that fits counts.
        skip_first: frames left out at the beginning of each folder of ``frames``.
        every: of the others, one in so many is used.
        splits: by split, what fills ``{split}``.
        images: by modality.
        label: see there.
        classes: in the order of their ids.
        crop_left: columns that are cut off from every file.
        raw: whether networks were published that see its pictures as 0 to 255, not normalised.
        conditions: by name, such as weather.
    """

    name: str = text("", "Name of the data set")
    title: str = text("", "Its name in prose")
    obtain: str = text("", "Where to get it, and its terms")
    frames: str = text("", "Template of the files that say which frames there are")
    list_entry: str = text("{name}", "Templates of the first word of a list's lines")
    skip_first: int = count(0, 0, 100_000, "Frames left out at the beginning of each folder")
    every: int = count(1, 1, 100_000, "Of the others, one in so many is used")
    crop_left: int = count(0, 0, 65535, "Columns that are cut off on the left")
    raw: bool = switch(False, "Published networks see its pictures as 0 to 255, not normalised")
    lists: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, ImageLayout] = field(default_factory=dict)
    conditions: Mapping[str, ConditionLayout] = field(default_factory=dict)
    label: LabelLayout = field(default_factory=LabelLayout)
    classes: tuple[ClassSpec, ...] = ()


def load_layout(path: Path) -> Layout:
    """Read a layout.

    Raises:
        ConfigError: the file cannot be read, or an entry is unknown, missing or out of range.
    """
    content = read_yaml(path, "layout")
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} must hold named entries, such as 'images:' and 'classes:'")
    try:
        return _checked(_parse(content))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parse(content: Mapping[str, Any]) -> Layout:
    rest = dict(content)
    classes = parse_classes(rest.pop("classes", None))
    conditions = parse_conditions(rest.pop("conditions", {}))
    splits, lists = (_texts(rest.pop(key, {}), key) for key in ("splits", "lists"))
    label = rest.pop("label", None)
    if not isinstance(label, Mapping):
        raise ConfigError(f"label is {label!r}: expected named entries, at least path")
    return dataclasses.replace(
        build(Layout, rest, ""),
        classes=classes,
        splits=splits,
        lists=lists,
        conditions=conditions,
        label=parse_label(label),
    )


def parse_label(section: Mapping[str, Any]) -> LabelLayout:
    """Read how class ids are encoded.

    Raises:
        ConfigError: an entry is unknown or out of range.
    """
    values = dict(section)
    ignore, renumber = values.pop("ignore", []), values.pop("renumber", {})
    if not isinstance(ignore, list) or not all(type(v) is int for v in ignore):
        raise ConfigError(f"label.ignore is {ignore!r}: expected a list of numbers")
    if not isinstance(renumber, Mapping) or not all(
        type(v) is int for pair in renumber.items() for v in pair
    ):
        raise ConfigError(f"label.renumber is {renumber!r}: expected numbers by number")
    void = values.pop("ignore_colors", [])
    if not isinstance(void, list) or not all(_is_color(entry) for entry in void):
        raise ConfigError(
            f"label.ignore_colors is {void!r}: expected a list of [red, green, blue], 0 to 255"
        )
    label = build(LabelLayout, values, "label")
    if label.read == "colors" and (ignore or renumber):
        raise ConfigError(
            "label.ignore and label.renumber are of numbers, and label.read is colors: colours "
            "without a class belong into label.ignore_colors"
        )
    if void and label.read == "ids":
        raise ConfigError("label.ignore_colors is given, and label.read is ids: set it to colors")
    colors = tuple((entry[0], entry[1], entry[2]) for entry in void)
    return dataclasses.replace(
        label, ignore=tuple(ignore), ignore_colors=colors, renumber=dict(renumber)
    )


def _is_color(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 3
        and all(type(value) is int and 0 <= value <= 255 for value in entry)
    )


def parse_classes(entries: Any) -> tuple[ClassSpec, ...]:
    """Read the classes, each as ``[name, red, green, blue]``.

    Raises:
        ConfigError: an entry is something else, or a name occurs twice.
    """
    if not isinstance(entries, list) or not entries:
        raise ConfigError("classes is missing: expected a list of [name, red, green, blue]")
    if len(entries) >= UNLABELED:
        raise ConfigError(f"classes has {len(entries)} entries: expected at most {UNLABELED - 1}")
    classes = []
    for entry in entries:
        good = isinstance(entry, list) and len(entry) == 4 and isinstance(entry[0], str)
        if not good or not all(type(v) is int and 0 <= v <= 255 for v in entry[1:]):
            raise ConfigError(f"classes has {entry!r}: expected [name, red, green, blue], 0 to 255")
        if not (entry[0].isprintable() and 0 < len(entry[0]) <= 80):  # as in a model's manifest
            raise ConfigError(f"{entry[0]!r:.80} cannot be the name of a class")
        classes.append(ClassSpec(entry[0], (entry[1], entry[2], entry[3])))
    names = [entry.name for entry in classes]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"classes has {twice!r} twice: each class needs a name of its own")
    return tuple(classes)


def check_colors(label: LabelLayout, classes: Sequence[ClassSpec]) -> None:
    """Make sure that labels which are colours can be told apart.

    Raises:
        ConfigError: two classes have the same one, or one has a colour that is to be ignored.
    """
    names: dict[tuple[int, int, int], str] = {}
    for entry in classes if label.read == "colors" else ():
        if entry.color in names:
            raise ConfigError(
                f"classes has {names[entry.color]!r} and {entry.name!r} in the colour "
                f"{entry.color}: expected another for each, where labels are read by colours"
            )
        if entry.color in label.ignore_colors:
            raise ConfigError(
                f"label.ignore_colors has {list(entry.color)}, the colour of class {entry.name!r}"
            )
        names[entry.color] = entry.name


def _texts(section: Any, where: str) -> dict[str, str]:
    if not isinstance(section, Mapping) or not set(section) <= set(SPLITS):
        raise ConfigError(f"{where} is {section!r}: expected entries for {', '.join(SPLITS)}")
    return {str(key): str(value) for key, value in section.items()}


def list_entries(layout: Layout) -> list[str]:
    """The templates of a line's first word, in the order in which they are tried."""
    return [entry.strip() for entry in layout.list_entry.split(",")]


def _checked(layout: Layout) -> Layout:
    if not layout.name or not layout.images or not layout.label.path:
        raise ConfigError("name, images and label.path must all be given")
    check_name(layout.name, "name")
    check_colors(layout.label, layout.classes)
    if bool(layout.frames) == bool(layout.lists):
        raise ConfigError("either frames (a template) or lists (files of names) must be given")
    if not (layout.splits or layout.lists):
        raise ConfigError(f"splits is missing: expected entries for {', '.join(SPLITS)}")
    templates = {f"images.{name}.path": entry.path for name, entry in layout.images.items()}
    for name, entry in layout.images.items():
        if entry.read == "dsec":
            templates[f"images.{name}.moment"] = entry.moment
    for name, condition in layout.conditions.items():
        templates[f"conditions.{name}.of"] = condition.of
    finders = [layout.frames] if layout.frames else list_entries(layout)
    known = set(fields_of(finders[0], "frames"))
    for finder in finders[1:]:
        known &= set(fields_of(finder, "list_entry"))
    known.add("split")
    for where, template in {**templates, "label.path": layout.label.path}.items():
        unknown = sorted(set(fields_of(template, where)) - known)
        if not template or unknown:
            raise ConfigError(
                f"{where} is {template!r}: expected a template with fields among "
                f"{', '.join(sorted(known))}"
            )
    return layout
