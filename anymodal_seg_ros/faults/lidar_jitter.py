"""A LiDAR on a loose mount: every scan is tilted by chance, and every range is a little off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Pixels

_TILT_DEG = 3.0
"""Standard deviation of roll, pitch and yaw of a scan at severity 1."""

_RANGE_NOISE_M = 0.1
"""Standard deviation of a range at severity 1."""

_PIXELS_PER_TILT = 0.8 / 60.0
"""Of the width, for a degree: a camera of about 75 degrees shows so much in its middle."""


def require_coordinates(cloud: Pixels) -> None:
    """Raise :class:`ConfigError` unless a cloud has x, y and z, each one number per point."""
    names = cloud.dtype.names or ()
    for axis in "xyz":
        if axis not in names or cloud[axis].ndim != cloud.ndim:
            raise ConfigError(
                f"fields of a point cloud are {', '.join(names) or 'none'}: expected x, y and z"
            )


def jitter_cloud(cloud: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Turn all points of a scan about the sensor by one small rotation, and blur their ranges.

    Args:
        cloud: structured array with the fields x, y and z in metres, of any shape; every other
            field stays. Points that are not finite, or at the sensor (an empty return), stay so.
        severity: 0 to 1.
        rng: dice.

    Raises:
        ConfigError: a coordinate is missing or holds several numbers.
    """
    require_coordinates(cloud)
    points = np.stack([cloud[axis].astype(np.float64) for axis in "xyz"])
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.sqrt((points**2).sum(axis=0))
        usable = np.isfinite(distance) & (distance > 0)
        turned = np.tensordot(_rotation(severity, rng), np.where(usable, points, 0.0), axes=1)
        noise = severity * _RANGE_NOISE_M * rng.standard_normal(distance.shape)
        scale = np.maximum(1.0 + noise / np.where(usable, distance, 1.0), 0.01)
    result: Pixels = cloud.copy()
    for axis, values in zip("xyz", turned * scale, strict=True):
        result[axis] = np.where(usable, values, cloud[axis]).astype(cloud.dtype[axis])
    return result


def jitter_image(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Shift and roll a LiDAR image as a whole, and blur its ranges.

    Args:
        image: float ``[H, W, 3]``: range, height, intensity; NaN where no point falls.
        severity: 0 to 1.
        rng: dice.

    Returns:
        As ``image``. Each pixel comes from one pixel of it; none is averaged.
    """
    height, width = image.shape[:2]
    roll, pitch, yaw = severity * _TILT_DEG * rng.standard_normal(3)
    right, down = (_PIXELS_PER_TILT * width * angle for angle in (yaw, pitch))
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = x - (width - 1) / 2 - right, y - (height - 1) / 2 - down
    cos, sin = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
    columns = np.rint(cos * x + sin * y + (width - 1) / 2).astype(np.int64)
    rows = np.rint(-sin * x + cos * y + (height - 1) / 2).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    result = np.full_like(image, np.nan)
    result[inside] = image[rows[inside], columns[inside]]
    noise = severity * _RANGE_NOISE_M * rng.standard_normal((height, width))
    result[..., 0] = np.maximum(result[..., 0] + noise, np.minimum(result[..., 0], 0.01))
    return result


def _rotation(severity: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw roll, pitch and yaw; return the rotation by all three."""
    roll, pitch, yaw = np.deg2rad(severity * _TILT_DEG * rng.standard_normal(3))
    matrix = np.eye(3)
    for axis, angle in ((0, roll), (1, pitch), (2, yaw)):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[other, one], turn[one, other] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return matrix
