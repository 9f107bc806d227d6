"""What nobody has told us of an input: its rate, how close its messages come, and how late."""

from __future__ import annotations

from collections import deque

_FEWEST_GAPS = 4
_GAPS = 15
_LEARN_EVERY = 16
_LONGEST_GAP_NS = 20_000_000_000
_OTHER_RATE = 0.2
"""A rate has changed when it differs by this share."""
_LOWEST_HZ, _HIGHEST_HZ = 0.1, 1000.0
_SURELY = 0.9
"""Share of the shortest gap within which nothing comes."""


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


class ArrivalLearner:
    """Learns when the next message of an input may come, and how long after its stamp."""

    def __init__(self) -> None:
        """Begin without knowing anything."""
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self.restart()

    def restart(self) -> None:
        """Forget what depends on the clock of the stamps, which may have jumped."""
        self._lags: deque[int] = deque(maxlen=_GAPS)
        self.newest_ns: int | None = None
        """The latest stamp so far."""
        self.earliest_next_ns: int | None = None
        """No stamp before this is expected any more; None before the first one."""
        self.longest_lag_ns: int | None = None
        """Arrival minus stamp, at most, of the last messages; None before the first one."""

    def observe(self, time_ns: int, received_ns: int) -> None:
        """Take note of a message: its stamp, and when it arrived."""
        self._lags.append(received_ns - time_ns)
        self.longest_lag_ns = max(self._lags)
        if self.newest_ns is not None:
            if time_ns <= self.newest_ns:
                return
            self._gaps.append(time_ns - self.newest_ns)
        self.newest_ns = self.earliest_next_ns = time_ns
        if len(self._gaps) >= _FEWEST_GAPS:
            self.earliest_next_ns += round(_SURELY * min(self._gaps))
