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
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.decoding.payload import as_bytes

POINT_CLOUD = "PointCloud2"
"""Encoding of an :class:`~anymodal_seg_ros.frames.Image` whose pixels are points of a cloud."""

MAX_POINT_STEP = 65536
"""Largest size of one point that is believed, in bytes."""

MAX_POINTS = 1 << 24
"""Most points of a cloud that are believed: thirty times those of the densest scanner's turn."""

MAX_FIELDS = 256
"""Most fields of a point that are read: every one is looked at in the callback."""

_PADDING = ("", "_")
"""Names of fields that only fill gaps; PCL writes the second, any number of times."""

_READ = frozenset(
    {"x", "y", "z", "intensity", "t", "ts", "time", "timestamp", "p", "pol", "polarity"}
)
"""Fields that somebody here reads. What is wrong with another one harms nobody: it is left out."""

_MOST_SHOWN = 6
"""Names of fields that an error lists."""

_POINTS_LOOKED_AT = 64
_LEAST_TELLING = 12
"""Different numbers that it takes: one value alone, such as a mark of no return, tells nothing."""
_SHORTEST, _LONGEST = 1e-5, 1e7

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
        points. Fields that only fill gaps, without a name or called ``_``, are left out, and of
        those that nobody here reads what is impossible, or comes a second time.

    Raises:
        DecodeError: naming the field, its value and what was expected.
    """
    height, width = int(message.height), int(message.width)
    point_step, row_step = int(message.point_step), int(message.row_step)
    if not 1 <= point_step <= MAX_POINT_STEP:
        raise DecodeError(
            f"point_step is {point_step}: expected 1 to {MAX_POINT_STEP} bytes", "step"
        )
    dtype = _point_type(message.fields, point_step, bool(message.is_bigendian))
    if height < 0 or width < 0:
        raise DecodeError(f"size is {width}x{height}: expected no negative numbers", "size")
    if height == 0 or width == 0:
        return np.empty((0, 0), dtype)
    if height * width > MAX_POINTS:
        raise DecodeError(
            f"size is {width}x{height}: expected at most {MAX_POINTS} points in a cloud", "size"
        )
    data = as_bytes(message.data)
    row_step = _row_step(row_step, height, width, point_step, data.size)
    cloud: Cloud = np.ndarray((height, width), dtype, data.data, strides=(row_step, point_step))
    cloud.flags.writeable = False
    _check_byte_order(cloud, bool(message.is_bigendian))
    return cloud


def _row_step(claimed: int, height: int, width: int, point_step: int, size: int) -> int:
    """Return the bytes from row to row, if there is one way to read that many bytes.

    Drivers leave ``row_step`` at zero, at its value from before points were taken out, or at that
    of the whole cloud. Where the points fill the data exactly there is nothing to be told by it.
    """
    row = width * point_step
    if size == row * height:
        return row
    if claimed < row:
        raise DecodeError(
            f"row_step is {claimed}: expected at least width x point_step = {width} x "
            f"{point_step} = {row}, or {row * height} bytes of data without padding, not {size}",
            "step",
        )
    if size not in (claimed * height, claimed * (height - 1) + row):  # the last row may end early
        raise DecodeError(
            f"data has {size} bytes: expected row_step x height = {claimed} x {height} = "
            f"{claimed * height}",
            "data",
        )
    return claimed


def _check_byte_order(cloud: Cloud, big_endian: bool) -> None:
    """Refuse a cloud whose coordinates only make sense in the other byte order.

    Some senders set ``is_bigendian`` wrongly, and many receivers never look at it. A swapped float
    has a random exponent: most are no length that any sensor measures.
    """
    kinds = {name: cloud.dtype[name] for name in "xyz" if name in (cloud.dtype.names or ())}
    names = [name for name, kind in kinds.items() if kind.kind == "f"]  # and not several numbers
    if not names:
        return
    at = np.divmod(np.linspace(0, cloud.size - 1, _POINTS_LOOKED_AT, dtype=np.intp), cloud.shape[1])
    found = [cloud[name][at] for name in names]
    with np.errstate(all="ignore"):
        as_sent = np.abs(np.concatenate(found, dtype=np.float64))
        if _plausible(as_sent) >= 0.5:
            return  # as nearly always
        swapped = np.abs(np.concatenate([v.byteswap() for v in found], dtype=np.float64))
    # A return at zero or none at all looks the same, or as nothing, in either order.
    telling = (as_sent != 0) & np.isfinite(swapped)
    if np.unique(as_sent[telling]).size < _LEAST_TELLING:
        return
    if _plausible(as_sent[telling]) < 0.5 and _plausible(swapped[telling]) > 0.9:
        order = "big" if big_endian else "little"
        raise DecodeError(
            f"data of {', '.join(names)} are no lengths in the byte order that is_bigendian says "
            f"({order}-endian), but in the other one: expected is_bigendian to be "
            f"{not big_endian}; mend the sender of the cloud",
            "data",
        )


def _plausible(lengths: npt.NDArray[np.float64]) -> float:
    """Return the share of numbers that could be coordinates, in metres or millimetres."""
    return float(((lengths > _SHORTEST) & (lengths < _LONGEST)).mean())


def column(cloud: Cloud, name: str) -> npt.NDArray[np.float32]:
    """Copy one field of every point, row by row, as float32 ``[N]``.

    Raises:
        DecodeError: the cloud has no such field, or it holds several numbers per point.
    """
    names = cloud.dtype.names or ()
    if name not in names:
        raise DecodeError(f"fields are {listed(names)}: expected {name} among them", "fields")
    values = cloud[name]
    if values.ndim != cloud.ndim:
        raise DecodeError(
            f"fields.{quote(name)} holds {values.shape[-1]} numbers: expected one per point",
            "fields",
        )
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(-1)


def positions(cloud: Cloud) -> npt.NDArray[np.float32]:
    """Copy x, y and z of every point, row by row, as float32 ``[N, 3]``; NaN stays NaN.

    Raises:
        DecodeError: one of the three is missing.
    """
    # Each coordinate in one piece, which is what most arithmetic wants.
    return np.asarray(np.stack([column(cloud, name) for name in "xyz"]).T, np.float32)


def listed(names: Sequence[str]) -> str:
    """Return the names of fields as an error may show them."""
    shown = ", ".join(quote(name, 30) for name in names[:_MOST_SHOWN]) or "none"
    return shown if len(names) <= _MOST_SHOWN else f"{shown} and {len(names) - _MOST_SHOWN} more"


def _point_type(fields: Sequence[Any], point_step: int, big_endian: bool) -> np.dtype[np.void]:
    """Turn the description of a point into a NumPy type of ``point_step`` bytes."""
    if len(fields) > MAX_FIELDS:
        raise DecodeError(f"fields are {len(fields)}: expected at most {MAX_FIELDS}", "fields")
    columns: dict[str, tuple[Any, int]] = {}
    for field in fields:
        name = str(field.name)
        if name in _PADDING:
            continue
        read = name in _READ
        if name in columns:
            if read:
                raise DecodeError(
                    f"fields.{quote(name)} occurs twice: expected different names", "fields"
                )
            continue
        try:
            columns[name] = _field_type(field, quote(name), point_step, big_endian)
        except DecodeError:
            if read:
                raise
    described: Any = {
        "names": list(columns),
        "formats": [form for form, _ in columns.values()],
        "offsets": [offset for _, offset in columns.values()],
        "itemsize": point_step,
    }
    made: np.dtype[np.void] = np.dtype(described)
    return made


def _field_type(field: Any, name: str, point_step: int, big_endian: bool) -> tuple[Any, int]:
    """Return the NumPy type of one field, and where it lies in a point."""
    # PCL takes a count of 0 for 1, so that drivers get away with it.
    offset, count = int(field.offset), max(int(field.count), 1)
    code = _FORMATS.get(int(field.datatype))
    if code is None:
        raise DecodeError(
            f"fields.{name} has the datatype {int(field.datatype)}: expected 1 (INT8) to "
            "8 (FLOAT64)",
            "fields",
        )
    single = np.dtype(code).newbyteorder(">" if big_endian else "<")
    end = offset + single.itemsize * count
    if offset < 0 or end > point_step:
        raise DecodeError(
            f"fields.{name} lies in the bytes {offset} to {end}: expected 0 to point_step, "
            f"which is {point_step}",
            "fields",
        )
    return (single if count == 1 else (single, (count,))), offset
