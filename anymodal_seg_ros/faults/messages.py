"""Faults in ROS messages, by duck typing: rclpy's and those that rosbags reads alike.

A message is never changed, because others may hold it: what comes out is a copy, whose arrays are
of the same Python types, so that it can be published or serialised like the original.
"""

from __future__ import annotations

import copy
from array import array
from typing import Any

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.compression import recompressed
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
from anymodal_seg_ros.sensing.decoding.compressed import Format
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.payload import as_bytes
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD, decode_cloud

_KEPT_SHARE = 0.6
"""Of what is truncated, so much comes."""

_LARGEST_COORDINATE = 2**16 - 1
"""Of an event."""


def image_of(message: Any) -> Image:
    """View what a message shows.

    Args:
        message: ``Image``, ``CompressedImage`` or ``PointCloud2``.

    Raises:
        DecodeError: the message is damaged.
        ConfigError: nothing in it can be shown as an image whose changes could be sent: messages
            of events, and cameras' own formats (Bayer, YUV).
    """
    if _is_cloud(message):
        return Image(decode_cloud(message), POINT_CLOUD)
    if not hasattr(message, "data"):
        raise ConfigError("messages of events cannot be changed like images")
    stored = _stored_encoding(message)
    if stored in CAMERA_FORMATS:
        raise ConfigError(
            f"images of the encoding {stored} cannot be changed: expected plain pixels, as of "
            "image_proc or a driver's rgb8"
        )
    return decode_image(message)


def with_image(message: Any, image: Image) -> Any:
    """Return a copy of a message that shows another image.

    Args:
        message: ``Image``, ``CompressedImage`` or ``PointCloud2``.
        image: of the encoding that :func:`image_of` found; its size may be another one.
    """
    result = copy.copy(message)
    if _is_cloud(message):
        packed = np.ascontiguousarray(image.pixels)
        result.height, result.width = packed.shape
        result.row_step = packed.shape[1] * message.point_step
        result.data = _like(message.data, packed.view(np.uint8).reshape(-1))
        return result
    if _is_compressed(message):
        result.format, data = recompressed(str(message.format), as_bytes(message.data), image)
        result.data = _like(message.data, data)
        return result
    dtype = image.pixels.dtype.newbyteorder(">" if message.is_bigendian else "<")
    packed = np.ascontiguousarray(image.pixels, dtype)
    result.height, result.width = image.height, image.width
    result.encoding = image.encoding
    result.step = packed.nbytes // image.height
    result.data = _like(message.data, packed.reshape(-1).view(np.uint8))
    return result


def with_header(message: Any, header: Any) -> Any:
    """Return a copy of a message under another header."""
    result = copy.copy(message)
    result.header = header
    return result


def garbage_message(message: Any, how: str, rng: np.random.Generator) -> Any:
    """Return a copy of a message with corrupt bytes.

    Args:
        message: an image, a compressed one, a point cloud, or events.
        how: ``noise``: random bytes instead of the payload; ``truncated``: the last part of it is
            missing; ``wrong_size``: the header tells another width than the payload has. A
            compressed image, whose header tells none, has rubbish behind its beginning instead.
        rng: dice of ``noise``.
    """
    result = copy.copy(message)
    field = "data" if hasattr(message, "data") else "events"
    payload = getattr(message, field)
    if isinstance(payload, list):  # event by event, as dvs_msgs has them
        setattr(result, field, _garbage_events(payload, how, rng))
        return result
    data = as_bytes(payload)
    if how == "noise":
        data = np.frombuffer(rng.bytes(data.size), np.uint8)
    elif how == "truncated":
        data = data[: int(data.size * _KEPT_SHARE)]
    elif hasattr(message, "width"):
        for size in ("width", "step", "row_step"):
            if hasattr(message, size):
                setattr(result, size, getattr(message, size) * 3 // 4 + 1)
    else:
        start = min(data.size, 4)  # the signature of a JPEG or PNG, so that a decoder sets to work
        data = np.concatenate([data[:start], data[start:][::-1]])
    setattr(result, field, _like(payload, data))
    return result


def _garbage_events(events: list[Any], how: str, rng: np.random.Generator) -> list[Any]:
    if how == "truncated":
        return events[: int(len(events) * _KEPT_SHARE)]
    garbage = []
    for event, (x, y) in zip(
        events, rng.integers(0, _LARGEST_COORDINATE, (len(events), 2)), strict=True
    ):
        changed = copy.copy(event)
        changed.x, changed.y = int(x), int(y)
        garbage.append(changed)
    return garbage


def _stored_encoding(message: Any) -> str:
    """Return what a message says of the samples that it holds."""
    if _is_compressed(message):
        return Format.parse(str(message.format)).original
    return str(message.encoding)


def _is_cloud(message: Any) -> bool:
    return hasattr(message, "point_step")


def _is_compressed(message: Any) -> bool:
    return hasattr(message, "format") and not hasattr(message, "step")


def _like(before: Any, data: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
    """Turn bytes into the Python type that a message's own payload has."""
    if isinstance(before, array):
        made = array("B")
        made.frombytes(data.tobytes())
        return made
    if isinstance(before, np.ndarray):
        return np.ascontiguousarray(data)
    return data.tobytes()
