"""Messages to images, by duck typing: rclpy's messages and those that rosbags reads alike.

A message is never trusted. Size, step, encoding and stamp are checked before a byte is read, and
what passes is looked at in place: plain pixels are a read-only view on the message's own bytes, and
what needs work (compressed images, Bayer, YUV) is done when the pixels are first used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import DeferredImage, Image, Pixels
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS, CameraFormat
from anymodal_seg_ros.sensing.decoding.compressed import decode_compressed
from anymodal_seg_ros.sensing.decoding.encodings import LAYOUTS, PixelLayout
from anymodal_seg_ros.sensing.decoding.payload import (
    OTHER_TYPES,
    Bytes,
    as_bytes,
    check_size,
    other_types,
)
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD, decode_cloud, positions

KNOWN_ENCODINGS = (
    "rgb8, bgr8, rgba8, bgra8 or the same with 16, mono8, mono16, "
    "{8U,8S,16U,16S,32S,32F,64F}C{1..4}, bayer_{rggb,bggr,gbrg,grbg}{8,16}, "
    "uyvy (yuv422), yuyv (yuv422_yuy2), nv12, nv21 or nv24"
)

_LONGEST_ENCODING = 20
"""Of those that are known, and some spaces."""

LONGEST_FRAME = 4096
"""Characters of a frame's name: each sample that is kept has it, and each mask is sent with it."""

_MOST_SECONDS = 1 << 32
"""Of a stamp: ROS 2 has 31 bits for them, ROS 1 32."""


def decode_image(message: Any) -> Image:
    """Turn a message into an image whose pixels are viewed, or made at their first use.

    Args:
        message: a ``sensor_msgs/Image`` (``height``, ``width``, ``encoding``, ``is_bigendian``,
            ``step`` and ``data``, bytes-like), a ``sensor_msgs/CompressedImage`` (``format`` and
            ``data``, no ``step``), or a ``sensor_msgs/PointCloud2`` of a LiDAR (``point_step``).

    Returns:
        An image whose size and encoding are known. Pixels of plain encodings are a view on
        ``data``. Those of a camera format (Bayer, YUV) or a compressed image are made at their
        first use, which raises :class:`DecodeError` if the compressed data are damaged. Points have
        the encoding ``PointCloud2``: a structured array with at least x, y and z.

    Raises:
        DecodeError: naming the field, its value and what was expected.
    """
    try:
        return _decoded(message)
    except OTHER_TYPES as error:
        raise DecodeError(other_types(message, error), "type") from error


def _decoded(message: Any) -> Image:
    if hasattr(message, "format") and hasattr(message, "data") and not hasattr(message, "step"):
        return decode_compressed(message.format, message.data)
    if hasattr(message, "point_step") and hasattr(message, "fields"):
        cloud = decode_cloud(message)
        positions(cloud[:0])  # refuses a cloud that lacks x, y or z
        return Image(cloud, POINT_CLOUD)
    if not (hasattr(message, "step") and hasattr(message, "encoding")):
        raise DecodeError(
            f"message is a {quote(type(message).__name__)}: expected an Image, a CompressedImage "
            "or a PointCloud2; look at the sensor's topic and type",
            "type",
        )
    height, width, encoding = int(message.height), int(message.width), str(message.encoding)
    layout = LAYOUTS.get(encoding)
    if layout is not None:
        check_size(height, width)
        data = as_bytes(message.data)
        step = _checked_step(message, data, height, width, layout)
        return Image(_view(data, height, width, step, layout, message.is_bigendian), encoding)
    camera_format = CAMERA_FORMATS.get(encoding)
    if camera_format is not None:
        check_size(height, width)
        return _decode_camera_format(message, height, width, encoding, camera_format)
    plain = encoding[:_LONGEST_ENCODING].strip().lower()
    near = f"did you mean {plain}? " if plain in LAYOUTS or plain in CAMERA_FORMATS else ""
    raise DecodeError(
        f"encoding is '{quote(encoding)}': {near}expected {KNOWN_ENCODINGS}", "encoding"
    )


