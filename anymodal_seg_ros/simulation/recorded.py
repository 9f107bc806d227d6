"""A rendered sequence as it is shown: nothing of what renders is imported, so players start fast.

A sequence is a folder: one ``.npy`` array per sensor, one per distinct label map, and
``sequence.json``, which says what they are and by which cameras they were taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymodal_seg_ros.frames import Image, Mask, Pixels

INDEX = "sequence.json"


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
        index = json.loads((folder / INDEX).read_text())
        self.folder = folder
        self.period_ns: int = index["period_ns"]
        self.encodings: dict[str, str] = index["encodings"]
        self.images: dict[str, Pixels] = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in self.encodings
        }
        maps = {f: np.load(folder / f, mmap_mode="r") for f in set(index["labels"].values())}
        self.labels: dict[str, Mask] = {n: maps[f] for n, f in index["labels"].items()}
        self.cameras = {
            name: RecordedCamera(**{**facts, "matrix": tuple(facts["matrix"])})
            for name, facts in index.get("cameras", {}).items()
        }

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
