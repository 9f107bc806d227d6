"""A data set in tar shards, as ``anymodal-train pack`` writes it; any frame is found at once."""

from __future__ import annotations

import functools
import json
import os
import stat
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
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_training.datasets.base import SPLITS, LabelledFrame, Origin
from anymodal_seg_training.datasets.bounded import MAX_BYTES
from anymodal_seg_training.datasets.packed_members import (
    CONDITIONS,
    INDEX_DTYPE,
    LABEL,
    PackedFile,
    unpack_conditions,
    unpack_image,
    unpack_label,
)
from anymodal_seg_training.datasets.packing import shard_name
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.names import check_name

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
    members: tuple[PackedFile, ...]
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
        origin = Origin(f"{self.folder}, {self.split_name}", f"frame {unit}")
        yield LabelledFrame(_Images(self, unit), ids, *self.conditions(unit), origin)

    def conditions(self, unit: int) -> tuple[dict[str, str]]:
        """See :class:`.base.Split`; a set that has none was packed without the file.

        Raises:
            TrainingError: a shard is missing or damaged.
        """
        for member in self.members:
            if member.name == CONDITIONS:
                return (unpack_conditions(self.content(unit, member)),)
        return ({},)

    def content(self, unit: int, member: PackedFile) -> bytes:
        """Read one file of a frame.

        Raises:
            TrainingError: it is missing or damaged.
        """
        shard = int(np.searchsorted(_ends(self.shards), unit, side="right"))
        path = self.folder / shard_name(self.split_name, shard)
        shape = (self.units, len(self.members), 3)
        index = _index(self.folder / f"{self.split_name}.npy", shape)
        offset, size, checksum = (int(value) for value in index[unit, self.members.index(member)])
        try:
            shard_file = _opened(path)
            whole = os.fstat(shard_file.fileno()).st_size
            if not (offset >= 0 and 0 <= size <= min(whole - offset, MAX_BYTES)):
                raise TrainingError(
                    f"the index of {path} has {size} bytes at byte {offset} of {whole}: it is "
                    "damaged; pack the data set again"
                )
            content = os.pread(shard_file.fileno(), size, offset)
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
            self._content: dict[str, Any] = read_json(path)
            found = self._content["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"data.folder is {options.folder!r}: expected a folder that 'anymodal-train pack' "
                f"has finished ({error})"
            ) from error
        if not options.folder or found != FORMAT:
            raise ConfigError(f"{path} is not of format {FORMAT}: pack the data set again")
        try:
            self._classes = tuple(_class(*entry) for entry in self._content["classes"])
            self._splits = {
                name: _split(self._folder, name, entry)
                for name, entry in self._content["splits"].items()
            }
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            ConfigError,
        ) as error:
            said = f"{type(error).__name__}: {error}"[:200]
            raise ConfigError(f"{path} is damaged ({said}): pack the data set again") from error

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """See :class:`.base.Dataset`."""
        return self._classes

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        return str(self._content.get("description", ""))

    def split(self, name: str) -> PackedSplit:
        """See :class:`.base.Dataset`.

        Raises:
            ConfigError: the split was not packed.
        """
        if name not in self._splits:
            known = ", ".join(self._splits)
            raise ConfigError(f"{self._folder} has no split {name}: it has {known}")
        return self._splits[name]


def _class(name: Any, color: Any) -> ClassSpec:
    red, green, blue = (int(value) for value in color)
    if min(red, green, blue) < 0 or max(red, green, blue) > 255:
        raise ValueError(f"the colour of {name!r} is {color!r}")
    if not (isinstance(name, str) and name.isprintable() and 0 < len(name) <= 80):
        raise ValueError(f"{name!r:.80} cannot be the name of a class")
    return ClassSpec(name, (red, green, blue))


def _split(folder: Path, name: str, entry: Any) -> PackedSplit:
    members = tuple(PackedFile(*map(str, member)) for member in entry["members"])
    shards = tuple(int(count) for count in entry["shards"])
    if name not in SPLITS or not shards or min(shards) < 1:
        raise ValueError(f"the split {name!r} has {shards!r} frames")
    if [member.name for member in members].count(LABEL) != 1:
        raise ValueError(f"the split {name!r} has not one label for each frame")
    title = check_name(str(entry["title"]), f"the title of the split {name}")
    return PackedSplit(folder, name, title, members, shards, int(entry["index_crc"]))


@functools.lru_cache(maxsize=4)
def _index(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Map an index; of a million frames it is some hundred megabytes, shared by all processes."""
    try:
        _check_regular(path)
        found = np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise TrainingError(f"cannot read the index {path}: {error}; pack it again") from error
    if found.shape != shape or found.dtype != INDEX_DTYPE:
        raise TrainingError(
            f"the index {path} is {found.dtype} {found.shape}: expected {shape}; pack it again"
        )
    return found


@functools.lru_cache(maxsize=4)
def _ends(shards: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.cumsum(shards)


@functools.lru_cache(maxsize=64)
def _opened(path: Path) -> BinaryIO:
    """Open a shard; one that has not been used for long is closed again."""
    _check_regular(path)
    return path.open("rb", buffering=0)


def _check_regular(path: Path) -> None:
    """Raise :class:`OSError` for what is no regular file: a pipe would be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
