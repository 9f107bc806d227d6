"""Messages to images, by duck typing: rclpy's messages and those that rosbags reads alike.

A message is never trusted. Size, step, encoding and stamp are checked before a byte is read, and
what passes is looked at in place: the result is a read-only view on the message's own bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.encodings import LAYOUTS

MAX_SIDE = 16384
"""Largest width or height that is believed, in pixels."""


def decode_image(message: Any) -> Image:
    """View a ``sensor_msgs/Image`` as an array. Nothing is copied.

    Args:
        message: anything with the fields ``height``, ``width``, ``encoding``, ``is_bigendian``,
            ``step`` and ``data`` (bytes-like).

    Raises:
        DecodeError: naming the field, its value and what was expected.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        raise DecodeError(f"encoding is {message.encoding!r}: expected one of {', '.join(LAYOUTS)}")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DecodeError(f"size is {width}x{height}: expected 1 to {MAX_SIDE} on each side")
    pixel = layout.dtype.itemsize * layout.channels
    if step < width * pixel:
        raise DecodeError(
            f"step is {step}: expected at least {width * pixel}, "
            f"as {width} pixels of {message.encoding} need"
        )
    data = _as_bytes(message.data)
    if data.size != step * height:
        raise DecodeError(
            f"data has {data.size} bytes: expected step x height = {step} x {height} = "
            f"{step * height}"
        )
    dtype = layout.dtype.newbyteorder(">" if message.is_bigendian else "<")
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, pixel)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, layout.dtype.itemsize)
    pixels: Any = np.ndarray(shape, dtype, buffer=data.data, strides=strides)
    pixels.flags.writeable = False
    return Image(pixels, str(message.encoding))


def stamp_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds.

    Raises:
        DecodeError: the stamp is zero, negative, or its nanoseconds are a second or more.
    """
    sec, nanosec = int(header.stamp.sec), int(header.stamp.nanosec)
    if sec < 0 or not 0 <= nanosec < 1_000_000_000 or sec == nanosec == 0:
        raise DecodeError(
            f"stamp is {sec} s {nanosec} ns: expected a positive time with less than 1e9 ns; "
            "let the driver stamp its messages"
        )
    return sec * 1_000_000_000 + nanosec


def _as_bytes(data: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """View any bytes-like payload (array.array, bytes, ndarray) as uint8."""
    if isinstance(data, np.ndarray):
        if data.dtype == np.uint8 and data.flags.c_contiguous:
            return data.reshape(-1)
        raise DecodeError(f"data is an array of {data.dtype}: expected contiguous uint8")
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        if hasattr(data, "__len__") and len(data) == 0:
            return np.empty(0, np.uint8)
        raise DecodeError(f"data is a {type(data).__name__}: expected bytes") from error
