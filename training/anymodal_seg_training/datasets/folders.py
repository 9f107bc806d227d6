"""Labelled frames from folders of files that a layout describes."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from anymodal_seg_ros.config import text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.datasets.base import SPLITS, LabelledFrame, Origin
from anymodal_seg_training.datasets.image_readers import read_image, read_label
from anymodal_seg_training.datasets.layout import Layout, list_entries, load_layout
from anymodal_seg_training.datasets.templates import Fields, fill, find, match
from anymodal_seg_training.errors import TrainingError

_BUNDLED = files("anymodal_seg_training.datasets") / "layouts"


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """What a recipe says about this data set."""

    layout: str = text("", "Name of a bundled layout, such as deliver, or path of a YAML file")
    root: str = text("", "Folder in which the data set lies")


@dataclass(frozen=True, slots=True)
class FolderSplit:
    """One split; each frame is a unit.

    Attributes:
        layout: how the files lie.
        root: folder of the data set.
        split_name: of this split.
        fields: of each frame.
    """

    layout: Layout
    root: Path
    split_name: str
    fields: tuple[Fields, ...]

    @property
    def name(self) -> str:
        """See :class:`.base.Split`."""
        return f"{self.layout.name}-{self.split_name}"

    @property
    def key(self) -> str:
        """Layout, place, and the size and time of every file."""
        frames = []
        for fields in self.fields:
            stamps = []
            for path in self.files(fields):
                stat = path.stat() if path.is_file() else None
                stamps.append([stat.st_size, stat.st_mtime_ns] if stat else None)
            frames.append([dict(fields), stamps])
        return json.dumps([dataclasses.asdict(self.layout), str(self.root), frames])

    @property
    def units(self) -> int:
        """The number of frames."""
        return len(self.fields)

    @property
    def frames_per_unit(self) -> int:
        """Always 1."""
        return 1

    def frames(self, unit: int) -> Iterator[LabelledFrame]:
        """Read the label of one frame; its images are read when they are asked for.

        Raises:
            TrainingError: a file is missing, damaged or of another kind, or sizes differ; of an
                image, when it is asked for.
        """
        fields = self.fields[unit]
        layout = self.layout
        path = self.root / fill(layout.label.path, fields, "label.path")
        label = read_label(path, layout.label, layout.classes, layout.crop_left)
        images = _ImagesOnDisk(self, fields, path, (label.shape[0], label.shape[1]))
        first = self.files(fields)[0]
        origin = Origin(str(first.parent), first.name)
        yield LabelledFrame(images, label, self._conditions(fields), origin)

    def image(self, modality: str, fields: Fields) -> tuple[Image, Path]:
        """Read the image of one modality of the frame with these fields, and tell its first file.

        Raises:
            TrainingError: a file is missing, damaged or of another kind.
        """
        entry, paths = self.layout.images[modality], self._image_files(modality, fields)
        moment = fill(entry.moment, fields, f"images.{modality}.moment")
        return read_image(paths, entry, self.layout.crop_left, moment), paths[0]

    def conditions(self, unit: int) -> tuple[dict[str, str]]:
        """See :class:`.base.Split`."""
        return (self._conditions(self.fields[unit]),)

    def files(self, fields: Fields) -> list[Path]:
        """Every file of a frame, the label last."""
        found = [path for name in self.layout.images for path in self._image_files(name, fields)]
        return [*found, self.root / fill(self.layout.label.path, fields, "label.path")]

    def _conditions(self, fields: Fields) -> dict[str, str]:
        return {
            name: entry.value(fields, f"conditions.{name}")
            for name, entry in self.layout.conditions.items()
        }

    def _image_files(self, modality: str, fields: Fields) -> list[Path]:
        templates = self.layout.images[modality].path.split(",")
        where = f"images.{modality}.path"
        return [self.root / fill(template.strip(), fields, where) for template in templates]


@dataclass(frozen=True, slots=True)
class _ImagesOnDisk(Mapping[str, Image]):
    """The images of one frame, each read when it is asked for: no recipe needs to use them all."""

    split: FolderSplit
    fields: Fields
    label_file: Path
    label_size: tuple[int, int]

    def __getitem__(self, modality: str) -> Image:
        image, path = self.split.image(modality, self.fields)
        (height, width), (rows, columns) = image.pixels.shape[:2], self.label_size
        # A coarser sensor is enlarged; another shape of picture shows something else.
        if abs(height * columns - width * rows) > max(height, width):
            raise TrainingError(
                f"{path} is {width}x{height}, its label {self.label_file} {columns}x{rows}: "
                "expected the same picture"
            )
        return image

    def __contains__(self, modality: object) -> bool:
        return modality in self.split.layout.images

    def __iter__(self) -> Iterator[str]:
        return iter(self.split.layout.images)

    def __len__(self) -> int:
        return len(self.split.layout.images)


class FolderDataset:
    """Image files on disk as a data set."""

    def __init__(self, options: FolderOptions) -> None:
        """Read the layout.

        Raises:
            ConfigError: the layout is unknown or wrong, or there is no such folder.
        """
        self.layout = bundled_layout(options.layout)
        self._root = Path(options.root).expanduser()
        if not options.root or not self._root.is_dir():
            raise ConfigError(
                f"data.root is {options.root!r}: expected the folder of {self.layout.title}. "
                f"{self.layout.obtain}"
            )

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """See :class:`.base.Dataset`."""
        return self.layout.classes

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        return f"{self.layout.title}. {self.layout.obtain}"

    @property
    def offered(self) -> tuple[str, ...]:
        """The splits that the layout has."""
        return tuple(self.layout.lists or self.layout.splits)

    def split(self, name: str) -> FolderSplit:
        """See :class:`.base.Dataset`.

        Raises:
            ConfigError: the data set has no such split, or no frame is found.
        """
        frames = tuple(self._frames(name))
        if not frames:
            raise ConfigError(
                f"no frames of {self.layout.title}, split {name}, in {self._root}: "
                f"{self._sought(name)}"
            )
        return FolderSplit(self.layout, self._root, name, frames)

    def _sought(self, split: str) -> str:
        """Say in which files of the folder the frames of a split were looked for."""
        layout = self.layout
        if layout.lists:
            return f"the list {layout.lists[split]} names none"
        template = layout.frames.replace("{split}", layout.splits[split])
        left = ", or skip_first leaves none" if layout.skip_first else ""
        return f"no file is called {template} there{left}; put what fits into frames and splits"

    def _frames(self, split: str) -> Iterator[Fields]:
        layout = self.layout
        if split not in self.offered:
            raise ConfigError(
                f"{layout.title} has no split {split}: it has {', '.join(self.offered)} "
                f"(of {', '.join(SPLITS)})"
            )
        known = {"split": layout.splits[split]} if split in layout.splits else {}
        if not layout.lists:
            yield from self._chosen(find(self._root, layout.frames, known))
            return
        path = self._root / layout.lists[split]
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()  # as some editors begin it
        except OSError as error:
            raise ConfigError(f"cannot read the list {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"cannot read the list {path}: {error.reason} at byte {error.start}: save it as "
                "UTF-8"
            ) from error
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words:
                continue
            # The lists of some data sets begin their names with a slash or a dot.
            word = words[0].removeprefix("./").removeprefix("/")
            tried = (match(entry, word, known) for entry in list_entries(layout))
            fields = next((fields for fields in tried if fields is not None), None)
            if fields is None:
                raise ConfigError(
                    f"{path}, line {number}: {words[0]!r} does not fit {layout.list_entry!r}"
                )
            yield fields

    def _chosen(self, found: Iterator[Fields]) -> Iterator[Fields]:
        """Leave out what the layout leaves out of each folder; frames come in order of paths."""
        layout = self.layout
        for _, frames in itertools.groupby(
            found, lambda fields: str(Path(fill(layout.frames, fields, "frames")).parent)
        ):
            yield from itertools.islice(frames, layout.skip_first, None, layout.every)


def layout_names() -> tuple[str, ...]:
    """Names of the bundled layouts."""
    return tuple(
        sorted(entry.name[:-5] for entry in _BUNDLED.iterdir() if entry.name.endswith(".yaml"))
    )


def bundled_layout(name: str, where: str = "data.layout") -> Layout:
    """Read a bundled layout by name, or any by the path of its file.

    Args:
        name: or path.
        where: what named it, for the message.

    Raises:
        ConfigError: there is no such layout, or it is wrong.
    """
    if name in layout_names():
        with as_file(_BUNDLED / f"{name}.yaml") as path:
            return load_layout(path)
    if not Path(name).suffix:
        raise ConfigError(
            f"{where} is {name!r}: expected one of {', '.join(layout_names())}, or the path "
            "of a YAML file"
        )
    return load_layout(Path(name))
