"""Images that are wrong, and images that are garbage: what ``wrong`` and ``garbage`` make."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.faults.lidar_jitter import require_coordinates
from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD

_PARTS = 4
"""Into so many parts along each side a picture is cut before they are shuffled."""

_KEPT_SHARE = 0.6
"""Of what is truncated, so much comes."""


def wrong_picture(image: Image, how: str, rng: np.random.Generator) -> Image:
    """Return an image that is well-formed and shows something else.

    Args:
        image: as taken, any encoding; a point cloud has the encoding ``PointCloud2``.
        how: ``mirrored``, ``upside_down``, ``shuffled`` or ``half_size``, as
            :class:`~anymodal_seg_ros.faults.kinds.Wrong` says. Of a cloud: y negated, z negated,
            turned about z, every second point.
        rng: dice of ``shuffled``.

    Raises:
        DecodeError: a deferred image is damaged.
        ConfigError: a cloud has no x, y or z.
    """
    change = _wrong_cloud if image.encoding == POINT_CLOUD else _wrong_pixels
    return Image(change(np.asarray(image.pixels), how, rng), image.encoding)


def garbage_picture(image: Image, how: str, rng: np.random.Generator) -> Image:
    """Return what a driver hands on that does not notice that the bytes are corrupt.

    Args:
        image: as taken, any encoding but that of clouds.
        how: ``noise``: random bytes; ``truncated``: the last rows are zero; ``wrong_size``: the
            bytes are cut into rows of three quarters of their length, so that the picture is
            sheared and of another size.
        rng: dice of ``noise``.
    """
    pixels = np.ascontiguousarray(image.pixels)
    height, width = pixels.shape[:2]
    if how == "noise":
        bytes_ = np.frombuffer(rng.bytes(pixels.nbytes), pixels.dtype)
        return Image(bytes_.reshape(pixels.shape), image.encoding)
    if how == "truncated":
        result = pixels.copy()
        result[int(height * _KEPT_SHARE) :] = 0
        return Image(result, image.encoding)
    columns = max(1, width * 3 // 4) if width > 1 else 2
    rows = max(1, height * width // columns)
    flat = pixels.reshape(height * width, *pixels.shape[2:])
    flat = np.resize(flat, (rows * columns, *pixels.shape[2:]))
    return Image(flat.reshape(rows, columns, *pixels.shape[2:]), image.encoding)


def _wrong_pixels(pixels: Pixels, how: str, rng: np.random.Generator) -> Pixels:
    if how == "mirrored":
        return np.ascontiguousarray(pixels[:, ::-1])
    if how == "upside_down":
        return np.ascontiguousarray(pixels[::-1])
    if how == "half_size":
        return np.ascontiguousarray(pixels[::2, ::2])
    height, width = (max(1, side // _PARTS) for side in pixels.shape[:2])
    result: Pixels = pixels.copy()
    places = [
        (slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width))
        for row in range(pixels.shape[0] // height)
        for column in range(pixels.shape[1] // width)
    ]
    for place, origin in zip(places, rng.permutation(len(places)), strict=True):
        result[place] = pixels[places[origin]]
    return result


def _wrong_cloud(cloud: Pixels, how: str, rng: np.random.Generator) -> Pixels:
    if how == "half_size":
        return np.ascontiguousarray(cloud[:, ::2])
    require_coordinates(cloud)
    result: Pixels = cloud.copy()
    if how == "shuffled":
        angle = rng.uniform(0.5, 1.5) * np.pi
        x, y = (cloud[axis].astype(np.float64) for axis in "xy")
        result["x"] = (np.cos(angle) * x - np.sin(angle) * y).astype(cloud.dtype["x"])
        result["y"] = (np.sin(angle) * x + np.cos(angle) * y).astype(cloud.dtype["y"])
        return result
    axis = "y" if how == "mirrored" else "z"
    result[axis] = -cloud[axis]
    return result
