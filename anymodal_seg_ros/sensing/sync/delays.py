"""How much longer than usual the messages of one sensor take."""

from __future__ import annotations

from collections import deque

_RECENT_NS = 1_000_000_000
_MOST = 64
"""Messages that are remembered at most: of a fast sensor, less than the last second."""

_FEWEST = 3
"""Fewer messages than these say nothing of the last second."""

_MEMORY = 60
"""Messages after which an unusually quick one begins to be forgotten."""


class DelayHistory:
    """The delays of the last messages over the least of many: what held them up on their way."""

    def __init__(self) -> None:
        """Begin without a message."""
        self._recent: deque[tuple[int, int]] = deque(maxlen=_MOST)
        self._least_ns = 0
        self._next_least_ns = 0
        self._seen = 0

    def add(self, received_ns: int, lag_ns: int) -> None:
        """Take note of a message: when it arrived, and arrival minus stamp."""
        self._recent.append((received_ns, lag_ns))
        if self._seen % _MEMORY == 0:
            self._least_ns = self._next_least_ns if self._seen else lag_ns
            self._next_least_ns = lag_ns
        self._next_least_ns = min(self._next_least_ns, lag_ns)
        self._least_ns = min(self._least_ns, lag_ns)
        self._seen += 1

    def recent_ns(self, now_ns: int) -> int | None:
        """Return the longest delay of the last second, over the least; None of too few messages."""
        lags = [lag_ns for received_ns, lag_ns in self._recent if received_ns > now_ns - _RECENT_NS]
        return max(lags) - self._least_ns if len(lags) >= _FEWEST else None
