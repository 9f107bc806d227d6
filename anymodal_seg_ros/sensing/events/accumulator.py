"""One event camera among frame cameras: messages in, windows that end at stamps of frames out."""

from __future__ import annotations

from typing import Any

from anymodal_seg_ros.config import EventConfig, seconds_to_ns
from anymodal_seg_ros.sensing.events.stream import EventStream
from anymodal_seg_ros.sensing.events.window import EventWindow

_MOST_ASKED = 16
"""Windows that are waited for at most; of more, the oldest are given up."""


class EventAccumulator:
    """Cuts the stream of an event camera into windows.

    A window is asked for with :meth:`request` when a frame of another camera has come, and handed
    out by :meth:`take` as soon as the camera's events have reached its end. When nobody has asked
    for two periods, because the event camera is the only one alive, it makes a window per period of
    its own accord.

    Reads no clock: all times are header stamps. Not safe for threads: the caller's lock is.
    """

    def __init__(self, config: EventConfig, period_ns: int, jump_ns: int) -> None:
        """Set up for a camera of which nothing is known yet.

        Args:
            config: length of the windows and size of their images.
            period_ns: from window to window while nobody asks.
            jump_ns: time that is off by more than this begins anew.
        """
        self._length_ns = seconds_to_ns(config.window_s)
        self._period_ns = period_ns
        self.stream = EventStream(config, jump_ns)
        self._asked: list[int] = []
        self._own_ns: int | None = None
        self._begin()

    def reset(self) -> None:
        """Forget all events and requests, as when the caller's time begins anew."""
        self.stream.reset()
        self._begin()

    def push(self, message: Any) -> None:
        """Take a message of the camera; see :meth:`EventStream.push`.

        Raises:
            DecodeError: it cannot be used; nothing of it was taken.
        """
        self.stream.push(message)
        if self._epoch != self.stream.store.epoch:
            self._begin()
        latest_ns = self.stream.latest_stamp_ns
        if latest_ns is not None and self._own_ns is None:
            self._own_ns = latest_ns + 2 * self._period_ns

    def request(self, end_ns: int) -> None:
        """Ask for the window that ends at a header stamp, in the clock of this camera's stamps."""
        if end_ns not in self._asked:
            self._asked = [*self._asked[1 - _MOST_ASKED :], end_ns]
        if self.stream.latest_stamp_ns is not None:
            self._own_ns = self.stream.latest_stamp_ns + 2 * self._period_ns

    def take(self) -> list[EventWindow]:
        """Hand out the windows whose events have come, in order of their ends.

        Windows that end before the first packet are given up.
        """
        self._ask_for_own()
        if not self._asked:
            return []
        self.stream.flush()
        if self._epoch != self.stream.store.epoch:
            self._begin()
        store, offset_ns = self.stream.store, self.stream.offset_ns
        if store.begin_ns is None or store.until_ns is None or offset_ns is None:
            return []
        begin_ns, until_ns = store.begin_ns + offset_ns, store.until_ns + offset_ns
        ready = sorted(end for end in self._asked if end <= until_ns)
        self._asked = [end for end in self._asked if end > until_ns]
        return [self._cut(end, offset_ns) for end in ready if end > begin_ns]

    def _begin(self) -> None:
        self._epoch = self.stream.store.epoch
        self._asked = []
        self._own_ns = None

    def _ask_for_own(self) -> None:
        """Ask for a window of the camera's own if it is due."""
        latest_ns = self.stream.latest_stamp_ns
        if latest_ns is None or self._own_ns is None or latest_ns < self._own_ns:
            return
        end_ns = latest_ns - (latest_ns - self._own_ns) % self._period_ns
        self.request(end_ns)
        self._own_ns = end_ns + self._period_ns

    def _cut(self, end_ns: int, offset_ns: int) -> EventWindow:
        grid = self.stream.grid
        assert grid is not None  # there are events
        start_ns = end_ns - self._length_ns
        cut = self.stream.store.cut(start_ns - offset_ns, end_ns - offset_ns)
        return EventWindow(
            start_ns=start_ns,
            end_ns=end_ns,
            frame_id=self.stream.frame_id,
            height=grid.height,
            width=grid.width,
            time_ns=cut.time_ns + offset_ns,
            cells=cut.cells.copy(),
            complete=cut.complete,
        )
