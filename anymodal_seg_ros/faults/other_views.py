"""Well-formed pictures of a camera that stands or looks elsewhere than everybody believes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.kinds import Moved, Turned
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD

_AXES = {"pitch": (1.0, 0.0, 0.0), "yaw": (0.0, 1.0, 0.0), "roll": (0.0, 0.0, 1.0)}
"""In optical coordinates: x to the right, y down, z ahead."""


def other_view(fault: Moved | Turned, image: Image) -> Image:
    """Return what a camera sees that was moved or turned.

    Args:
        fault: how. A turn is that of a camera without distortion whose optical axis is in the
            middle of its picture.
        image: as taken, any encoding but that of clouds; pixels are never mixed.

    Raises:
        DecodeError: a deferred image is damaged.
        ConfigError: it is a point cloud.
    """
    if image.encoding == POINT_CLOUD:
        raise ConfigError(f"{fault.kind} cannot happen to a point cloud: it fits images")
    pixels = np.asarray(image.pixels)
    pixels = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("=")))
    height, width = pixels.shape[:2]
    if isinstance(fault, Moved):
        way, border = np.eye(3), cv2.BORDER_REFLECT
        way[0, 2] = fault.share * width
    else:
        way = _turn(fault, height, width)
        border = cv2.BORDER_CONSTANT if fault.edge == "empty" else cv2.BORDER_REFLECT
    shown = cv2.warpPerspective(
        pixels, way, (width, height), flags=cv2.INTER_NEAREST, borderMode=border, borderValue=0
    )
    return Image(np.asarray(shown).reshape(pixels.shape), image.encoding)


def _turn(fault: Turned, height: int, width: int) -> npt.NDArray[np.float64]:
    """Return the homography from the picture before the turn to the one after it."""
    focal = width / 2 / np.tan(np.deg2rad(fault.view_deg) / 2)
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    angle = np.deg2rad(fault.angle_deg)
    turn = np.asarray(cv2.Rodrigues(-angle * np.array(_AXES[fault.axis]))[0])
    return np.asarray(camera @ turn @ np.linalg.inv(camera))
