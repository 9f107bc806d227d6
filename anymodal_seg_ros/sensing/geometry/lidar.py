"""Clouds to images: what a LiDAR sees, in the picture of the reference camera."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.point_clouds import Cloud, column, positions
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform, move

LIDAR_IMAGE = "32FC3"
"""Encoding of an image of range, height and intensity, as :func:`lidar_image` makes it."""

INTENSITY_NAMES = ("intensity", "reflectivity", "intensities", "i", "signal", "remission")
"""What drivers call the strength of a return, in capitals or not; the first that a cloud has once a
point is taken."""

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)


def lidar_image(
    cloud: Cloud,
    camera: Camera,
    camera_from_lidar: Transform,
    height: int,
    width: int,
    *,
    point_radius: int = 0,
) -> Image:
    """Paint a cloud into the picture of a camera; of several points in a pixel the nearest stays.

    Args:
        cloud: as :func:`~anymodal_seg_ros.sensing.decoding.point_clouds.decode_cloud` returns it.
            Points that are not finite, or exactly at the sensor (an empty return), are left out.
        camera: of the reference sensor, with its distortion.
        camera_from_lidar: takes points from the LiDAR's frame to the camera's optical frame.
        height: rows of the result. It shows the whole picture of the camera, at any resolution.
        width: columns of the result.
        point_radius: 0 paints one pixel per point, 1 a square of 3 x 3, and so on.

    Returns:
        A ``32FC3`` image, float32 ``[height, width, 3]``: range from the LiDAR in metres; height in
        metres (z in the LiDAR's own frame, which points up); intensity as the driver sends it, 0 if
        it sends none. NaN in all three where no point falls.

    Raises:
        DecodeError: the cloud has no x, y or z.
    """
    points = positions(cloud)
    with np.errstate(over="ignore", invalid="ignore"):
        ranges = np.sqrt(sum(points[:, axis] ** 2 for axis in range(3)))
        pixels = camera.project(move(camera_from_lidar, points))
        # The pixel with the centre 0 reaches from -0.5 to 0.5.
        x = (pixels[:, 0] + 0.5) * (width / camera.width)
        y = (pixels[:, 1] + 0.5) * (height / camera.height)
        # NaN fails every comparison.
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        inside &= (ranges > 0) & np.isfinite(ranges)
    chosen = np.flatnonzero(inside)
    cells = np.stack([x[chosen], y[chosen]]).astype(np.int64).T
    places, owners = nearest(cells, ranges[chosen], height, width, point_radius)
    winners = chosen[owners]
    planes = np.full((height * width, 3), np.nan, np.float32)
    planes[places, 0] = ranges[winners]
    planes[places, 1] = points[winners, 2]
    planes[places, 2] = _intensity(cloud)[winners]
    return Image(planes.reshape(height, width, 3), LIDAR_IMAGE)


def nearest(
    cells: npt.NDArray[np.int64],
    distances: npt.NDArray[np.float32],
    height: int,
    width: int,
    radius: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Settle which point each pixel shows: the nearest; of equally near ones the first.

    Args:
        cells: ``[N, 2]`` (column, row) of every point, within the image.
        distances: ``[N]``, not negative.
        height: rows of the image.
        width: columns of the image.
        radius: how many pixels around its own a point covers.

    Returns:
        The pixels that are covered, as ``row * width + column``, and the number of the point in
        each of them.
    """
    # Positive floats sort like their bits: one integer holds both distance and owner.
    keys = distances.view(np.uint32).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(len(cells), dtype=np.uint64)
    front = np.full(height * width, _EMPTY)
    for places, inside in covered(cells, height, width, radius):
        np.minimum.at(front, places, keys[inside])
    shown = np.flatnonzero(front != _EMPTY)
    return shown, (front[shown] & np.uint64(0xFFFFFFFF)).astype(np.int64)


def covered(
    cells: npt.NDArray[np.int64], height: int, width: int, radius: int
) -> Iterator[tuple[npt.NDArray[np.int64], slice | npt.NDArray[np.bool_]]]:
    """Yield the pixels that points cover, one neighbour of their own pixel after the other.

    Yields:
        Pixels as ``row * width + column``, and which points they are of: those whose neighbour
        still lies in the image.
    """
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            x, y = cells[:, 0] + right, cells[:, 1] + down
            if down == right == 0:
                yield y * width + x, slice(None)
                continue
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            yield y[inside] * width + x[inside], inside


def _intensity(cloud: Cloud) -> npt.NDArray[np.float32]:
    names = {name.lower(): name for name in reversed(cloud.dtype.names or ())}
    for known in INTENSITY_NAMES:
        name = names.get(known, "")
        if name and cloud[name].ndim == cloud.ndim:
            return column(cloud, name)
    return np.zeros(cloud.size, np.float32)
