"""What is checked alike for every kind of event message before a byte of it is decoded."""

from __future__ import annotations

from anymodal_seg_ros.errors import DecodeError

MAX_SIDE = 2048
"""Largest width or height that is believed: as far as the addresses of EVT 2.0 and 3.0 reach.

No data of a message vouches for its size, but images of that size are made.
"""


def check_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of a sensor.

    Raises:
        DecodeError: it cannot be true.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DecodeError(f"size is {width}x{height}: expected 1 to {MAX_SIDE} on each side")
    return height, width
