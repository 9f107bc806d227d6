"""Mean and spread of what a network would see of each kind of sensor, for a recipe's modalities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_ros.sensing.decoding.encodings import COUNTS, METRES
from anymodal_seg_ros.sensing.geometry.lidar import LIDAR_IMAGE
from anymodal_seg_training.errors import TrainingError

_FIELDS = {
    "color": (),
    "thermal": ("thermal_mode",),
    "depth": ("far_m",),
    "hha": (),
    "lidar": ("far_m", "height_range_m", "intensity_max"),
    "muses_lidar": ("intensity_max",),
    "muses_event": (),
}
"""What says how images become planes, by the kind of planes."""

_THERMAL_FIELDS = {
    "kelvin_range": ("kelvin_range", "kelvin_per_count"),
    "percentile": ("percentiles",),
    "raw": (),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """How frames are measured.

    Attributes:
        height: rows of the network's input.
        width: columns of it.
        modalities: how images become planes; None to guess it from their encodings.
    """

    height: int
    width: int
    modalities: Mapping[str, ModalitySpec] | None = None

    def frame(self, images: Mapping[str, Image]) -> dict[str, PlaneSums]:
        """Measure the images of one frame, by modality.

        Raises:
            TrainingError: it has no image of a modality.
            DecodeError: an image cannot serve as its modality.
        """
        specs = self.modalities
        if specs is None:
            specs = {name: guessed_spec(images[name], id_) for id_, name in enumerate(images)}
        sums = {}
        for name, spec in specs.items():
            if name not in images:
                raise TrainingError(
                    f"modalities has {name}, but frames have {', '.join(images)} only: name "
                    "the modalities as the data set does"
                )
            plain = dataclasses.replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
            seen = planes(images[name], plain, self.height, self.width).astype(np.float64)
            sums[name] = PlaneSums(
                spec, self.height * self.width, seen.sum((1, 2)), np.square(seen).sum((1, 2))
            )
        return sums


@dataclass(slots=True)
class PlaneSums:
    """Sums over the pixels of one modality's planes, before they are normalised.

    Attributes:
        spec: how images become planes.
        pixels: how many were seen in each plane.
        total: float64 ``[3]``, the sum of their values.
        squares: float64 ``[3]``, the sum of the squares.
    """

    spec: ModalitySpec
    pixels: int = 0
    total: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    squares: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def add(self, other: PlaneSums) -> None:
        """Add what was seen in another frame."""
        self.pixels += other.pixels
        self.total = self.total + other.total
        self.squares = self.squares + other.squares

    def measured(self) -> ModalitySpec:
        """Return the spec with the mean and the standard deviation of the pixels seen."""
        mean = self.total / self.pixels
        std = np.sqrt(np.maximum(self.squares / self.pixels - mean**2, 0.0))
        # A plane that is the same everywhere must become 0, whatever it is divided by.
        std[std < 5e-4] = 1.0
        rounded = [[round(float(v), 3) for v in values] for values in (mean, std)]
        (a, b, c), (d, e, f) = rounded
        return dataclasses.replace(self.spec, mean=(a, b, c), std=(d, e, f))


def guessed_spec(image: Image, number: int) -> ModalitySpec:
    """Return how such an image can become planes: depth in metres, counts, else colour or grey."""
    zeros, ones = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if image.encoding in METRES:
        return ModalitySpec(number, "depth", zeros, ones)
    if image.encoding in COUNTS:
        # Nothing says whether the counts are temperatures; percentiles fit all of them.
        return ModalitySpec(number, "thermal", zeros, ones, thermal_mode="percentile")
    if image.encoding == LIDAR_IMAGE:
        return ModalitySpec(number, "lidar", zeros, ones)
    return ModalitySpec(number, "color", zeros, ones)


def yaml_line(name: str, spec: ModalitySpec) -> str:
    """Return a modality's line in a recipe."""
    names = ["id", "planes", *_FIELDS[spec.planes]]
    if spec.planes == "thermal":
        names += _THERMAL_FIELDS[spec.thermal_mode]
    entries = []
    for entry in (*names, "mean", "std"):
        value = getattr(spec, entry)
        entries.append(f"{entry}: {list(value) if isinstance(value, tuple) else value}")
    return f"  {name}: {{{', '.join(entries)}}}"
