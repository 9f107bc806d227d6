"""HHA: a depth image as disparity, height above the ground and angle with gravity, in three bytes.

The encoding of Gupta et al., "Learning Rich Features from RGB-D Images", ECCV 2014 (arXiv
1407.5736), with the numbers of the code that data sets were made with (Depth2HHA), in the order in
which loaders give the channels to networks: disparity, height, angle.

A surface is flat where inverse depth is linear in the picture. So a normal is a line fitted to the
inverse depths of a window, whose sums are box filters. Gravity is the direction that floors and
ceilings face along and walls across, estimated from every picture anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.reprojection import Metres
from anymodal_seg_ros.sensing.geometry.views import pixel_places, rays_of

Floats = npt.NDArray[np.float32]

_DISPARITY_CM = 31_000.0
"""Disparity is this by the depth in centimetres."""
_NEAREST_CM = 100.0
"""What is nearer has the disparity of this."""
_LEAST_DROP_CM, _USUAL_DROP_CM = 90.0, 130.0
"""If nothing lies as deep under the camera as the first, the ground is taken to lie so deep."""
_ANGLE_OF_ZERO = 38.0
"""Added to the angle in degrees: a floor has 38, a wall 128, a ceiling 218."""
_NO_NORMAL = 180.0
"""Angle in degrees where no normal is known."""

_FINE, _COARSE = 3, 10
"""Pixels to each side in the windows of the normals that are shown, and of those for gravity."""
_THRESHOLDS = (45.0, 15.0)
"""Degrees to gravity within which a surface is a floor, or to its right angle a wall; in turn."""
_ROUNDS = 5
"""Estimates of gravity with each threshold."""
_STEP = 4
"""Of the normals for gravity, each so manieth row and column is taken: they are smooth over 21."""
_NEGLIGIBLE_DEGREES = 0.1
"""A camera that is tilted by less is taken for level where heights are measured."""

_DOWN = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, slots=True, eq=False)
class PictureRays:
    """Where the pixels of a picture look, at a distance of 1 along the optical axis.

    Attributes:
        x: float32 ``[H, W]``, to the right; NaN where the lens looks nowhere or behind itself.
        y: float32 ``[H, W]``, down.
        turns: float32 ``[4, H, W]``: how x and y change from a pixel to the right one, then from
            a pixel to the lower one, as the inverse of that matrix, row by row.
    """

    x: Floats
    y: Floats
    turns: Floats

    @classmethod
    def of(cls, camera: Camera, height: int, width: int) -> PictureRays:
        """Return the rays of a camera's picture at some size, its distortion included."""
        rays = rays_of(camera, pixel_places(height, width)).reshape(height, width, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = np.where(rays[..., 2] > 0, rays[..., 2], np.nan)
            x, y = rays[..., 0] / ahead, rays[..., 1] / ahead
            (x_down, x_right), (y_down, y_right) = _changes(x), _changes(y)
            size = x_right * y_down - x_down * y_right
            turns = np.stack([y_down, -y_right, -x_down, x_right]) / size
        return cls(x.astype(np.float32), y.astype(np.float32), turns.astype(np.float32))


def _changes(values: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Return how values change downwards and to the right; 0 in a picture of one pixel."""
    return [
        np.gradient(values, axis=axis) if side > 1 else np.zeros_like(values)
        for axis, side in enumerate(values.shape)
    ]


def hha_image(metres: Metres, rays: PictureRays) -> Image:
    """Encode a depth image.

    Holes are filled with the nearest distance that was measured, as the data sets' depth was filled
    before it was encoded; but normals and the ground come only from what was measured.

    Args:
        metres: float32 ``[H, W]`` along the optical axis; not finite or not positive where unknown.
        rays: of the camera in whose picture it is, at its size.

    Returns:
        ``rgb8``: disparity, ``31000 / z`` with z in cm, at least 100; height over the lowest point
        in cm, which is taken to lie 1.3 m under the camera if it lies less than 0.9 m under it;
        angle of the surface to gravity in degrees, plus 38, or 218 where it is unknown. All at most
        255. Black if no distance is known.
    """
    known = np.isfinite(metres) & (metres > 0) & np.isfinite(rays.x)
    if not known.any():
        return Image(np.zeros((*metres.shape, 3), np.uint8), "rgb8")
    z = _filled(metres, known)
    inverse = np.divide(np.float32(1), z, where=known, out=np.zeros_like(z))
    seen = known.astype(np.float32)
    gravity = _gravity(_normals(inverse, seen, rays, _COARSE, _STEP))
    normals = _normals(inverse, seen, rays, _FINE, 1)
    angle = np.degrees(np.arccos(np.clip(_along(normals, gravity), -1.0, 1.0)))
    z *= np.float32(100)
    height = _heights(z, known, rays, gravity)
    encoded = np.empty((*z.shape, 3), np.float32)
    np.divide(
        np.float32(_DISPARITY_CM), np.maximum(z, np.float32(_NEAREST_CM)), out=encoded[..., 0]
    )
    np.maximum(height, np.float32(0), out=encoded[..., 1])
    np.nan_to_num(angle, copy=False, nan=_NO_NORMAL)
    np.add(angle, np.float32(_ANGLE_OF_ZERO), out=encoded[..., 2])
    return Image(np.asarray(cv2.convertScaleAbs(encoded), np.uint8), "rgb8")


def _filled(metres: Metres, known: npt.NDArray[np.bool_]) -> Floats:
    """Fill holes with the nearest distance that is known."""
    if known.all():
        return metres.astype(np.float32)
    _, owners = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_owner = np.zeros(int(owners.max()) + 1, np.float32)
    of_owner[owners[known]] = metres[known]
    return np.asarray(of_owner[owners], np.float32)


def _normals(inverse: Floats, seen: Floats, rays: PictureRays, reach: int, step: int) -> Floats:
    """Fit planes to windows of inverse depths.

    Args:
        inverse: float32 ``[H, W]``, 0 where unknown.
        seen: 1 where it is known, else 0.
        rays: of the picture.
        reach: pixels of the window to each side.
        step: so manieth rows and columns are returned.

    Returns:
        Unit vectors away from the camera, float32 ``[3, h, w]``; NaN where a window has too little.
    """
    along = np.arange(-reach, reach + 1, dtype=np.float32)
    ones = np.ones_like(along)

    def sums(values: Floats, right: Floats, down: Floats) -> Floats:
        made = cv2.sepFilter2D(values, -1, right, down, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(made[::step, ::step])

    n, sx, sy = sums(seen, ones, ones), sums(seen, along, ones), sums(seen, ones, along)
    sxx, syy = sums(seen, along**2, ones), sums(seen, ones, along**2)
    sxy = sums(seen, along, along)
    q, qx, qy = (sums(inverse, *k) for k in ((ones, ones), (along, ones), (ones, along)))
    # Cramer's rule for q = right * x + down * y + level, around the window's own middle.
    a, b, c = syy * n - sy * sy, sy * sx - sxy * n, sxy * sy - syy * sx
    d, e, f = sxx * n - sx * sx, sxy * sx - sxx * sy, sxx * syy - sxy * sxy
    size = sxx * a + sxy * b + sx * c
    with np.errstate(divide="ignore", invalid="ignore"):
        size[~(size > 0.5)] = np.nan  # whole numbers: of points on one line it is 0
        right, down = (a * qx + b * qy + c * q) / size, (b * qx + d * qy + e * q) / size
        level = (c * qx + e * qy + f * q) / size
        turns = rays.turns[:, ::step, ::step]
        x = right * turns[0] + down * turns[1]
        y = right * turns[2] + down * turns[3]
        z = level - x * rays.x[::step, ::step] - y * rays.y[::step, ::step]
        length = np.sqrt(x * x + y * y + z * z)
        length *= np.where(level < 0, np.float32(-1), np.float32(1))
        return np.asarray(np.stack([x, y, z]) / length, np.float32)


def _along(vectors: Floats, direction: npt.NDArray[np.float64]) -> Floats:
    """Return the part of vectors ``[3, ...]`` along a direction."""
    return np.asarray(np.tensordot(direction.astype(np.float32), vectors, 1), np.float32)


def _gravity(normals: Floats) -> npt.NDArray[np.float64]:
    """Estimate the direction down in the optical frame, from where the picture's down is."""
    vectors = normals.reshape(3, -1)
    vectors = vectors[:, np.isfinite(vectors[0])].astype(np.float64)
    down = _DOWN
    for degrees in _THRESHOLDS:
        near = np.cos(np.radians(degrees))
        across = np.sin(np.radians(degrees))
        for _ in range(_ROUNDS):
            share = np.abs(down @ vectors)
            of_walls = (share < across).astype(np.float64) - (share > near)
            if not of_walls.any():
                return down
            found = np.linalg.eigh(vectors * of_walls @ vectors.T)[1][:, 0]
            down = found if found @ down >= 0 else -found
    return down


def _heights(
    z: Floats, known: npt.NDArray[np.bool_], rays: PictureRays, gravity: npt.NDArray[np.float64]
) -> Floats:
    """Return heights over the lowest point, ``[H, W]``, in the unit of ``z``: centimetres."""
    tilt = np.degrees(np.arccos(np.clip(gravity @ _DOWN, -1.0, 1.0)))
    right, down, ahead = (_DOWN if tilt <= _NEGLIGIBLE_DEGREES else gravity).astype(np.float32)
    heights = -z * (right * rays.x + down * rays.y + ahead)
    lowest = float(heights[known].min())
    return np.asarray(heights - (lowest if lowest <= -_LEAST_DROP_CM else -_USUAL_DROP_CM))
