"""The events of a span of time that ends when a frame was taken."""

from __future__ import annotations

from dataclasses import dataclass

from anymodal_seg_ros.sensing.events.buffer import Cells
from anymodal_seg_ros.sensing.events.values import Times


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
