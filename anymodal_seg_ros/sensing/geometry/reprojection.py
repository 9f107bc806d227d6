"""From one camera to another by measured distances, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.geometry.cameras import BLOCK, Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform
from anymodal_seg_ros.sensing.geometry.lidar import covered, nearest
from anymodal_seg_ros.sensing.geometry.views import pixel_places, places_of, rays_of

Metres = npt.NDArray[np.float32]
"""``[H, W]`` distances along the optical axis (REP-118); NaN where none was measured."""

_HOLE = 7
"""Gaps up to this many pixels are closed; they lie behind the edges of near things."""

_PARALLAX = 1.5
"""Something nearer hides a point if the two are moved apart by more than this, in cells."""

_STRETCH = 1.5
"""How much farther apart neighbouring points may fall than in the middle of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Reprojection:
    """What can be computed before any distance is known.

    Attributes:
        target: the camera in whose picture the points end.
        directions: float32 ``[3, N]``: the source's pixels, one metre along its axis, turned into
            the target's frame. NaN where the source's lens looks nowhere.
        start: float32 ``[3]``: the source's centre in the target's frame.
    """

    target: Camera
    directions: npt.NDArray[np.float32]
    start: npt.NDArray[np.float32]

    @classmethod
    def between(
        cls, source: Camera, target: Camera, target_from_source: Transform, height: int, width: int
    ) -> Reprojection:
        """Prepare for a source picture of ``height`` rows and ``width`` columns."""
        rays = rays_of(source, pixel_places(height, width))
        with np.errstate(divide="ignore", invalid="ignore"):
            rays /= np.where(rays[:, 2:] > 0, rays[:, 2:], np.nan)
        turned = target_from_source[:3, :3] @ rays.T
        return cls(target, turned.astype(np.float32), target_from_source[:3, 3].astype(np.float32))

    def places(self, metres: Metres) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """Return where in the target's picture the source's pixels are, and how far away.

        Args:
            metres: ``[H, W]`` of the source's picture.

        Returns:
            Places ``[N, 2]`` and distances along the target's axis ``[N]``, NaN where the distance
            is unknown or the target cannot see the point.
        """
        return self._places(self.directions, metres.reshape(-1))

    def _places(
        self, directions: npt.NDArray[np.float32], metres: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        points = directions * metres
        points += self.start[:, np.newaxis]
        return places_of(self.target, points.T), points[2]

    def carry(self, metres: Metres, height: int, width: int, radius: int) -> Metres:
        """Bring a depth image into the target's picture; the nearest point wins.

        Args:
            metres: ``[H, W]`` of the source's picture.
            height: rows of the result.
            width: columns of the result.
            radius: how many pixels around its own a point covers.

        Returns:
            ``[height, width]`` along the target's axis; NaN where no point falls.
        """
        front = np.full(height * width, np.inf, np.float32)
        flat = metres.reshape(-1)
        for begin in range(0, flat.size, BLOCK):  # so few that the processor's cache holds them
            block = slice(begin, begin + BLOCK)
            places, distances = self._places(self.directions[:, block], flat[block])
            chosen, cells = _cells(places, distances, height, width)
            own = distances[chosen]
            for at, inside in covered(cells, height, width, radius):
                np.minimum.at(front, at, own[inside])
        front[np.isinf(front)] = np.nan
        return front.reshape(height, width)

    def visible(self, metres: Metres) -> npt.NDArray[np.floating]:
        """Return :meth:`places` without the pixels that the target cannot see for something nearer.

        Without this, what is behind the edge of a near thing would show a copy of that thing.
        """
        places, distances = self.places(metres)
        # At half the resolution every cell of the target gets points, whichever is the finer one.
        height, width = (max(side // 2, 1) for side in metres.shape)
        chosen, cells = _cells(places, distances, height, width)
        own = np.ascontiguousarray(distances[chosen])
        at, owners = nearest(cells, own, height, width)
        front = np.zeros(height * width, np.float32)
        front[at] = own[owners]
        # Slanted ground has many distances in one cell, but no two that move apart.
        reach = float(np.linalg.norm(self.start)) * self._focal(width)
        apart = reach * (1 / front[cells[:, 1] * width + cells[:, 0]] - 1 / own)
        places[chosen[apart > _PARALLAX]] = np.nan
        return places

    def _focal(self, width: int) -> float:
        """Return the target's focal length at a resolution of ``width`` columns, in pixels."""
        return float(self.target.matrix[0, 0]) * width / self.target.width


def close_holes(metres: Metres) -> Metres:
    """Fill small gaps with the farthest distance around them.

    Gaps in a carried depth image are what the near things hid from the depth sensor: background.
    """
    known = np.where(np.isfinite(metres), metres, np.float32(0))
    spread = cv2.dilate(known, np.ones((_HOLE, _HOLE), np.uint8))
    filled = np.where(known > 0, known, spread)
    filled[filled == 0] = np.nan
    return np.asarray(filled, np.float32)


def covering_radius(source: Camera, source_width: int, target: Camera, target_width: int) -> int:
    """Return how far a source pixel must be spread to leave no gaps in a finer target picture."""
    source_focal = source.matrix[0, 0] * source_width / source.width
    target_focal = target.matrix[0, 0] * target_width / target.width
    return int(np.ceil(max(_STRETCH * target_focal / source_focal - 1, 0) / 2))


def _cells(
    places: npt.NDArray[np.floating], distances: npt.NDArray[np.floating], height: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which points fall into a picture, and their ``[K, 2]`` (column, row) in it."""
    x, y = places[:, 0], places[:, 1]
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1) & (distances > 0)
    chosen = np.flatnonzero(inside)
    columns = np.minimum((x[chosen] * width).astype(np.int64), width - 1)
    rows = np.minimum((y[chosen] * height).astype(np.int64), height - 1)
    return chosen, np.stack([columns, rows]).T
