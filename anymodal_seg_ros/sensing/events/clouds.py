"""Events as ``sensor_msgs/PointCloud2``: one point per event, fields found by their names.

The message does not say how large the sensor is nor what its times mean, so two things are fixed
here: floating point times are seconds, integer times are nanoseconds; and a time less than half of
the header stamp counts from the stamp, any other one is absolute.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.decode import stamp_ns
from anymodal_seg_ros.sensing.decoding.payload import as_bytes
from anymodal_seg_ros.sensing.events.payload import check_size
from anymodal_seg_ros.sensing.events.values import Events, StampedEvents

_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""The datatypes of sensor_msgs/PointField."""

_FIELDS = {
    "x": ("x",),
    "y": ("y",),
    "time": ("t", "ts", "time", "timestamp"),
    "polarity": ("p", "pol", "polarity"),
}
_LONGEST_S = 4e9
"""Times beyond this many seconds are no times, and would not fit 64 bits of nanoseconds."""


def read_event_cloud(message: Any, height: int, width: int) -> StampedEvents:
    """Read the events of a cloud. Points with values that are not finite are left out.

    Args:
        message: anything with the fields of a PointCloud2.
        height: rows of the sensor.
        width: columns of the sensor.

    Raises:
        DecodeError: a field is missing, sizes contradict one another, or the sensor has none.
    """
    if not (height and width):
        raise DecodeError(
            f"size is {width}x{height}: a PointCloud2 does not say how large the sensor is, "
            "set events.height and events.width"
        )
    check_size(height, width)
    stamp = stamp_ns(message.header)
    points = _points(message)
    columns = {}
    for name in _FIELDS:
        columns[name] = points[name].astype(points.dtype[name].newbyteorder("="))
    is_float = columns["time"].dtype.kind == "f"
    # What is not finite fails these comparisons too.
    sound = np.abs(columns["time"].astype(np.float64)) < (_LONGEST_S if is_float else 1 << 33)
    for name in ("x", "y"):
        sound &= (columns[name] >= 0) & (columns[name] < 1 << 16)
    if not sound.all():
        columns = {name: column[sound] for name, column in columns.items()}
    times = columns["time"]
    if is_float:
        times = np.rint(times.astype(np.float64) * 1e9)
    time_ns = times.astype(np.int64)
    if time_ns.size and time_ns[0] < stamp // 2:
        time_ns += stamp
    x, y = columns["x"].astype(np.uint16), columns["y"].astype(np.uint16)
    events = Events(time_ns, x, y, columns["polarity"] > 0)
    return StampedEvents(events, stamp, str(message.header.frame_id), height, width)


def _points(message: Any) -> np.ndarray[Any, np.dtype[np.void]]:
    """View the four fields of every point."""
    count, step = int(message.width) * int(message.height), int(message.point_step)
    data = as_bytes(message.data)
    if step < 1 or int(message.row_step) != int(message.width) * step or count * step != data.size:
        raise DecodeError(
            f"data has {data.size} bytes: expected width x height x point_step = "
            f"{message.width} x {message.height} x {step}, without padding between rows"
        )
    fields = {field.name: field for field in message.fields}
    formats, offsets = [], []
    for name, spellings in _FIELDS.items():
        field = next((fields[spelling] for spelling in spellings if spelling in fields), None)
        if field is None or int(field.datatype) not in _DTYPES:
            raise DecodeError(
                f"fields are {', '.join(fields) or 'none'}: expected {name} as a number, "
                f"under the name {' or '.join(spellings)}"
            )
        formats.append((">" if message.is_bigendian else "<") + _DTYPES[int(field.datatype)])
        offsets.append(int(field.offset))
    layout: Any = {"names": list(_FIELDS), "formats": formats, "offsets": offsets, "itemsize": step}
    try:
        dtype: np.dtype[np.void] = np.dtype(layout)
    except (ValueError, OverflowError) as error:
        raise DecodeError(f"point_step is {step}: the fields do not fit ({error})") from error
    return data.view(dtype)
