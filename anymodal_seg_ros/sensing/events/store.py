"""The recent past of one event camera: its events as cells of an image, in order of time.

In memory that never grows, and with what is known to be missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.sensing.events.values import Cells, Events, Times


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """The pixels of a sensor, and how many of them make one of the image.

    Attributes:
        sensor_height: rows of the sensor.
        sensor_width: columns of the sensor.
        binning: sensor pixels per image pixel along each side.
    """

    sensor_height: int
    sensor_width: int
    binning: int

    @property
    def height(self) -> int:
        """Rows of the image."""
        return -(-self.sensor_height // self.binning)

    @property
    def width(self) -> int:
        """Columns of the image."""
        return -(-self.sensor_width // self.binning)

    def place(self, events: Events) -> tuple[Times, Cells]:
        """Find the cell of every event, and leave out events that no such sensor has.

        Returns:
            Time and cell of the others.
        """
        time_ns, x, y, on = events.time_ns, events.x, events.y, events.on
        inside = (x < self.sensor_width) & (y < self.sensor_height)
        if not inside.all():
            time_ns, x, y, on = time_ns[inside], x[inside], y[inside], on[inside]
        if self.binning > 1:
            x, y = x // self.binning, y // self.binning
        cells = y.astype(np.uint32)
        cells *= np.uint32(self.width)
        cells += x.astype(np.uint32, copy=False)
        cells <<= np.uint32(1)
        cells |= on.astype(np.uint32, copy=False)
        return time_ns, cells


class EventBuffer:
    """Keeps at least the newest ``capacity`` events, and at most twice as many.

    Events are appended behind one another and the older half is thrown away when the memory is
    full, so that those of a window always lie side by side.

    Attributes:
        forgotten_ns: time of the newest event that was thrown away; None if there is none.
    """

    def __init__(self, capacity: int) -> None:
        """Reserve memory; the kernel only provides it as it is used."""
        self._capacity = capacity
        self._times = np.empty(2 * capacity, np.int64)
        self._cells = np.empty(2 * capacity, np.uint32)
        self._size = 0
        self.forgotten_ns: int | None = None

    @property
    def newest_ns(self) -> int | None:
        """Time of the last event; None if there is none."""
        return int(self._times[self._size - 1]) if self._size else None

    def take_later(self, time_ns: int) -> tuple[Times, Cells]:
        """Take the events out that are later than a time, and return them."""
        at, end = int(np.searchsorted(self._times[: self._size], time_ns, "right")), self._size
        self._size = at
        return self._times[at:end].copy(), self._cells[at:end].copy()

    def append(self, times: Times, cells: Cells) -> None:
        """Add events that are in order and not older than :attr:`newest_ns`."""
        surplus = times.size - self._capacity
        if surplus > 0:
            self.clear()
            self.forgotten_ns = int(times[surplus - 1])
            times, cells = times[surplus:], cells[surplus:]
        if self._size + times.size > self._times.size:
            self._make_room()
        end = self._size + times.size
        self._times[self._size : end] = times
        self._cells[self._size : end] = cells
        self._size = end

    def between(self, start_ns: int, end_ns: int) -> tuple[Times, Cells]:
        """View the events from ``start_ns`` on and before ``end_ns``, until the next append."""
        times = self._times[: self._size]
        first, last = np.searchsorted(times, (start_ns, end_ns))
        return times[first:last], self._cells[first:last]

    def clear(self) -> None:
        """Forget all events."""
        self._size = 0
        self.forgotten_ns = None

    def _make_room(self) -> None:
        """Move the newest ``capacity`` events to the front."""
        surplus = self._size - self._capacity
        self.forgotten_ns = int(self._times[surplus - 1])
        self._times[: self._capacity] = self._times[surplus : self._size]
        self._cells[: self._capacity] = self._cells[surplus : self._size]
        self._size = self._capacity


@dataclass(frozen=True, slots=True)
class EventCut:
    """The events of a span of sensor time. The arrays are views, good until the next append.

    Attributes:
        time_ns: int64 ``[N]``, sensor time, ascending.
        cells: uint32 ``[N]``, as in the buffer.
        complete: whether no event of the span was lost.
    """

    time_ns: Times
    cells: Cells
    complete: bool


_OVERLAP = 2
"""As many times the events of a message may be there that are later than its first, ..."""

_LEAST_OVERLAP = 1000
"""... and so many however few it has."""


class EventStore:
    """Keeps events in order and remembers what is missing.

    Attributes:
        begin_ns: sensor time of the first event or time; None if there was none.
        until_ns: sensor time that the camera has reached; None if not known.
        epoch: grows whenever everything is forgotten because time or geometry began anew.
        outside: events so far that lay outside the sensor.
        reach: width and height that a sensor needs to have all events since it began; 0, 0 while
            none lay outside.
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
        self.reach = (0, 0)
        self._known_since_ns: int | None = None
        self._buffer.clear()

    def interrupt(self) -> None:
        """Note that events are missing from the last append to the next one."""
        self._known_since_ns = None

    def append(self, events: Events, grid: PixelGrid, since_ns: int, until_ns: int) -> None:
        """Take the events of a span of sensor time that follows the one before it.

        Args:
            events: in any order.
            grid: where their addresses lie.
            since_ns: begin of the span.
            until_ns: end of the span.
        """
        times, cells = grid.place(events)
        outside = len(events) - times.size
        if outside:
            self.outside += outside
            width, height = int(events.x.max()) + 1, int(events.y.max()) + 1
            self.reach = max(self.reach[0], width), max(self.reach[1], height)
        times, cells = _in_order(times, cells)
        newest_ns = self._buffer.newest_ns
        if times.size and newest_ns is not None and times[0] < newest_ns:
            if times[0] < newest_ns - self._jump_ns:
                self.forget()
            else:
                times, cells = self._join_later(times, cells)
        self._buffer.append(times, cells)
        self.until_ns = until_ns
        if self.begin_ns is None:
            self.begin_ns = since_ns
        if self._known_since_ns is None:
            self._known_since_ns = since_ns

    def _join_later(self, times: Times, cells: Cells) -> tuple[Times, Cells]:
        """Sort events in among those that are there and later.

        Where these are far more, the sensor's clock was set back: they are of another time.
        """
        later_times, later_cells = self._buffer.take_later(int(times[0]))
        if later_times.size > _OVERLAP * times.size + _LEAST_OVERLAP:
            self._known_since_ns = None
            return times, cells
        return _in_order(np.concatenate((later_times, times)), np.concatenate((later_cells, cells)))

    def cut(self, start_ns: int, end_ns: int) -> EventCut:
        """Find the events from ``start_ns`` on and before ``end_ns``, sensor time."""
        since_ns, forgotten_ns = self._known_since_ns, self._buffer.forgotten_ns
        complete = since_ns is not None and start_ns >= since_ns
        if forgotten_ns is not None and start_ns <= forgotten_ns:
            complete = False
        return EventCut(*self._buffer.between(start_ns, end_ns), complete)


def _in_order(times: Times, cells: Cells) -> tuple[Times, Cells]:
    if not (times[1:] < times[:-1]).any():
        return times, cells
    order = np.argsort(times, kind="stable")
    return times[order], cells[order]
