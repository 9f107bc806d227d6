"""NumPy arrays and nanoseconds to ROS messages and back.

``Image.data`` is the trap: assigning an ndarray takes 130 ms for 640x480, and Humble checks
``bytes`` byte by byte. Only ``array.array('B')`` is fast in every distribution.
"""

from __future__ import annotations

import importlib
import re
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from anymodal_seg_ros.messages import values
from anymodal_seg_ros.messages.values import Message

_NS = 1_000_000_000
_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")


def to_stamp(time_ns: int) -> Time:
    """Turn nanoseconds since the epoch into a header stamp."""
    sec, nanosec = divmod(time_ns, _NS)
    return Time(sec=sec, nanosec=nanosec)


def to_ns(stamp: Any) -> int:
    """Turn a header stamp (of rclpy or of rosbags) into nanoseconds since the epoch."""
    return int(stamp.sec) * _NS + int(stamp.nanosec)


class ImageBuffer:
    """One Image message that is filled anew for every frame.

    ``publish`` serialises before it returns, so the message may be filled again right after it.
    Reusing it spares an allocation and a copy of the pixels: 50 us instead of 125 us at 640x480.
    """

    def __init__(self) -> None:
        self._message = Image()

    def fill(self, pixels: npt.NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Image:
        """Write an image and its header into the message and return it.

        Args:
            pixels: ``[H, W]`` or ``[H, W, C]`` in the dtype of the encoding.
            encoding: a sensor_msgs encoding, e.g. ``rgb8``.
            stamp_ns: header stamp, nanoseconds since the epoch.
            frame_id: coordinate frame of the camera.
        """
        plain = values.image(pixels, encoding, stamp_ns, frame_id).fields
        message, data = self._message, plain["data"]
        message.header.stamp = to_stamp(stamp_ns)
        message.header.frame_id = frame_id
        message.encoding = encoding
        message.height, message.width = plain["height"], plain["width"]
        message.step = plain["step"]
        if len(message.data) != data.size:
            message.data = array("B", bytes(data.size))
        np.copyto(np.frombuffer(message.data, dtype=np.uint8), data)
        return message


def image_message(pixels: npt.NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Image:
    """Make a fresh Image message; see :meth:`ImageBuffer.fill`."""
    return ImageBuffer().fill(pixels, encoding, stamp_ns, frame_id)


def make(message: Message) -> Any:
    """Turn a message into the object of rclpy.

    Raises:
        ImportError: the package of its type is not installed.
    """
    fields = {name: _made(value) for name, value in message.fields.items()}
    return import_class(message.type)(**fields)


def import_class(type_name: str) -> Any:
    """Return the class of a type such as ``sensor_msgs/msg/Image``.

    Raises:
        ImportError: its package is not installed, or has no such type.
    """
    # A bag may name anything, and what is imported is run.
    if (parts := _TYPE.fullmatch(type_name)) is None:
        raise ImportError("it is no name of a message's type")
    try:
        return getattr(importlib.import_module(f"{parts[1]}.msg"), parts[2])
    except AttributeError as error:
        raise ImportError(f"there is no {type_name}") from error


def _made(value: Any) -> Any:
    if isinstance(value, Message):
        return make(value)
    if isinstance(value, list):
        return [_made(one) for one in value]
    if isinstance(value, np.ndarray):
        return array("B", value.tobytes()) if value.dtype == np.uint8 else value.tolist()
    return value
