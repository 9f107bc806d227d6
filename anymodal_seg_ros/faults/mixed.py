"""Pictures of which some rows are from an earlier moment."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD

_BAND = 16
"""Rows that a buffer is filled with at a time."""


def mixed_rows(how: str, earlier: Image, new: Image) -> Image:
    """Return a new image with rows of an earlier one.

    Args:
        how: ``fields``, ``lower_half`` or ``bands``, as
            :class:`~anymodal_seg_ros.faults.kinds.Mixed` says.
        earlier: of the same sensor; if its size is another one, the new image stays as it is.
        new: as taken.

    Raises:
        DecodeError: a deferred image is damaged.
        ConfigError: it is a point cloud.
    """
    if POINT_CLOUD in (earlier.encoding, new.encoding):
        raise ConfigError(f"{how} cannot happen to a point cloud: it fits images")
    if earlier.pixels.shape != new.pixels.shape or earlier.encoding != new.encoding:
        return new
    row = np.arange(new.height)
    old = {
        "fields": row % 2 == 1,
        "lower_half": row >= new.height // 2,
        "bands": row // _BAND % 2 == 1,
    }[how]
    pixels = np.array(new.pixels)
    pixels[old] = earlier.pixels[old]
    return Image(pixels, new.encoding)
