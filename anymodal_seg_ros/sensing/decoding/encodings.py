"""The image encodings of sensor_msgs: their layout in memory and what their numbers mean."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import CountsConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image, Pixels


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How one encoding lies in memory: dtype of a channel and channels per pixel."""

    dtype: np.dtype[np.generic]
    channels: int


def _layout(dtype: type[np.generic], channels: int = 1) -> PixelLayout:
    return PixelLayout(np.dtype(dtype), channels)


_DEPTHS: dict[str, type[np.generic]] = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}

LAYOUTS: dict[str, PixelLayout] = {
    "rgb8": _layout(np.uint8, 3),
    "bgr8": _layout(np.uint8, 3),
    "rgba8": _layout(np.uint8, 4),
    "bgra8": _layout(np.uint8, 4),
    "mono8": _layout(np.uint8),
    "mono16": _layout(np.uint16),
    "rgb16": _layout(np.uint16, 3),
    "bgr16": _layout(np.uint16, 3),
    "rgba16": _layout(np.uint16, 4),
    "bgra16": _layout(np.uint16, 4),
    **{f"{depth}C{n}": _layout(kind, n) for depth, kind in _DEPTHS.items() for n in (1, 2, 3, 4)},
}
"""Every encoding whose pixels are viewed as they are; an image's encoding is one of these."""

COLORS: dict[str, int | None] = {
    "mono8": None,
    "8UC1": None,
    "rgb8": None,
    "8UC3": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "rgb16": None,
    "bgr16": cv2.COLOR_BGR2RGB,
    "rgba16": cv2.COLOR_RGBA2RGB,
    "bgra16": cv2.COLOR_BGRA2RGB,
}
"""Encodings that can serve as a picture, and OpenCV's code that brings them to RGB order."""

COUNTS = ("mono16", "16UC1")
"""Encodings of raw 16-bit counts: millimetres of a depth camera, or a radiometric thermal one."""

METRES = ("32FC1", "64FC1")
"""Encodings of floats: of depth, metres (REP-118); of a thermal camera, kelvin or degrees C."""

INVALID_MILLIMETRES = (0, 65535)
"""16-bit depth values that mean "no measurement" (REP-118, and what drivers really send)."""


def for_opencv(pixels: Pixels) -> Pixels:
    """Return pixels that OpenCV reads rightly: native byte order and aligned.

    OpenCV takes a step that is no multiple of the channel's size without a word and reads the wrong
    bytes. Rows that are padded otherwise are no trouble and are not copied.
    """
    return np.require(pixels, dtype=pixels.dtype.newbyteorder("="), requirements="A")


def to_rgb(image: Image, full_scale: float = 0.0) -> npt.NDArray[np.uint8]:
    """Return an 8-bit image in RGB order, or as it is if it is grey or of unnamed channels.

    Args:
        image: one of :data:`COLORS`.
        full_scale: what becomes 255 of 16-bit colours; 0 means 65535.

    Returns:
        uint8 ``[H, W, 3]`` or ``[H, W]``; the input's own array where nothing has to change.

    Raises:
        DecodeError: the encoding is none of :data:`COLORS`, or the pixels are damaged.
    """
    if image.encoding not in COLORS:
        raise DecodeError(
            f"encoding {image.encoding} has no colours: expected {', '.join(COLORS)}", "encoding"
        )
    pixels, code = image.pixels, COLORS[image.encoding]
    if code is not None:
        pixels = cv2.cvtColor(for_opencv(pixels), code)
    if pixels.dtype.itemsize == 2:
        pixels = cv2.convertScaleAbs(for_opencv(pixels), alpha=255 / (full_scale or 65535))
    return pixels


def in_metres(image: Image, counts: CountsConfig) -> Image:
    """Give a depth image the unit that its camera counts in, where that is not the usual one.

    Args:
        image: as it was sent, 16 bits or floats.
        counts: of its sensor. A float that is sent is a count too, of 1 m by default.

    Returns:
        The image itself, or one of metres (``32FC1``) with NaN where there is no measurement.
    """
    if not (counts.per_count or counts.offset) or image.encoding not in (*COUNTS, *METRES):
        return image
    if image.encoding in COUNTS:
        per_count = counts.per_count or METRES_PER_COUNT
        return Image(to_metres(image, per_count, counts.offset), "32FC1")
    metres = to_metres(image)
    metres *= np.float32(counts.per_count or 1.0)
    metres += np.float32(counts.offset)
    return Image(metres, "32FC1")


METRES_PER_COUNT = 1e-3
"""Of a 16-bit depth image, by convention (REP-118). Some cameras count 0.1 or 0.25 mm."""


def to_metres(
    image: Image, per_count: float = METRES_PER_COUNT, offset: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return depth in metres with NaN where there is no measurement (REP-118).

    16-bit images are millimetres in which 0 and 65535 are invalid; float images are metres in which
    NaN, infinities and values that are not positive are invalid.

    Args:
        image: ``[H, W]``.
        per_count: metres of one count of a 16-bit image.
        offset: metres of count 0 of a 16-bit image.

    See :func:`in_metres` for images of another unit.

    Returns:
        float32 ``[H, W]``, always a new array.

    Raises:
        DecodeError: the encoding is neither of the two.
    """
    if image.encoding in COUNTS:
        pixels: Pixels = image.pixels
        metres = pixels.astype(np.float32)
        invalid = (pixels == INVALID_MILLIMETRES[0]) | (pixels == INVALID_MILLIMETRES[1])
        metres *= np.float32(per_count)
        metres += np.float32(offset)
    elif image.encoding in METRES:
        with np.errstate(over="ignore", invalid="ignore"):  # of doubles beyond float32
            metres = image.pixels.astype(np.float32)
        invalid = ~(np.isfinite(metres) & (metres > 0))
    else:
        raise DecodeError(
            f"encoding {image.encoding} is no depth: expected 16UC1 in mm or 32FC1 in m", "encoding"
        )
    np.copyto(metres, np.float32(np.nan), where=invalid)
    return metres
