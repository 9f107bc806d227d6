"""A data set in tar shards, as ``anymodal-train pack`` writes it; any frame is found at once."""

from __future__ import annotations

import functools
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_training.datasets.base import LabelledFrame
from anymodal_seg_training.datasets.packed_members import (
    CONDITIONS,
    LABEL,
    Member,
    unpack_conditions,
    unpack_image,
    unpack_label,
)
from anymodal_seg_training.datasets.packing import shard_name
from anymodal_seg_training.errors import TrainingError

MANIFEST = "pack.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class PackedOptions:
    """What a recipe says about this data set."""

    folder: str = text("", "Folder that 'anymodal-train pack' wrote")


@dataclass(frozen=True, slots=True)
class PackedSplit:
    """One split; each frame is a unit.

    Attributes:
        folder: of the shards.
        split_name: e.g. ``train``.
        title: data set and split.
        members: the files of each frame.
        shards: number of frames in each shard.
        digest: checksum of the index.
    """

    folder: Path
    split_name: str
    title: str
    members: tuple[Member, ...]
    shards: tuple[int, ...]
    digest: int

    @property
    def name(self) -> str:
        """See :class:`.base.Split`."""
        return f"packed-{self.title}"

    @property
    def key(self) -> str:
        """The index holds a checksum of every file, so its own stands for all of them."""
        members = [[m.name, m.encoding, m.suffix] for m in self.members]
        return json.dumps([self.title, members, self.shards, self.digest])

    @property
    def units(self) -> int:
        """The number of frames."""
        return sum(self.shards)

    @property
    def frames_per_unit(self) -> int:
        """Always 1."""
        return 1

    def frames(self, unit: int) -> Iterator[LabelledFrame]:
        """Read one frame; a sensor's image is read when it is asked for.

        Raises:
            TrainingError: a shard is missing or damaged.
        """
        label = next(member for member in self.members if member.name == LABEL)
        ids = unpack_label(self.content(unit, label), label)
        yield LabelledFrame(_Images(self, unit), ids, *self.conditions(unit))

    def conditions(self, unit: int) -> tuple[dict[str, str]]:
        """See :class:`.base.Split`; a set that has none was packed without the file.

        Raises:
            TrainingError: a shard is missing or damaged.
        """
        for member in self.members:
            if member.name == CONDITIONS:
                return (unpack_conditions(self.content(unit, member)),)
        return ({},)

    def content(self, unit: int, member: Member) -> bytes:
        """Read one file of a frame.

        Raises:
            TrainingError: it is missing or damaged.
        """
        shard = int(np.searchsorted(_ends(self.shards), unit, side="right"))
        path = self.folder / shard_name(self.split_name, shard)
        row = _index(self.folder / f"{self.split_name}.npy")[unit, self.members.index(member)]
        offset, size, checksum = (int(value) for value in row)
        try:
            content = os.pread(_opened(path).fileno(), size, offset)
        except OSError as error:
            raise TrainingError(f"cannot read the shard {path}: {error}") from error
        if zlib.crc32(content) != checksum:
            raise TrainingError(
                f"{path} is damaged: the {member.name} of its frame "
                f"{unit - sum(self.shards[:shard])}, at byte {offset}, has another checksum than "
                "when it was packed: copy or pack the shard again"
            )
        return content


class _Images(Mapping[str, Image]):
    """The images of a frame, each read when it is asked for."""

    def __init__(self, split: PackedSplit, unit: int) -> None:
        self._split = split
        self._unit = unit
        self._members = {m.name: m for m in split.members if m.name not in (LABEL, CONDITIONS)}

    def __getitem__(self, name: str) -> Image:
        member = self._members[name]
        return unpack_image(self._split.content(self._unit, member), member)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __len__(self) -> int:
        return len(self._members)


class PackedDataset:
    """A data set in tar shards."""

    def __init__(self, options: PackedOptions) -> None:
        """Read the manifest.

        Raises:
            ConfigError: there is none, or it is of another format.
        """
        self._folder = Path(options.folder).expanduser()
        path = self._folder / MANIFEST
        try:
            self._content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = self._content["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"data.folder is {options.folder!r}: expected a folder that 'anymodal-train pack' "
                f"has finished ({error})"
            ) from error
        if not options.folder or found != FORMAT:
            raise ConfigError(f"{path} is of format {found!r}: expected {FORMAT}; pack it again")

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """See :class:`.base.Dataset`."""
        return tuple(
            ClassSpec(name, (int(red), int(green), int(blue)))
            for name, (red, green, blue) in self._content["classes"]
        )

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        return str(self._content["description"])

    def split(self, name: str) -> PackedSplit:
        """See :class:`.base.Dataset`.

        Raises:
            ConfigError: the split was not packed.
        """
        splits = self._content["splits"]
        if name not in splits:
            raise ConfigError(f"{self._folder} has no split {name}: it has {', '.join(splits)}")
        entry = splits[name]
        members = tuple(Member(*member) for member in entry["members"])
        return PackedSplit(
            self._folder, name, entry["title"], members, tuple(entry["shards"]), entry["index_crc"]
        )


@functools.lru_cache(maxsize=4)
def _index(path: Path) -> npt.NDArray[np.int64]:
    """Map an index; of a million frames it is some hundred megabytes, shared by all processes."""
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot read the index {path}: {error}; pack it again") from error


@functools.lru_cache(maxsize=4)
def _ends(shards: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.cumsum(shards)


@functools.lru_cache(maxsize=64)
def _opened(path: Path) -> BinaryIO:
    """Open a shard; one that has not been used for long is closed again."""
    return path.open("rb", buffering=0)
