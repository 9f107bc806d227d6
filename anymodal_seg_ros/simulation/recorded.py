"""A rendered sequence as it is shown: nothing of what renders is imported, so players start fast.

A sequence is a folder: one ``.npy`` array per sensor, one per distinct label map, and
``sequence.json``, which says what they are and by which cameras they were taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image, Mask, Pixels
from anymodal_seg_ros.json_files import read_json

INDEX = "sequence.json"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""Of a sensor: it becomes a part of paths, topics and the name of a node."""


@dataclass(frozen=True, slots=True)
class RecordedCamera:
    """What a driver knows of its camera.

    Attributes:
        name: of the sensor.
        rate_hz: of its pictures.
        latency_ns: from a picture's stamp to when it leaves the driver.
        width: columns of its pictures.
        height: rows of its pictures.
        matrix: the nine entries of the camera matrix K, row by row, in pixels.
    """

    name: str
    rate_hz: float
    latency_ns: int
    width: int
    height: int
    matrix: tuple[float, ...]


class Sequence:
    """A rendered sequence. Its arrays are mapped read-only: many processes share one copy.

    Attributes:
        folder: where it lies.
        period_ns: time from frame to frame.
        encodings: by sensor name.
        images: by sensor name, ``[N, H, W]`` or ``[N, H, W, C]``.
        labels: by sensor name, uint8 ``[N, H, W]``.
        cameras: by sensor name, what its driver knows of it.
    """

    def __init__(self, folder: Path) -> None:
        """Open a sequence, whoever made it.

        Raises:
            ConfigError: the folder holds none, or one that contradicts itself.
        """
        self.folder = folder
        try:
            index = read_json(folder / INDEX)
            self.period_ns: int = index["period_ns"]
            if type(self.period_ns) is not int or not 0 < self.period_ns < 1 << 62:
                raise ValueError(f"period_ns is {self.period_ns!r:.60}: expected nanoseconds")
            self.encodings: dict[str, str] = dict(index["encodings"])
            if not self.encodings or not all(
                _NAME.fullmatch(name) and isinstance(encoding, str)
                for name, encoding in self.encodings.items()
            ):
                raise ValueError(f"encodings are {self.encodings!r:.80}: expected those of sensors")
            self.images: dict[str, Pixels] = {
                name: _array(folder, f"{name}.npy", "uif") for name in self.encodings
            }
            files = dict(index["labels"])
            maps = {file: _array(folder, file, "u") for file in set(files.values())}
            self.labels: dict[str, Mask] = {name: maps[file] for name, file in files.items()}
            lengths = {len(array) for array in (*self.images.values(), *self.labels.values())}
            if len(lengths) != 1 or 0 in lengths:
                raise ValueError(f"its arrays have {sorted(lengths)} frames: expected equally many")
            self.cameras = {
                name: _camera(name, facts) for name, facts in index.get("cameras", {}).items()
            }
            if unknown := [n for n in (*files, *self.cameras) if n not in self.images]:
                raise ValueError(f"it has no pictures of {unknown[0]!r:.60}")
        except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ConfigError(
                f"{folder} is no rendered sequence: {said}; render it anew"
            ) from error

    def __len__(self) -> int:
        return len(next(iter(self.images.values())))

    def index_at(self, elapsed_ns: int) -> int:
        """The number of the frame nearest to a time since the sequence began."""
        return round(elapsed_ns / self.period_ns)

    def image(self, sensor: str, index: int) -> Image:
        """Image ``index`` of ``sensor``; the sequence goes on from its beginning after its end."""
        return Image(self.images[sensor][index % len(self)], self.encodings[sensor])

    def label(self, sensor: str, index: int) -> Mask:
        """The label map of that image, uint8 ``[H, W]``."""
        label: Mask = self.labels[sensor][index % len(self)]
        return label


def _array(folder: Path, file: Any, kinds: str) -> Pixels:
    """Map an array of the folder, ``[N, H, W]`` or ``[N, H, W, C]``, read-only.

    Raises:
        OSError: it cannot be read.
        ValueError: it lies elsewhere, is no regular file, or of another type or shape.
    """
    if not isinstance(file, str) or not _NAME.fullmatch(file.removesuffix(".npy")):
        raise ValueError(f"{file!r:.60} cannot be the name of an array in it")
    path = folder / file
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{file} is missing, or no regular file")
    array: Pixels = np.load(path, mmap_mode="r")
    if array.ndim not in (3, 4) or array.dtype.kind not in kinds:
        raise ValueError(f"{file} is {array.dtype} {array.shape}: expected pictures")
    return array


def _camera(name: str, facts: Mapping[str, Any]) -> RecordedCamera:
    """Check what a driver is told of its camera.

    Raises:
        TypeError: an entry is missing or unknown.
        ValueError: it cannot be.
    """
    camera = RecordedCamera(**{**facts, "matrix": tuple(facts["matrix"])})
    counts = (camera.latency_ns, camera.width, camera.height)
    numbers = (camera.rate_hz, *camera.matrix)
    if (
        not all(type(n) is int and 0 <= n < 1 << 40 for n in counts)
        or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
        or len(camera.matrix) != 9
        or not 1e-3 <= camera.rate_hz <= 1e4
    ):
        raise ValueError(f"the camera {name!r:.60} has numbers that cannot be: {facts!r:.100}")
    if camera.name != name or not _NAME.fullmatch(name):
        raise ValueError(f"the camera {name!r:.60} is called {camera.name!r:.60} as well")
    return camera
