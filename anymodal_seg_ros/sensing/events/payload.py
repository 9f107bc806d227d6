"""What is checked alike for every kind of event message before a byte of it is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.events.values import Bytes

MAX_SIDE = 2048
"""Largest width or height that is believed: as far as the addresses of EVT 2.0 and 3.0 reach.

No data of a message vouches for its size, but images of that size are made.
"""


def view_bytes(data: Any, field: str) -> Bytes:
    """View any bytes-like payload (array.array, bytes, ndarray) as uint8.

    Raises:
        DecodeError: it is none, naming the field.
    """
    if isinstance(data, np.ndarray) and data.dtype != np.uint8:
        raise DecodeError(f"{field} is an array of {data.dtype}: expected uint8")
    if not len(data):  # an empty list stands for an empty sequence in some clients
        return np.empty(0, np.uint8)
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise DecodeError(f"{field} is a {type(data).__name__}: expected bytes") from error


def check_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of a sensor.

    Raises:
        DecodeError: it cannot be true.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DecodeError(f"size is {width}x{height}: expected 1 to {MAX_SIDE} on each side")
    return height, width
