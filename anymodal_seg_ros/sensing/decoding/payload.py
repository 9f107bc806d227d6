"""The bytes of a message: viewed in place, and what is claimed of them bounded before any use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Image

MAX_SIDE = 16384
"""Largest width or height that is believed, in pixels."""

MAX_DECOMPRESSED_PIXELS = 1 << 25
"""Most pixels that a compressed image may unfold to, a little more than 7680 x 4320."""

Bytes = npt.NDArray[np.uint8]

OTHER_TYPES = (AttributeError, OverflowError, TypeError, ValueError)
"""What comes of a message whose fields are not what their names say.

A bag may define a standard type in its own way.
"""


def other_types(message: Any, error: Exception) -> str:
    """Say that a message led to one of :data:`OTHER_TYPES`."""
    return (
        f"message is a {quote(type(message).__name__)} with fields of other types than it should "
        f"have: {quote(error, 120)}"
    )


def as_bytes(data: Any, field: str = "data") -> Bytes:
    """View any bytes-like payload (array.array, bytes, ndarray, memoryview) as uint8 ``[N]``.

    Raises:
        DecodeError: it is something else, naming the field of the message.
    """
    if isinstance(data, np.ndarray):
        if data.dtype == np.uint8 and data.flags.c_contiguous:
            return data.reshape(-1)
        raise DecodeError(f"{field} is an array of {data.dtype}: expected contiguous uint8", "data")
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        if hasattr(data, "__len__") and len(data) == 0:
            return np.empty(0, np.uint8)
        raise DecodeError(f"{field} is a {type(data).__name__}: expected bytes", "data") from error


def check_size(height: int, width: int) -> None:
    """Raise :class:`DecodeError` unless both sides are from 1 to :data:`MAX_SIDE`."""
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DecodeError(
            f"size is {width}x{height}: expected 1 to {MAX_SIDE} on each side", "size"
        )


def check_decompressed_size(height: int, width: int) -> None:
    """As :func:`check_size`, and raise if a message could make us allocate too much memory."""
    check_size(height, width)
    if height * width > MAX_DECOMPRESSED_PIXELS:
        raise DecodeError(
            f"size is {width}x{height}: expected at most {MAX_DECOMPRESSED_PIXELS} pixels "
            "in a compressed image",
            "size",
        )


def check_pixels(image: Image, most: int) -> None:
    """Raise :class:`DecodeError` if an image is larger than its sensor's limit; 0: none is."""
    if most and image.height * image.width > most:
        raise DecodeError(
            f"size is {image.width}x{image.height}: expected at most max_pixels = {most} in all",
            "size",
        )
