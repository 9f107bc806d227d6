"""The recent events of one camera, in order of time, in memory that never grows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.values import Times

Cells = npt.NDArray[np.uint32]
"""Where an event was and what it said: twice the pixel's index, plus one if it was ON."""


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
