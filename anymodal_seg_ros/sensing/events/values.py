"""What event messages are turned into: arrays of events in order of the sensor's own time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Indices = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]
Cells = npt.NDArray[np.uint32]
"""Where an event was and what it said: twice the pixel's index, plus one if it was ON."""

Addresses = npt.NDArray[Any]
"""Columns or rows as integers of any width; the decoders use the narrowest that fits."""

LATEST_NS = 1 << 61
"""No clock of a camera has run for 73 years. Up to here, sums of times fit 64 bits."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events as columns of equal length, in the order in which the sensor sent them.

    Attributes:
        time_ns: int64 ``[N]``.
        x: columns, integer ``[N]``, not yet checked against the sensor's width.
        y: rows, integer ``[N]``, not yet checked against the sensor's height.
        on: ``[N]``, 1 where it became brighter, 0 where it became darker; bool or integer.
    """

    time_ns: Times
    x: Addresses
    y: Addresses
    on: npt.NDArray[Any]

    def __len__(self) -> int:
        return self.time_ns.size

    def chosen(self, which: npt.NDArray[np.bool_]) -> Events:
        """Return some of the events."""
        return Events(self.time_ns[which], self.x[which], self.y[which], self.on[which])

    @staticmethod
    def none() -> Events:
        """Return no events."""
        empty = np.empty(0, np.uint16)
        return Events(np.empty(0, np.int64), empty, empty, empty)


@dataclass(frozen=True, slots=True)
class Packet:
    """The payload of one message, waiting to be decoded.

    Attributes:
        data: uint8 ``[B]``, as the driver sent it.
        time_base_ns: sensor time that the encodings of whole words count from.
        stamp_ns: header stamp: when the host received the first bytes.
    """

    data: Bytes
    time_base_ns: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """The same moment on two clocks, or nearly: the stamp is late by the packet's delay.

    Attributes:
        sensor_ns: the first sensor time in a packet.
        stamp_ns: the packet's header stamp.
    """

    sensor_ns: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class DecodedEvents:
    """Events and what their packets say about time.

    A still scene sends time without events, so the time advances although ``events`` are none.

    Attributes:
        events: in sensor time.
        anchors: one for each packet that begins here and holds a time.
        until_ns: the sensor time that the stream has reached; None if it is not known.
        broken: whether a packet could not be decoded.
    """

    events: Events
    anchors: tuple[Anchor, ...]
    until_ns: int | None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class StampedEvents:
    """A message whose events carry header time themselves.

    Attributes:
        events: in header time.
        stamp_ns: of the header.
        frame_id: of the header.
        height: rows of the sensor.
        width: columns of the sensor.
    """

    events: Events
    stamp_ns: int
    frame_id: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class EventWindow:
    """Events from ``start_ns`` on and before ``end_ns``. The arrays are the window's own.

    Attributes:
        start_ns: header time.
        end_ns: header time, the stamp of the image that is made of it.
        frame_id: coordinate frame of the camera.
        height: rows of the image.
        width: columns of the image.
        time_ns: int64 ``[N]``, header time, ascending.
        cells: uint32 ``[N]``: twice the index of the pixel (row by row), plus one for ON events.
        complete: whether all events of the span are known: not before the first packet, across a
            gap between packets, or when there were more than the buffer holds.
    """

    start_ns: int
    end_ns: int
    frame_id: str
    height: int
    width: int
    time_ns: Times
    cells: Cells
    complete: bool
