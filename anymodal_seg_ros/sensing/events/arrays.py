"""``dvs_msgs/EventArray`` (and ``prophesee_event_msgs``, its twin): events in full, in ROS time.

rclpy and rosbags make a Python object of every event, which takes microseconds each. A subscription
that asks for raw messages gets the serialised bytes instead, and these are read as arrays;
:func:`wants_raw` tells for which types of message that is right.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.decode import LONGEST_FRAME, frame_of, stamp_ns
from anymodal_seg_ros.sensing.decoding.payload import as_bytes
from anymodal_seg_ros.sensing.events.values import Bytes, Events, StampedEvents

MAX_SENSOR_SIDE = 2048
"""Largest width or height that is believed: as far as the addresses of EVT 2.0 and 3.0 reach.

No data of a message vouches for its size, but images of that size are made.
"""

_RAW_TYPES = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")

_SECOND_NS = 1_000_000_000
_HEAD_BYTES = 4
"""CDR begins with its kind and options; alignment counts from behind them."""
_EVENT_BYTES = 13
_EVENT_STRIDE = 16
"""An event of 13 bytes is padded to 16, but for the last one."""


def wants_raw(message_type: str) -> bool:
    """Whether messages of a type, such as ``dvs_msgs/msg/EventArray``, are best taken as bytes."""
    return message_type in _RAW_TYPES


def check_sensor_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of a sensor.

    Raises:
        DecodeError: it cannot be true.
    """
    if not (1 <= height <= MAX_SENSOR_SIDE and 1 <= width <= MAX_SENSOR_SIDE):
        raise DecodeError(
            f"size is {width}x{height}: expected 1 to {MAX_SENSOR_SIDE} on each side", "size"
        )
    return height, width


def read_event_array(message: Any) -> StampedEvents:
    """Read a message object of rclpy or rosbags: a loop over its events, slow but sure.

    Raises:
        DecodeError: the stamp or the size cannot be true.
    """
    height, width = check_sensor_size(int(message.height), int(message.width))
    rows = [(e.ts.sec, e.ts.nanosec, e.x, e.y, e.polarity) for e in message.events]
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    x, y = columns[2:4].astype(np.uint64)  # what is negative lies beyond every sensor
    events = Events(columns[0] * _SECOND_NS + columns[1], x, y, columns[4] != 0)
    frame_id = frame_of(message.header)
    return StampedEvents(events, stamp_ns(message.header), frame_id, height, width)


def parse_event_array(data: Any) -> StampedEvents:
    """Read a serialised message (CDR, as a raw subscription or a ROS 2 bag holds it).

    Raises:
        DecodeError: the bytes are no such message.
    """
    reader = _CdrReader(as_bytes(data, "message"))
    stamp = SimpleNamespace(sec=reader.integer("i"), nanosec=reader.integer("u"))
    frame_id = reader.text()
    height, width = check_sensor_size(reader.integer("u"), reader.integer("u"))
    count = reader.integer("u")
    at, left = reader.at, reader.data.size - reader.at
    if count and left < _EVENT_STRIDE * (count - 1) + _EVENT_BYTES:
        raise DecodeError(
            f"events are {count} in {left} bytes: expected {_EVENT_STRIDE} for each", "data"
        )
    events = _events(reader.data[at:], count, reader.byte_order)
    stamped = stamp_ns(SimpleNamespace(stamp=stamp))
    return StampedEvents(events, stamped, frame_id, height, width)


def _events(data: Bytes, count: int, byte_order: str) -> Events:
    """View the fields of ``count`` events as columns; ``data`` holds that many."""

    def column(dtype: str, offset: int, first: int = 0) -> npt.NDArray[Any]:
        """View a field from the event ``first`` on; its offset counts from the padded stride."""
        if count <= first:
            return np.empty(0, dtype)
        where = offset + first * _EVENT_STRIDE
        shape, strides = (count - first,), (_EVENT_STRIDE,)
        view: npt.NDArray[Any] = np.ndarray(shape, byte_order + dtype, data.data, where, strides)
        return view

    def address(offset: int) -> npt.NDArray[np.uint16]:
        """Copy x or y: they are packed against the event before, and the first has none."""
        values = np.empty(count, np.uint16)
        values[:1] = column("u2", offset)[:1]
        values[1:] = column("u2", offset - 2, 1)
        return values

    time_ns = column("i4", 4).astype(np.int64)
    time_ns *= _SECOND_NS
    time_ns += column("u4", 8)
    return Events(time_ns, address(0), address(2), column("u1", 12) != 0)


class _CdrReader:
    """Reads the few fields in front of the events."""

    def __init__(self, data: Bytes) -> None:
        if data.size < _HEAD_BYTES or data[0] != 0 or data[1] > 1:
            raise DecodeError(
                f"message begins with {data[:_HEAD_BYTES].tolist()}: expected serialised (CDR) "
                "data",
                "data",
            )
        self.data = data[_HEAD_BYTES:]
        self.byte_order = "<" if data[1] else ">"
        self.at = 0

    def integer(self, kind: str) -> int:
        """Read 32 bits, signed (``i``) or not (``u``), at the next multiple of four."""
        self.at += -self.at % 4
        if self.at + 4 > self.data.size:
            raise DecodeError(f"message has {self.data.size} bytes: expected an EventArray", "data")
        value = int(np.frombuffer(self.data, f"{self.byte_order}{kind}4", 1, self.at)[0])
        self.at += 4
        return value

    def text(self) -> str:
        """Read a string: its length with a closing zero, then its bytes."""
        length = self.integer("u")
        if length > LONGEST_FRAME:
            raise DecodeError(
                f"frame_id is {length} bytes: expected at most {LONGEST_FRAME}", "data"
            )
        data = self.data[self.at : self.at + length].tobytes()
        self.at += length
        return data.rstrip(b"\0").decode(errors="replace")
