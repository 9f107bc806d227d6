"""``sensor_msgs/PointCloud2`` to arrays, by duck typing, without copies.

A cloud is a table whose columns the sender chose: any names, types, order, gaps and byte order.
NumPy can view all of that in place. What a message claims about itself is checked before a byte is
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.payload import as_bytes

POINT_CLOUD = "PointCloud2"
"""Encoding of an :class:`~anymodal_seg_ros.frames.Image` whose pixels are points of a cloud."""

MAX_POINT_STEP = 65536
"""Largest size of one point that is believed, in bytes."""

_FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""``PointField.datatype``: INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64."""

Cloud = npt.NDArray[np.void]


def decode_cloud(message: Any) -> Cloud:
    """View the points of a ``sensor_msgs/PointCloud2``. Nothing is copied.

    Args:
        message: anything with the fields ``height``, ``width``, ``fields`` (``name``, ``offset``,
            ``datatype``, ``count``), ``is_bigendian``, ``point_step``, ``row_step`` and ``data``.

    Returns:
        A read-only structured array ``[height, width]`` with the sender's field names; a field with
        a count of n > 1 has the shape ``[height, width, n]``. ``[0, 0]`` for a cloud without
        points. Fields without a name are padding and left out.

    Raises:
        DecodeError: naming the field, its value and what was expected.
    """
    height, width = int(message.height), int(message.width)
    point_step, row_step = int(message.point_step), int(message.row_step)
    if not 1 <= point_step <= MAX_POINT_STEP:
        raise DecodeError(f"point_step is {point_step}: expected 1 to {MAX_POINT_STEP} bytes")
    dtype = _point_type(message.fields, point_step, bool(message.is_bigendian))
    if height < 0 or width < 0:
        raise DecodeError(f"size is {width}x{height}: expected no negative numbers")
    if height == 0 or width == 0:
        return np.empty((0, 0), dtype)
    if row_step < width * point_step:
        raise DecodeError(
            f"row_step is {row_step}: expected at least width x point_step = "
            f"{width} x {point_step} = {width * point_step}"
        )
    data = as_bytes(message.data)
    if data.size != row_step * height:
        raise DecodeError(
            f"data has {data.size} bytes: expected row_step x height = {row_step} x {height} = "
            f"{row_step * height}"
        )
    cloud: Cloud = np.ndarray((height, width), dtype, data.data, strides=(row_step, point_step))
    cloud.flags.writeable = False
    return cloud


def column(cloud: Cloud, name: str) -> npt.NDArray[np.float32]:
    """Copy one field of every point, row by row, as float32 ``[N]``.

    Raises:
        DecodeError: the cloud has no such field, or it holds several numbers per point.
    """
    names = cloud.dtype.names or ()
    if name not in names:
        raise DecodeError(f"fields are {', '.join(names) or 'none'}: expected {name} among them")
    values = cloud[name]
    if values.ndim != cloud.ndim:
        raise DecodeError(f"fields.{name} holds {values.shape[-1]} numbers: expected one per point")
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(-1)


def positions(cloud: Cloud) -> npt.NDArray[np.float32]:
    """Copy x, y and z of every point, row by row, as float32 ``[N, 3]``; NaN stays NaN.

    Raises:
        DecodeError: one of the three is missing.
    """
    # Each coordinate in one piece, which is what most arithmetic wants.
    return np.asarray(np.stack([column(cloud, name) for name in "xyz"]).T, np.float32)


def _point_type(fields: Sequence[Any], point_step: int, big_endian: bool) -> np.dtype[np.void]:
    """Turn the description of a point into a NumPy type of ``point_step`` bytes."""
    names: list[str] = []
    formats: list[Any] = []
    offsets: list[int] = []
    for field in fields:
        # PCL takes a count of 0 for 1, so that drivers get away with it.
        name, offset, count = str(field.name), int(field.offset), max(int(field.count), 1)
        code = _FORMATS.get(int(field.datatype))
        if code is None:
            raise DecodeError(
                f"fields.{name} has the datatype {int(field.datatype)}: expected 1 (INT8) to "
                "8 (FLOAT64)"
            )
        single = np.dtype(code).newbyteorder(">" if big_endian else "<")
        end = offset + single.itemsize * count
        if offset < 0 or end > point_step:
            raise DecodeError(
                f"fields.{name} lies in the bytes {offset} to {end}: expected 0 to point_step, "
                f"which is {point_step}"
            )
        if name in names:
            raise DecodeError(f"fields.{name} occurs twice: expected different names")
        if name:
            names.append(name)
            formats.append(single if count == 1 else (single, (count,)))
            offsets.append(offset)
    described: Any = {
        "names": names,
        "formats": formats,
        "offsets": offsets,
        "itemsize": point_step,
    }
    made: np.dtype[np.void] = np.dtype(described)
    return made
