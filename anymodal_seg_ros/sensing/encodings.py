"""The image encodings of sensor_msgs: their layout in memory and what their numbers mean."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image, Pixels


@dataclass(frozen=True, slots=True)
class Layout:
    """How one encoding lies in memory: dtype of a channel and channels per pixel."""

    dtype: np.dtype[np.generic]
    channels: int


def _layout(dtype: type[np.generic], channels: int = 1) -> Layout:
    return Layout(np.dtype(dtype), channels)


LAYOUTS: dict[str, Layout] = {
    "rgb8": _layout(np.uint8, 3),
    "bgr8": _layout(np.uint8, 3),
    "rgba8": _layout(np.uint8, 4),
    "bgra8": _layout(np.uint8, 4),
    "mono8": _layout(np.uint8),
    "mono16": _layout(np.uint16),
    "8UC1": _layout(np.uint8),
    "8UC3": _layout(np.uint8, 3),
    "16UC1": _layout(np.uint16),
    "32FC1": _layout(np.float32),
}
"""Every encoding that :func:`anymodal_seg_ros.sensing.decode.decode_image` takes."""

_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
}

INVALID_MILLIMETRES = (0, 65535)
"""16-bit depth values that mean "no measurement" (REP-118, and what drivers really send)."""


def to_rgb(image: Image) -> npt.NDArray[np.uint8]:
    """Return an 8-bit image in RGB order, or as it is if it is grey or of unnamed channels.

    Returns:
        uint8 ``[H, W, 3]`` or ``[H, W]``; the input's own array where nothing has to change.

    Raises:
        DecodeError: the image is not an 8-bit one.
    """
    if image.pixels.dtype.itemsize != 1:
        raise DecodeError(f"encoding {image.encoding} has no colours: expected an 8-bit encoding")
    code = _TO_RGB.get(image.encoding)
    return image.pixels if code is None else cv2.cvtColor(image.pixels, code)


def to_metres(image: Image) -> npt.NDArray[np.float32]:
    """Return depth in metres with NaN where there is no measurement (REP-118).

    16-bit images are millimetres in which 0 and 65535 are invalid; float images are metres in which
    NaN, infinities and values that are not positive are invalid.

    Returns:
        float32 ``[H, W]``, always a new array.

    Raises:
        DecodeError: the encoding is neither of the two.
    """
    pixels: Pixels = image.pixels
    if pixels.ndim == 2 and pixels.dtype.itemsize == 2:
        metres = pixels.astype(np.float32)
        invalid = np.isin(pixels, INVALID_MILLIMETRES)
        metres *= np.float32(1e-3)
    elif pixels.ndim == 2 and pixels.dtype.kind == "f":
        metres = pixels.astype(np.float32)
        invalid = ~(np.isfinite(metres) & (metres > 0))
    else:
        raise DecodeError(
            f"encoding {image.encoding} is no depth: expected 16UC1 in mm or 32FC1 in m"
        )
    metres[invalid] = np.nan
    return metres
