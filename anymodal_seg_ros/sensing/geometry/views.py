"""How the picture of one sensor lies in that of another, for a scene at one distance.

All of it is in *picture coordinates*: (0, 0) is the left upper corner of a picture and (1, 1) the
right lower one. They hold at every resolution, so a driver may send half the size without a new
calibration, and the centre of pixel (i, j) is at ((i + 0.5) / width, (j + 0.5) / height).

Every sensor knows its place relative to the rig's first sensor alone. Two others are compared by
way of the first one's picture, so that any can be the reference when the first one is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform, invert, move, numbers_from_text

Places = npt.NDArray[np.floating]
"""``[N, 2]`` picture coordinates; NaN where there is nothing."""


class View(Protocol):
    """The place of a sensor's picture in that of the rig's first sensor."""

    def to_first(self, places: Places) -> Places:
        """Return where in the first sensor's picture these places of this sensor's are."""

    def from_first(self, places: Places) -> Places:
        """Return where in this sensor's picture these places of the first sensor's are."""


@dataclass(frozen=True, slots=True, eq=False)
class HomographyView:
    """The pictures differ by a homography; by none at all with the identity.

    Attributes:
        matrix: float64 ``[3, 3]``, takes places in this picture to places in the first one's.
    """

    matrix: npt.NDArray[np.float64]

    @classmethod
    def from_text(cls, text: str, where: str) -> HomographyView:
        """Read nine numbers, row by row.

        Raises:
            CalibrationError: they are not nine, or tear or mirror the picture.
        """
        numbers = numbers_from_text(text, where)
        if numbers.size != 9:
            raise CalibrationError(f"{where} has {numbers.size} numbers: expected 9, row by row")
        matrix = numbers.reshape(3, 3)
        corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1.0]])
        with np.errstate(all="ignore"):  # of huge numbers, which fail the test
            sound = (corners @ matrix[2] > 0).all() and 1e-9 < np.linalg.det(matrix) < 1e9
        if not sound:
            raise CalibrationError(
                f"{where} is {matrix.tolist()}: it tears, flattens or mirrors the picture; "
                "expected one that takes (x/width, y/height) to (x/width, y/height)"
            )
        return cls(matrix)

    def to_first(self, places: Places) -> Places:
        """Apply the homography."""
        return _apply(self.matrix, places)

    def from_first(self, places: Places) -> Places:
        """Apply its inverse."""
        return _apply(np.linalg.inv(self.matrix), places)


@dataclass(frozen=True, slots=True, eq=False)
class CameraView:
    """The pictures differ by lenses, a turn, and a shift that depends on the distance.

    Attributes:
        camera: of this sensor.
        first: camera of the rig's first sensor.
        first_from_camera: the pose of this sensor in the first one's optical frame.
        distance_m: of the scene: a plane across the first camera's axis; infinity for far scenes,
            in which the shift does not matter.
    """

    camera: Camera
    first: Camera
    first_from_camera: Transform
    distance_m: float

    def to_first(self, places: Places) -> Places:
        """Follow the rays of this camera to the plane, and from there into the first one."""
        turn, at = self.first_from_camera[:3, :3], self.first_from_camera[:3, 3]
        rays = rays_of(self.camera, places) @ turn.T
        if not np.isfinite(self.distance_m):
            return places_of(self.first, rays)
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (self.distance_m - at[2]) / rays[:, 2:]
        along[~(along > 0)] = np.nan
        return places_of(self.first, rays * along + at)

    def from_first(self, places: Places) -> Places:
        """Follow the rays of the first camera to the plane, and from there into this one."""
        rays = rays_of(self.first, places)
        if not np.isfinite(self.distance_m):
            return places_of(self.camera, rays @ self.first_from_camera[:3, :3])
        with np.errstate(divide="ignore", invalid="ignore"):
            along = self.distance_m / rays[:, 2:]
        along[~(along > 0)] = np.nan
        return places_of(self.camera, move(invert(self.first_from_camera), rays * along))


def rays_of(camera: Camera, places: Places) -> npt.NDArray[np.floating]:
    """Return the unit directions ``[N, 3]`` in which places of a camera's picture look."""
    return camera.rays(places * (camera.width, camera.height) - 0.5)


def places_of(camera: Camera, points: npt.NDArray[np.floating]) -> Places:
    """Return the places of points ``[N, 3]`` in a camera's picture; NaN where it cannot see."""
    places = camera.project(points)
    places += 0.5
    places[:, 0] /= camera.width
    places[:, 1] /= camera.height
    return places


def pixel_places(height: int, width: int) -> Places:
    """Return the places of all pixel centres, row by row, ``[height * width, 2]``."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def _apply(matrix: npt.NDArray[np.floating], places: Places) -> Places:
    moved = np.hstack([places, np.ones((len(places), 1))]) @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        moved[~(moved[:, 2] > 0)] = np.nan
        return np.asarray(moved[:, :2] / moved[:, 2:])
