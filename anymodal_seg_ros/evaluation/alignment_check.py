"""The alignment of a rig, instant by instant: registered, measured, drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.evaluation.alignment_picture import Picture, alignment_picture
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.geometry.alignment import (
    SURE,
    PictureDrift,
    Shift,
    edge_field,
    measure_shift,
)
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_ros.sensing.geometry.views import HomographyView

MAX_WIDTH = 640
"""Pictures are compared at the reference's size, or at this width if that is smaller."""

NEAR_PX = 1.0
"""Displacement that is as good as none: measuring errs by half of that, and a mask shows less."""

SCATTER_OF_WIDTH = 0.01
"""Share of the width beyond which the shifts of a sensor say nothing together."""

_SMALLEST = 8
"""Rows and columns in which anything can be compared."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One sensor at one instant.

    Attributes:
        sensor: its name.
        shift: how far its registered picture lies from the reference, in pixels of the comparison.
        picture: uint8 ``[H, 2W, 3]`` RGB, its edges over the reference.
    """

    sensor: str
    shift: Shift
    picture: Picture


class AlignmentCheck:
    """Compares every sensor of a rig with its first one.

    Attributes:
        reference: name of the rig's first sensor.
        size: rows and columns of the comparison; 0, 0 before the first instant.
        shifts: every shift so far, by sensor.
        missing: why a sensor could not be registered at its last instant.
    """

    def __init__(self, rig: RigConfig, search: float) -> None:
        """Begin with no instant.

        Args:
            rig: its sensors' registration is applied before anything is measured.
            search: largest shift that is looked for, as a share of the width.
        """
        self.reference = next(iter(rig.sensors))
        self.size = (0, 0)
        self.shifts: dict[str, list[Shift]] = {}
        self.missing: dict[str, str] = {}
        self._rig = rig
        self._search = search
        self._registrar: Registrar | None = None
        self._drifts: dict[str, PictureDrift] = {}
        self._tell: Callable[[Registrar], None] | None = None

    def learn_from(self, tell: Callable[[Registrar], None]) -> None:
        """Take what tells a registrar of the rig's cameras, before the first instant."""
        self._tell = tell

    def take(self, images: Mapping[str, Image]) -> list[Measured]:
        """Measure one instant; nothing without an image of the reference.

        Raises:
            ConfigError: the registration of the rig cannot be used.
            DecodeError: the first image of the reference is too small to be compared.
        """
        if self.reference not in images:
            return []
        registrar = self._prepared(images[self.reference])
        done = registrar.register(self.reference, images)
        self.missing.update(done.missing)
        # The same way for pictures that are all white shows where there is anything to compare.
        white = {name: _white(image) for name, image in images.items()}
        seen = registrar.register(self.reference, white).images
        reference = edge_field(images[self.reference], *self.size)
        found = []
        for name, image in done.images.items():
            if name == self.reference:
                continue
            shows = seen[name].pixels == 255 if image.pixels.dtype.itemsize == 1 else None
            other = edge_field(image, *self.size, shows)
            shift = measure_shift(reference, other, self._search_px)
            self.shifts.setdefault(name, []).append(shift)
            if shift.likeness >= SURE:
                self._drifts.setdefault(name, PictureDrift(*self.size, self._search_px)).add(
                    reference, other
                )
            names = (self.reference, name)
            picture = alignment_picture(images[self.reference], image, shift, names, *self.size)
            found.append(Measured(name, shift, picture))
        return found

    def lies_near(self, sensor: str) -> bool:
        """Whether a sensor's picture was surely found to lie where it belongs, all parts of it.

        Looked at are the corners of its middle half; beyond, turns and scales are extrapolated.
        """
        correction = self._correction(sensor)
        if correction is None:
            return False
        corners = np.array([[x, y, 1.0] for x in (0.25, 0.75) for y in (0.25, 0.75)])
        moved = corners @ (correction - np.eye(3)).T
        height, width = self.size
        return float(np.hypot(moved[:, 0] * width, moved[:, 1] * height).max()) < NEAR_PX

    def scatter_px(self, sensor: str) -> float:
        """Return how far one of a sensor's sure shifts lies from the median of all, in the median.

        Two cameras that keep their places differ by what measuring errs by, and by what the things
        that they see move and how near these are. Edges that only resemble each other, as at night,
        give another shift in every frame.
        """
        sure = [(s.right_px, s.down_px) for s in self.shifts[sensor] if s.likeness >= SURE]
        if not sure:
            return 0.0
        beside = np.asarray(sure) - np.median(sure, axis=0)
        return float(np.median(np.hypot(beside[:, 0], beside[:, 1])))

    def better_homography(self, sensor: str) -> npt.NDArray[np.float64] | None:
        """Return the homography that would bring a sensor's picture where it belongs.

        Returns:
            float64 ``[3, 3]`` for ``registration.homography``; None if the sensor lies there, is
            registered by its camera (then mend the calibration), or nothing sure was measured.
        """
        registration, correction = self._rig.sensors[sensor].registration, self._correction(sensor)
        if correction is None or self.lies_near(sensor):
            return None
        if registration.method not in ("resize", "homography"):
            return None
        now = np.eye(3)
        if registration.method == "homography":
            now = HomographyView.from_text(registration.homography, sensor).matrix
        better = correction @ now
        return np.asarray(better / better[2, 2])

    def _correction(self, sensor: str) -> npt.NDArray[np.float64] | None:
        """Return what would move a sensor's registered picture; None if no part of it was sure."""
        if sensor not in self._drifts:
            return None
        found = self._drifts[sensor].homography()
        return None if np.array_equal(found, np.eye(3)) else found

    @property
    def _search_px(self) -> int:
        return max(round(self._search * self.size[1]), 2)

    def _prepared(self, reference: Image) -> Registrar:
        """Return the registrar; the first image of the reference decides its size."""
        if self._registrar is None:
            width = min(reference.width, MAX_WIDTH)
            self.size = (round(reference.height * width / reference.width), width)
            if min(self.size) < _SMALLEST:
                raise DecodeError(
                    f"{self.reference} has {reference.width}x{reference.height} pixels: expected "
                    f"at least {_SMALLEST} on each side where it is {MAX_WIDTH} wide at most",
                    "size",
                )
            depths = [n for n, sensor in self._rig.sensors.items() if sensor.modality == "depth"]
            self._registrar = Registrar(self._rig.sensors, *self.size, depths=depths)
            if self._tell is not None:
                self._tell(self._registrar)
        return self._registrar


def _white(image: Image) -> Image:
    """Return a white picture for an 8-bit one; distances must stay what they are."""
    if image.pixels.dtype.itemsize > 1:
        return image
    return Image(np.full((image.height, image.width), 255, np.uint8), "mono8")
