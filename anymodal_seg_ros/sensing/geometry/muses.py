"""Pictures of LiDARs and events as networks of the data set MUSES see them (arXiv 2401.12761).

Its SDK writes range, intensity and height as PNG files of 16 bits; the loader of AnySeg keeps the
upper byte; of events it writes how many there were. OpenCV writes blue first, so what is read as
red is the height, and of events nothing.
"""

from __future__ import annotations

import cv2
import numpy as np

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.events.render import COUNT_LEVELS

_SHIFT, _SCALE = 100.0, 150.0
"""``(value + 100) * 150`` is what is stored, of metres and of intensity alike."""
_NEAREST_M = 1.0
"""What is nearer is left out."""
_INTENSITY = 255.0
"""The strongest return of the data set's LiDAR."""


def muses_lidar_picture(image: Image, intensity_max: float) -> Image:
    """Turn a painted cloud into a picture of the data set.

    Args:
        image: ``32FC3``: range, height and intensity, NaN where no point falls.
        intensity_max: the strongest return of the LiDAR that made it.

    Returns:
        ``rgb8``: height, intensity and range, ``(v + 100) * 150 / 256``; 58 without a return.
    """
    ranges, heights, intensities = np.moveaxis(image.pixels.astype(np.float32), 2, 0)
    stored = np.stack([heights, intensities * np.float32(_INTENSITY / intensity_max), ranges], 2)
    with np.errstate(invalid="ignore"):
        stored[~(ranges >= _NEAREST_M)] = 0.0
    np.nan_to_num(stored, copy=False)
    counts = np.clip((stored + np.float32(_SHIFT)) * np.float32(_SCALE), 0, 65535)
    return Image((counts.astype(np.uint16) >> 8).astype(np.uint8), "rgb8")


_COUNTS = np.searchsorted(COUNT_LEVELS, np.arange(256)).astype(np.uint8)
"""Counts of events by how they look in the node's own image: exact up to 11, and 13 at the most."""


def muses_event_picture(image: Image) -> Image:
    """Turn an image of events into a picture of the data set.

    Args:
        image: ``8UC3`` as :func:`~anymodal_seg_ros.sensing.events.render.render_image` makes it, or
            any other picture, which is taken for one of the data set.

    Returns:
        ``rgb8``: nothing, the number of OFF events and that of ON events.
    """
    if image.encoding != "8UC3":
        return image
    on, off, _ = cv2.split(cv2.LUT(image.pixels, _COUNTS))
    return Image(np.asarray(cv2.merge([np.zeros_like(on), off, on]), np.uint8), "rgb8")
