"""Rows and columns that video encoders add to a picture, and some decoders leave in it.

H.264 codes blocks of 16 x 16 pixels, H.265 and AV1 of 8 x 8 at the least. A picture of 1080 rows is
coded as one of 1088, and the stream says that the last eight are to be cut off. Where a decoder
does not, the picture is larger than its calibration, and nothing in it has moved.
"""

from __future__ import annotations

from dataclasses import replace

from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera

BLOCKS = (8, 16)
"""Sides of the blocks that encoders round pictures up to."""


def is_padded(size: tuple[int, int], coded: tuple[int, int]) -> bool:
    """Whether pictures of one size become the other one when they are coded as whole blocks.

    Args:
        size: rows and columns of a picture.
        coded: rows and columns of what was decoded.
    """
    rounded = ((-(-size[0] // b) * b, -(-size[1] // b) * b) for b in BLOCKS)
    return size != coded and coded in rounded


def padded(camera: Camera, height: int, width: int) -> Camera:
    """Return the camera of pictures of a size: with what was added at the bottom and the right.

    Pictures of any other size are none that were padded, and neither are those that hardly any of
    what the lens shows could be in: the camera is returned as it is.
    """
    if not is_padded((camera.height, camera.width), (height, width)):
        return camera
    try:
        return replace(camera, height=height, width=width)
    except CalibrationError:
        return camera
