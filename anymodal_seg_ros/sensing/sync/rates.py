"""What rate does an input have that nobody has told us of?"""

from __future__ import annotations

from collections import deque

_FEWEST_GAPS = 4
_GAPS = 15
_LEARN_EVERY = 16
_LONGEST_GAP_NS = 20_000_000_000
_OTHER_RATE = 0.2
"""A rate has changed when it differs by this share."""
_LOWEST_HZ, _HIGHEST_HZ = 0.1, 1000.0


class RateLearner:
    """Learns the rate of an input from its stamps."""

    def __init__(self) -> None:
        """Begin without knowing anything."""
        self._last_ns: int | None = None
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._seen = 0
        self._hz = 0.0

    def observe(self, time_ns: int) -> float | None:
        """Take note of a stamp. Returns the rate in Hz when it has changed, else None."""
        if self._last_ns is not None and 0 < time_ns - self._last_ns < _LONGEST_GAP_NS:
            self._gaps.append(time_ns - self._last_ns)
        self._last_ns = time_ns
        self._seen += 1
        if self._seen % _LEARN_EVERY and not _FEWEST_GAPS <= len(self._gaps) < _GAPS:
            return None
        if len(self._gaps) < _FEWEST_GAPS:
            return None
        hz = 1e9 / sorted(self._gaps)[len(self._gaps) // 2]
        if abs(hz - self._hz) < _OTHER_RATE * self._hz:
            return None
        self._hz = min(max(hz, _LOWEST_HZ), _HIGHEST_HZ)
        return self._hz
