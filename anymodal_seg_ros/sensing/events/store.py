"""The recent past of one event camera: which events, and of which time they are all known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.sensing.events.buffer import Cells, EventBuffer
from anymodal_seg_ros.sensing.events.grid import Grid
from anymodal_seg_ros.sensing.events.values import Events, Times


@dataclass(frozen=True, slots=True)
class Cut:
    """The events of a span of sensor time. The arrays are views, good until the next append.

    Attributes:
        time_ns: int64 ``[N]``, sensor time, ascending.
        cells: uint32 ``[N]``, as in the buffer.
        complete: whether no event of the span was lost.
    """

    time_ns: Times
    cells: Cells
    complete: bool


class EventStore:
    """Keeps events in order and remembers what is missing.

    Attributes:
        begin_ns: sensor time of the first event or time; None if there was none.
        until_ns: sensor time that the camera has reached; None if not known.
        epoch: grows whenever everything is forgotten because time or geometry began anew.
        outside: events so far that lay outside the sensor.
    """

    def __init__(self, capacity: int, jump_ns: int) -> None:
        """Set up an empty store for ``capacity`` events.

        Time that runs back by more than ``jump_ns`` begins anew.
        """
        self._buffer = EventBuffer(capacity)
        self._jump_ns = jump_ns
        self.epoch = 0
        self.outside = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.epoch += 1
        self.begin_ns: int | None = None
        self.until_ns: int | None = None
        self._known_since_ns: int | None = None
        self._buffer.clear()

    def interrupt(self) -> None:
        """Note that events are missing from the last append to the next one."""
        self._known_since_ns = None

    def append(self, events: Events, grid: Grid, since_ns: int, until_ns: int) -> None:
        """Take the events of a span of sensor time that follows the one before it.

        Args:
            events: in any order.
            grid: where their addresses lie.
            since_ns: begin of the span.
            until_ns: end of the span.
        """
        times, cells = grid.place(events)
        self.outside += len(events) - times.size
        if (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            times, cells = times[order], cells[order]
        newest_ns = self._buffer.newest_ns
        if times.size and newest_ns is not None and times[0] < newest_ns:
            if times[0] < newest_ns - self._jump_ns:
                self.forget()
            else:
                times = np.maximum(times, newest_ns)
        self._buffer.append(times, cells)
        self.until_ns = until_ns
        if self.begin_ns is None:
            self.begin_ns = since_ns
        if self._known_since_ns is None:
            self._known_since_ns = since_ns

    def cut(self, start_ns: int, end_ns: int) -> Cut:
        """Find the events from ``start_ns`` on and before ``end_ns``, sensor time."""
        since_ns, forgotten_ns = self._known_since_ns, self._buffer.forgotten_ns
        complete = since_ns is not None and start_ns >= since_ns
        if forgotten_ns is not None and start_ns <= forgotten_ns:
            complete = False
        return Cut(*self._buffer.between(start_ns, end_ns), complete)