def stamp_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds.

    Raises:
        DecodeError: there is none, or it is zero, negative, of more seconds than ROS can say, or
            its nanoseconds are a second or more.
    """
    stamp = getattr(header, "stamp", None)
    if stamp is None:
        raise DecodeError(
            "message has no header with a stamp: look at the sensor's topic and type", "type"
        )
    try:
        sec, nanosec = int(stamp.sec), int(stamp.nanosec)
    except OTHER_TYPES as error:
        raise DecodeError(f"stamp is no time: {quote(error, 120)}", "stamp") from error
    if max(abs(sec), abs(nanosec)) >= _MOST_SECONDS:
        raise DecodeError("stamp is no time: expected seconds and nanoseconds of 32 bits", "stamp")
    if sec < 0 or nanosec not in range(1_000_000_000) or sec == nanosec == 0:
        raise DecodeError(
            f"stamp is {sec} s {nanosec} ns: expected a positive time with less than 1e9 ns; "
            "let the driver stamp its messages",
            "stamp",
        )
    return sec * 1_000_000_000 + nanosec


def frame_of(header: Any) -> str:
    """Return the name of a header's frame; empty if it has none.

    Raises:
        DecodeError: it is no name: whatever keeps the sample would keep all of it.
    """
    frame_id = str(getattr(header, "frame_id", ""))
    if len(frame_id) > LONGEST_FRAME:
        raise DecodeError(
            f"frame_id {quote(frame_id)} has {len(frame_id)} characters: expected at most "
            f"{LONGEST_FRAME}",
            "data",
        )
    return frame_id


def _decode_camera_format(
    message: Any, height: int, width: int, encoding: str, camera_format: CameraFormat
) -> Image:
    """View the stored rows and promise their conversion to RGB."""
    camera_format.check_size(encoding, height, width)
    layout = camera_format.layout
    data = as_bytes(message.data)
    rows = int(height * camera_format.rows)
    step = _checked_step(message, data, rows, width, layout)
    # The padding is kept: where the chroma plane lies is counted in whole rows.
    columns = step if camera_format.planar else width
    stored = _view(data, rows, columns, step, layout, message.is_bigendian)
    return DeferredImage(
        height, width, camera_format.encoding, lambda: camera_format.convert(stored, width)
    )


def _checked_step(message: Any, data: Bytes, rows: int, width: int, layout: PixelLayout) -> int:
    """Return the bytes from row to row, if what the message says leaves one way to read them.

    Drivers leave ``step`` at zero, count it in pixels or samples, give the length of all the data,
    or divide that, chroma and all, by the image's height. Where rows without padding fill the data
    exactly, that is what they meant.
    """
    step, row = int(message.step), width * layout.dtype.itemsize * layout.channels
    whole = row * rows
    meant = (0, width, width * layout.channels, whole, whole / int(message.height))
    if data.size == whole and step in meant:
        return row
    if step < row:
        raise DecodeError(
            f"step is {step}: expected at least {row}, "
            f"as {width} pixels of {message.encoding} need",
            "step",
        )
    if data.size != step * rows:
        raise DecodeError(
            f"data has {data.size} bytes: expected step x height = {step} x {rows} = {step * rows}",
            "data",
        )
    return step


def _view(
    data: Bytes, height: int, width: int, step: int, layout: PixelLayout, big_endian: bool
) -> Pixels:
    """View checked bytes as ``[height, width]`` or ``[height, width, channels]``, read-only."""
    size = layout.dtype.itemsize
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, size * layout.channels)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, size)
    dtype = layout.dtype.newbyteorder(">" if big_endian else "<")
    pixels: Pixels = np.ndarray(shape, dtype, buffer=data.data, strides=strides)
    pixels.flags.writeable = False
    return pixels
