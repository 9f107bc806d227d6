"""HHA: depth as horizontal disparity, height above ground and angle with gravity.

After Gupta et al., "Learning Rich Features from RGB-D Images", ECCV 2014 (arXiv 1407.5736), section
2. There the direction of gravity is estimated; here it is known from the sensor's mount. The scales
of the three channels are a proposal for streets: theirs are for rooms.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.world.shapes import Floats

NEAR_M = 2.0
"""Depth at which the disparity channel is full."""
HIGHEST_M = 10.2
"""Height at which the height channel is full: 4 cm for each count."""


_RIM = 4
"""Pixels at the border whose normal is that of the next one inside."""


def hha(
    depth: Floats,
    k: npt.NDArray[np.float64],
    camera_from_vehicle: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    """Encode a depth image.

    Args:
        depth: float32 ``[H, W]``, metres along the optical axis, not finite or 0 where unknown.
        k: float64 ``[3, 3]``, intrinsics of the camera that the depth is of, in its pixels.
        camera_from_vehicle: float64 ``[4, 4]``, takes points of the vehicle (x forward, z up,
            origin on the ground) to the camera's optical frame.

    Returns:
        uint8 ``[H, W, 3]``, 0 in all three where the depth is unknown: disparity ``255 · 2 m / z``;
        height above the ground under the vehicle, 4 cm for each count; angle between the surface's
        normal and the upward direction, 0° as 0 to 180° as 255. The last two are at least 1.
    """
    known = np.isfinite(depth) & (depth > 0)
    z = np.where(known, depth, np.float32(np.nan)).astype(np.float32)
    points = _points(z, k)
    turn = camera_from_vehicle[:3, :3].astype(np.float32)
    up = turn[:, 2]
    # Height of a point: how far it lies along "up" from the vehicle's origin.
    origin = camera_from_vehicle[:3, 3].astype(np.float32)
    height = (points - origin) @ up
    angle = np.degrees(np.arccos(np.clip(_normals(points) @ up, -1.0, 1.0)))
    angle = np.where(np.isfinite(angle), angle, 90.0)  # at a hole's edge nothing is known: neither
    with np.errstate(invalid="ignore", divide="ignore"):
        channels = (
            255.0 * NEAR_M / z,
            np.maximum(255.0 * height / HIGHEST_M, 1.0),
            np.maximum(255.0 * angle / 180.0, 1.0),
        )
        encoded = np.stack([np.clip(np.round(c), 0, 255) for c in channels], -1)
    encoded[~known] = 0
    return encoded.astype(np.uint8)


def _points(z: Floats, k: npt.NDArray[np.float64]) -> Floats:
    """Points in the optical frame, float32 ``[H, W, 3]``."""
    rows, columns = np.indices(z.shape, np.float32)
    x = (columns - np.float32(k[0, 2])) / np.float32(k[0, 0]) * z
    y = (rows - np.float32(k[1, 2])) / np.float32(k[1, 1]) * z
    return np.stack([x, y, z], -1)


def _normals(points: Floats) -> Floats:
    """Unit normals towards the camera, float32 ``[H, W, 3]``; NaN where neighbours are unknown.

    From differences over a few pixels of points that were smoothed in inverse depth before, since
    stereo noise is even there.
    """
    z = points[..., 2]
    known = np.isfinite(z)
    inverse = np.where(known, 1.0 / np.where(known, z, 1.0), 0.0).astype(np.float32)
    weight = cv2.blur(known.astype(np.float32), (5, 5))
    smooth = cv2.blur(inverse, (5, 5)) / np.maximum(weight, 1e-6)
    scale = np.where(known, 1.0 / np.maximum(smooth, 1e-6) / np.where(known, z, 1.0), np.nan)
    moved = points * scale[..., None].astype(np.float32)
    across, down = np.full_like(moved, np.nan), np.full_like(moved, np.nan)
    across[:, 2:-2] = moved[:, 4:] - moved[:, :-4]
    down[2:-2] = moved[4:] - moved[:-4]
    # Near the border smoothing is lopsided: the next inner difference is better.
    for change in (across, down):
        change[:, :_RIM], change[:, -_RIM:] = (
            change[:, _RIM : _RIM + 1],
            change[:, -_RIM - 1 : -_RIM],
        )
        change[:_RIM], change[-_RIM:] = change[_RIM : _RIM + 1], change[-_RIM - 1 : -_RIM]
    normal = np.cross(down, across)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(length, 1e-12)
    towards = np.sign(-np.sum(normal * points, -1, keepdims=True))
    return np.asarray(normal * np.where(towards == 0, 1.0, towards), np.float32)
